//! What a guest finds on its stdin: a file, or whatever sandtrap itself was given.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use nix::pty::openpty;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use sandtrap::Wall;

use crate::kit::{Ran, WALLS, finish, guest, run_command, text_of};
use crate::running::Running;

/// What `echo` makes of this as sandtrap's own stdin.
fn echo_of(wall: Wall, stdin: impl Into<Stdio>) -> Ran {
    let mut command = run_command(&["--stdin", "-"], &guest(wall, "echo"), &[]);
    command.stdin(stdin);
    finish(command)
}

#[test]
fn stdin_is_a_file_or_our_own_or_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("input");
    fs::write(&file, "from a file\n").expect("a file");
    for wall in WALLS {
        let echo = guest(wall, "echo");
        let with = |flags: &[&str]| {
            let mut running = Running::start(run_command(flags, &echo, &[]));
            running.say("from a pipe\n");
            running.close_stdin();
            running.finish()
        };
        for (flags, expected) in [
            (&["--stdin", text_of(&file)][..], "from a file\n"),
            (&["--stdin", "-"], "from a pipe\n"),
            (&["--stdin", "null"], ""),
            (&[], ""),
        ] {
            let ran = with(flags);
            let found = (ran.code, ran.text(), ran.stderr.as_str());
            assert_eq!(found, (Some(0), expected, ""), "{wall:?} {flags:?}");
        }
    }
}

#[test]
fn a_file_goes_on_where_others_stopped_reading_it() {
    for wall in WALLS {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"read already\nand the rest\n").expect("room");
        file.seek(std::io::SeekFrom::Start(13)).expect("a file");
        let ran = echo_of(wall, file);
        assert_eq!((ran.code, ran.text()), (Some(0), "and the rest\n"), "{wall:?} {}", ran.stderr);
    }
}

#[test]
fn a_socket_is_read_like_any_other_stdin() {
    for wall in WALLS {
        let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
        ours.write_all(b"from a socket\n").expect("room");
        drop(ours);
        let ran = echo_of(wall, OwnedFd::from(theirs));
        assert_eq!((ran.code, ran.text()), (Some(0), "from a socket\n"), "{wall:?} {}", ran.stderr);
    }
}

#[test]
fn a_terminal_can_be_read_by_the_guest() {
    for wall in WALLS {
        let ends = openpty(None, None).expect("a terminal");
        // A session of its own with the terminal as its own, as a shell has it.
        let sandtrap = run_command(&["--stdin", "-", "--wall", "30s"], &guest(wall, "echo"), &[]);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(sandtrap.get_program()).args(sandtrap.get_args());
        command.stdin(ends.slave).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut master = File::from(ends.master);
        // A line, and the end of the input as it is typed: Ctrl-D.
        master.write_all(b"typed\n\x04").expect("a terminal");
        let ran = finish(command);
        assert_eq!((ran.code, ran.text()), (Some(0), "typed\n"), "{wall:?} {}", ran.stderr);
    }
}

#[test]
fn a_named_pipe_may_get_its_writer_late() {
    for wall in WALLS {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).expect("a named pipe");
        let running =
            Running::start(run_command(&["--stdin", text_of(&path)], &guest(wall, "echo"), &[]));
        // It waits until somebody reads. If nobody ever does, the test has failed already.
        thread::spawn(move || fs::write(path, "late\n").expect("a reader"));
        let ran = running.finish();
        assert_eq!((ran.code, ran.text()), (Some(0), "late\n"), "{wall:?} {}", ran.stderr);
    }
}

#[test]
fn a_named_pipe_without_a_writer_cannot_hold_a_guest_beyond_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    mkfifo(&path, Mode::S_IRWXU).expect("a named pipe");
    for wall in WALLS {
        let flags = ["--wall", "200ms", "--stdin", text_of(&path)];
        let ran = finish(run_command(&flags, &guest(wall, "echo"), &[]));
        assert_eq!((ran.code, ran.label()), (Some(124), "stopped.wall-time"), "{wall:?}");
    }
}

#[test]
fn an_input_that_is_large_comes_in_as_it_is() {
    const LENGTH: usize = 8 << 20;
    for wall in WALLS {
        let mut command = run_command(&["--stdin", "-"], &guest(wall, "echo"), &[]);
        command.stdin(Stdio::piped());
        let mut child = command.spawn().expect("sandtrap can be started");
        let mut stdin = child.stdin.take().expect("a pipe");
        let writer = thread::spawn(move || {
            let bytes: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
            stdin.write_all(&bytes).expect("a guest that reads");
        });
        let mut bytes = Vec::new();
        child.stdout.take().expect("a pipe").read_to_end(&mut bytes).expect("a pipe can be read");
        writer.join().expect("all was written");
        assert_eq!(bytes.len(), LENGTH, "{wall:?}");
        assert!(bytes.iter().enumerate().all(|(n, byte)| n % 251 == usize::from(*byte)));
        assert_eq!(child.wait().expect("an end").code(), Some(0));
    }
}

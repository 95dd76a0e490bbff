//! The guest's streams: live, byte for byte, each to its own end, and nothing of ours among them.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use sandtrap::Wall;

use crate::kit::{WALLS, finish, guest, report, run, run_command, sandtrap, text_of};
use crate::programs::script;
use crate::report_files;
use crate::running::Running;

const POURED: usize = 100 << 20;

/// Without end, as far as a test goes.
const ENDLESS: [&str; 2] = ["--output", "100GiB"];

#[test]
fn a_hundred_mebibytes_come_through_as_they_were_written() {
    for wall in WALLS {
        let mut command = run_command(&["--output", "128MiB"], &guest(wall, "pour"), &[]);
        let mut child = command.spawn().expect("sandtrap can be started");
        let mut stdout = child.stdout.take().expect("a pipe");
        let mut chunk = vec![0; 1 << 20];
        let mut position = 0;
        loop {
            let count = stdout.read(&mut chunk).expect("a pipe can be read");
            if count == 0 {
                break;
            }
            let wrong =
                (position..).zip(&chunk[..count]).find(|(n, byte)| n % 251 != usize::from(**byte));
            assert_eq!(wrong, None, "{wall:?}");
            position += count;
        }
        assert_eq!(position, POURED, "{wall:?}");
        let ran = crate::kit::Ran::from(child.wait_with_output().expect("an end"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn bytes_that_are_no_text_come_through() {
    let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
    for wall in WALLS {
        let ran = run(&[], &guest(wall, "binary_stdout"));
        assert_eq!((ran.code, &ran.stdout), (Some(0), &bytes));
    }
}

#[test]
fn what_is_beyond_the_limit_is_cut_to_the_byte() {
    for wall in WALLS {
        let ran = run(&["--output", "100001B"], &guest(wall, "flood_stdout"));
        assert_eq!((ran.code, ran.stdout.len()), (Some(153), 100_001));
        assert!(ran.stdout.iter().all(|byte| *byte == b'~'));
        assert_eq!(ran.label(), "stopped.output");
    }
}

#[test]
fn each_stream_goes_to_its_own_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let both = script(folder.path(), "echo out; echo err >&2");
    let ran = run(&[], &both);
    assert_eq!((ran.text(), ran.stderr.as_str()), ("out\n", "err\n"));
    let ran = run(&[], &guest(Wall::Wasm, "lie_stack"));
    assert_eq!((ran.text(), ran.stderr.is_empty()), ("", false));
}

#[test]
fn the_diagnosis_is_never_on_stdout() {
    for wall in WALLS {
        for name in ["abort", "stack_overflow", "exit_3", "sdk_error", "sdk_panic"] {
            let ran = run(&[], &guest(wall, name));
            assert_eq!(ran.text(), "", "{name}");
            assert!(ran.stderr.contains("sandtrap explain "), "{name}: {}", ran.stderr);
        }
    }
}

#[test]
fn with_json_there_is_one_object_on_stdout_and_nothing_else() {
    for wall in WALLS {
        for name in ["hello", "lie_segfault", "abort", "binary_stdout"] {
            let ran = run(&["--json"], &guest(wall, name));
            assert!(ran.report().is_object());
            assert_eq!(ran.stderr, "", "{name}");
        }
    }
}

#[test]
fn stdout_and_stderr_go_to_files_or_nowhere_as_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    for wall in WALLS {
        fs::write(&out, "an old and longer content of the file").expect("a file");
        let ran = run(&["--stdout", text_of(&out)], &guest(wall, "hello"));
        assert_eq!((ran.code, ran.text()), (Some(0), ""));
        assert_eq!(fs::read_to_string(&out).expect("a file"), "hello from the guest\n");
        let ran = run(&["--stderr", text_of(&err)], &guest(wall, "lie_segfault"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let expected = "Segmentation fault (core dumped)\n";
        assert_eq!(fs::read_to_string(&err).expect("a file"), expected);
        let ran = run(&["--stdout", "null"], &guest(wall, "hello"));
        assert_eq!((ran.code, ran.text()), (Some(0), ""));
        let ran = run(&["--stderr", "null"], &guest(wall, "lie_segfault"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn one_file_can_take_both_streams() {
    let folder = tempfile::tempdir().expect("a folder");
    let both = script(folder.path(), "echo out; echo err >&2; echo out again");
    let file = folder.path().join("file");
    let ran = run(&["--stdout", text_of(&file), "--stderr", text_of(&file)], &both);
    assert_eq!(ran.code, Some(0));
    let text = fs::read_to_string(&file).expect("a file");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out", "out again"]);
}

#[test]
fn what_a_guest_writes_is_there_before_it_ends() {
    for wall in WALLS {
        let mut running = Running::start(run_command(&["--stdin", "-"], &guest(wall, "echo"), &[]));
        for _ in 0..3 {
            running.expect_echo();
        }
        running.close_stdin();
        assert_eq!(running.finish().code, Some(0));
    }
}

#[test]
fn when_the_reader_goes_away_sandtrap_ends_without_a_word() {
    for wall in WALLS {
        let mut running = Running::start(run_command(&ENDLESS, &guest(wall, "flood_stdout"), &[]));
        assert_eq!(running.hear(10), b"~~~~~~~~~~");
        running.close_stdout();
        let ran = running.finish();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), ""), "{wall:?}");
    }
}

#[test]
fn when_nobody_reads_what_sandtrap_prints_itself_it_ends_without_a_word() {
    let hello = guest(Wall::Native, "hello");
    let text = text_of(&hello);
    for line in [
        &["run", "--json", text][..],
        &["run", text],
        &["run", "--show-policy"],
        &["explain"],
        &["explain", "completed"],
        &["completions", "bash"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = sandtrap(line);
        command.stdout(Stdio::from(writer));
        let ran = finish(command);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), ""), "{line:?}");
    }
}

#[test]
fn a_guest_that_closes_its_stdout_is_still_seen_to_its_end() {
    for wall in WALLS {
        let report = report(&[], &guest(wall, "close_stdout_and_die"));
        assert_eq!(report["verdict"]["label"], "crashed.abort");
    }
}

#[test]
fn a_reader_that_takes_nothing_cannot_hold_a_guest_beyond_its_time() {
    for wall in WALLS {
        let flags = [&ENDLESS[..], &["--wall", "500ms"]].concat();
        let mut command = run_command(&flags, &guest(wall, "flood_stdout"), &[]);
        // The pipe is open and full, and nobody takes anything from it until sandtrap has ended.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        command.stdout(Stdio::from(writer));
        let ran = finish(command);
        assert_eq!((ran.code, ran.label()), (Some(124), "stopped.wall-time"), "{wall:?}");
        drop(reader);
    }
}

#[test]
fn a_terminal_that_takes_nothing_cannot_hold_a_guest_beyond_its_time() {
    for wall in WALLS {
        let flags = [&ENDLESS[..], &["--wall", "500ms"]].concat();
        // The ends of its lines become two bytes each: the room that is left is no whole piece.
        let mut command = run_command(&flags, &guest(wall, "pour"), &[]);
        let ends = openpty(None, None).expect("a terminal");
        let kept = ends.slave.try_clone().expect("a descriptor");
        command.stdout(Stdio::from(ends.slave));
        let ran = finish(command);
        assert_eq!((ran.code, ran.label()), (Some(124), "stopped.wall-time"), "{wall:?}");
        let flags = OFlag::from_bits_retain(fcntl(&kept, FcntlArg::F_GETFL).expect("open"));
        assert!(!flags.contains(OFlag::O_NONBLOCK), "it belongs to others, too");
        drop(ends.master);
    }
}

#[test]
fn the_first_ctrl_c_ends_a_guest_whose_terminal_takes_nothing() {
    for wall in WALLS {
        let (_folder, file) = report_files::place();
        let flags = [&ENDLESS[..], &["--report", text_of(&file)]].concat();
        let mut command = run_command(&flags, &guest(wall, "pour"), &[]);
        let ends = openpty(None, None).expect("a terminal");
        command.stdout(Stdio::from(ends.slave));
        let running = Running::start(command);
        let mut master = fs::File::from(ends.master);
        master.read_exact(&mut [0]).expect("the guest writes");
        running.signal(Signal::SIGINT);
        assert_eq!(running.finish().code, Some(130), "{wall:?}");
        assert_eq!(report_files::read(&file)["verdict"]["label"], "stopped.cancelled");
    }
}

#[test]
fn all_of_it_comes_through_a_terminal_that_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    let mut command = run_command(&[], &script(folder.path(), lines), &[]);
    let ends = openpty(None, None).expect("a terminal");
    command.stdout(Stdio::from(ends.slave)).stderr(Stdio::null());
    let mut child = command.spawn().expect("sandtrap can be started");
    drop(command);
    let mut all = Vec::new();
    // A terminal whose other end nobody has any more ends with an error, and not in order.
    let _ = fs::File::from(ends.master).read_to_end(&mut all);
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    let expected: String = (0..20_000).map(|i| format!("line {i}\r\n")).collect();
    assert!(all == expected.as_bytes(), "{} bytes of {}", all.len(), expected.len());
}

#[test]
fn a_disk_that_is_full_is_told_and_is_no_fault_of_the_guest() {
    for wall in WALLS {
        for stream in ["--stdout", "--stderr"] {
            let name = if stream == "--stdout" { "hello" } else { "lie_segfault" };
            let ran = run(&[stream, "/dev/full"], &guest(wall, name));
            ran.assert_refused(125);
            assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
        }
    }
}

//! Inputs that make a guest wait: pipes with a name, and descriptors that the host has open.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::waiting::{assert_stopped, soon};
use super::*;
use crate::evidence::{Step, StopReason, TrapCause};
use crate::quantity::ByteSize;
use crate::task::Stdin;

/// A pipe with a name, taken away again in the end.
struct Pipe(PathBuf);

impl Pipe {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sandtrap-{name}-{}", std::process::id()));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Self(path)
    }

    fn stdin(&self) -> Stdin {
        Stdin::File(self.0.clone())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Says that it is there, reads once, and exits with how many bytes it got.
fn reads() -> String {
    wasi(
        "(memory (export \"memory\") 1) (data (i32.const 4) \"\\01\")
         (func (export \"_start\")
           (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
           (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 64))
           (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
           (call $proc_exit (i32.load (i32.const 16))))",
    )
}

#[test]
fn a_read_of_all_that_may_be_read_is_granted_and_one_of_more_is_the_end() {
    let zero = || command().stdin(Stdin::File("/dev/zero".into()));
    let bounded = |bytes| Limits { stdin: Some(ByteSize::bytes(bytes)), ..limits() };
    let evidence = run_task(&program(&reads()).limits(bounded(64)), &zero());
    assert_eq!(evidence.ending, Ending::Exited(64));
    let evidence = run_task(&program(&reads()).limits(bounded(63)), &zero());
    assert_stopped(&evidence, StopReason::Stdin);
}

#[test]
fn a_deadline_ends_a_guest_that_waits_for_input() {
    let pipe = Pipe::new("never");
    let evidence = run_task(&program(&reads()).limits(soon()), &command().stdin(pipe.stdin()));
    assert_stopped(&evidence, StopReason::WallTime);
    assert_eq!(evidence.usage.stdout_bytes, 1);
}

#[test]
fn a_guest_that_waits_for_input_gets_it_when_it_comes() {
    let pipe = Pipe::new("later");
    let program = program(&reads());
    let image = load(&program).unwrap();
    let mut writer = None;
    let mut ear = |_: Event<'_>| {
        let mut file = std::fs::OpenOptions::new().write(true).open(&pipe.0).unwrap();
        file.write_all(b"hello").unwrap();
        writer = Some(file);
    };
    let task = command().stdin(pipe.stdin());
    let evidence = run_image(&*image, &program, &task, &StopHandle::new(), &mut ear);
    assert_eq!(evidence.ending, Ending::Exited(5));
}

/// Waits for input or a moment of time, whichever comes first; exits with the event's type.
const POLLS: &str = "(memory (export \"memory\") 1)
     (func (export \"_start\")
       (i32.store8 (i32.const 8) (i32.const 1))
       (i32.store (i32.const 64) (i32.const 1))
       (i64.store (i32.const 72) (i64.const 20000000))
       (drop (call $poll (i32.const 0) (i32.const 200) (i32.const 2) (i32.const 400)))
       (call $proc_exit (i32.load8_u (i32.const 210))))";

#[test]
fn a_guest_may_wait_for_input_and_for_time_at_once() {
    let pipe = Pipe::new("polled");
    let task = command().stdin(pipe.stdin());
    assert_eq!(run_task(&program(&wasi(POLLS)), &task).ending, Ending::Exited(0), "the clock");
    let hour = wasi(&POLLS.replace("20000000", "3600000000000"));
    let evidence = run_task(&program(&hour), &command().stdin(Stdin::Bytes([1].into())));
    assert_eq!(evidence.ending, Ending::Exited(1), "the input");
}

fn descriptor(open: impl Into<OwnedFd>) -> Stdin {
    Stdin::Descriptor(Arc::new(open.into()))
}

fn read_from(stdin: Stdin) -> Evidence {
    run_task(&program(&reads()).limits(soon()), &command().stdin(stdin))
}

#[test]
fn a_guest_reads_an_open_file_on_from_where_it_stands() {
    let path = std::env::temp_dir().join(format!("sandtrap-open-{}", std::process::id()));
    std::fs::write(&path, b"0123456789").unwrap();
    let mut file = File::open(&path).unwrap();
    file.seek(SeekFrom::Start(7)).unwrap();
    let given = descriptor(file.try_clone().unwrap());
    assert_eq!(read_from(given).ending, Ending::Exited(3));
    assert_eq!(file.stream_position().unwrap(), 10);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_guest_reads_an_open_pipe_or_socket_and_sees_its_end() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    writer.write_all(b"hello").unwrap();
    far.write_all(b"hello!").unwrap();
    let (pipe, socket) = (descriptor(reader), descriptor(near));
    assert_eq!(read_from(pipe.clone()).ending, Ending::Exited(5));
    assert_eq!(read_from(socket.clone()).ending, Ending::Exited(6));
    drop((writer, far));
    assert_eq!(read_from(pipe).ending, Ending::Exited(0));
    assert_eq!(read_from(socket).ending, Ending::Exited(0));
}

#[test]
fn a_named_pipe_whose_writer_has_gone_is_at_its_end() {
    let pipe = Pipe::new("left");
    let open = |write| File::options().read(true).write(write).open(&pipe.0).unwrap();
    let both = open(true);
    let reader = open(false);
    drop(both);
    assert_eq!(read_from(descriptor(reader)).ending, Ending::Exited(0));
}

#[test]
fn a_deadline_ends_a_guest_that_waits_for_an_open_pipe_and_leaves_the_pipe_as_it_was() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    for open in [OwnedFd::from(reader), OwnedFd::from(near)] {
        let flags = || OFlag::from_bits_truncate(fcntl(&open, FcntlArg::F_GETFL).unwrap());
        assert_stopped(&read_from(descriptor(open.try_clone().unwrap())), StopReason::WallTime);
        assert!(!flags().contains(OFlag::O_NONBLOCK));
    }
}

#[test]
fn of_guests_that_share_a_pipe_one_gets_what_comes_and_the_others_can_be_stopped() {
    const GUESTS: usize = 8;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let task = command().stdin(descriptor(reader));
    let program = program(&reads());
    let image = load(&program).unwrap();
    let begun = std::sync::Barrier::new(GUESTS + 1);
    let stop = StopHandle::new();
    let (say, said) = std::sync::mpsc::channel();
    let all: Vec<Evidence> = std::thread::scope(|scope| {
        for _ in 0..GUESTS {
            let (say, image, program, task, begun, stop) =
                (say.clone(), &image, &program, &task, &begun, &stop);
            scope.spawn(move || {
                let mut ear = |_: Event<'_>| {
                    begun.wait();
                };
                say.send(run_image(&**image, program, task, stop, &mut ear)).unwrap();
            });
        }
        begun.wait();
        writer.write_all(b"x").unwrap();
        // Whoever got it ends; the others wait for ever, and that until they are stopped.
        let first = said.recv().unwrap();
        stop.stop(StopReason::Cancelled);
        std::iter::once(first).chain(said.iter().take(GUESTS - 1)).collect()
    });
    let fed = all.iter().filter(|one| one.ending == Ending::Exited(1)).count();
    let stopped = Ending::Trapped(TrapCause::Interrupted);
    let starved = all.iter().filter(|one| one.ending == stopped).count();
    assert_eq!((fed, starved), (1, GUESTS - 1));
}

#[test]
fn a_descriptor_that_is_only_written_to_is_refused() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let evidence = read_from(descriptor(writer));
    assert_eq!(refusal(&evidence).step, Step::Accept);
    assert!(refusal(&evidence).detail.contains("the given descriptor cannot be opened as stdin"));
    let mut rest = Vec::new();
    assert_eq!(reader.read_to_end(&mut rest).unwrap(), 0, "nobody holds the other end");
}

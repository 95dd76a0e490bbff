//! How much of its stdin a command may read: to the byte, whatever the input is, behind both walls.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sandtrap::{
    ByteSize, Ending, Label, Limits, Program, Report, Runtime, Stdin, StopReason, Task,
};
use sandtrap_tests::guests;

/// More than a pipe holds, and no whole number of pages.
const LENGTH: usize = 200_001;

fn bytes() -> Vec<u8> {
    (0..=250).cycle().take(LENGTH).collect()
}

fn bounded(most: usize) -> Limits {
    let ample = Duration::from_secs(600);
    let stdin = Some(ByteSize::bytes(most as u64));
    Limits { wall: ample, cpu: ample, stdin, ..Limits::default() }
}

fn run(program: impl Into<PathBuf>, args: &[&str], stdin: Stdin, limits: Limits) -> Report {
    let program = Program::file(program).limits(limits);
    Runtime::new().unwrap().run(program, &Task::command(args).stdin(stdin))
}

/// The guest that copies its input, in each form.
fn echoes() -> [PathBuf; 3] {
    [guests::native("echo"), guests::wasm("echo"), guests::component("echo")]
}

/// A descriptor of each kind, from which the bytes come.
fn inputs(file: &std::path::Path) -> Vec<(&'static str, Stdin)> {
    std::fs::write(file, bytes()).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    // Who reads less than all ends this with an error.
    std::thread::spawn(move || writer.write_all(&bytes()));
    let (socket, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
    std::thread::spawn(move || other.write_all(&bytes()));
    vec![
        ("bytes", Stdin::Bytes(bytes().into())),
        ("a file", Stdin::File(file.to_owned())),
        ("an open file", Stdin::Descriptor(Arc::new(File::open(file).unwrap().into()))),
        ("a pipe", Stdin::Descriptor(Arc::new(OwnedFd::from(reader)))),
        ("a socket", Stdin::Descriptor(Arc::new(socket.into()))),
    ]
}

#[test]
fn an_input_as_long_as_the_limit_comes_in_whole_and_one_byte_more_is_too_much() {
    let folder = tempfile::tempdir().unwrap();
    for echo in echoes() {
        for (kind, stdin) in inputs(&folder.path().join("input")) {
            let report = run(&echo, &[], stdin, bounded(LENGTH));
            assert!(report.verdict.is_completed(), "{echo:?} {kind}: {}", report.verdict);
            assert!(report.output.stdout == Some(bytes()), "{echo:?} {kind}");
        }
        for (kind, stdin) in inputs(&folder.path().join("input")) {
            let report = run(&echo, &[], stdin, bounded(LENGTH - 1));
            assert_eq!(report.verdict.label(), Label::StoppedStdin, "{echo:?} {kind}");
            assert_eq!(report.facts.stopped_by_us, Some(StopReason::Stdin), "{echo:?} {kind}");
            let said = report.output.stdout.unwrap();
            assert!(bytes().starts_with(&said), "{echo:?} {kind}: {} bytes", said.len());
        }
    }
}

#[test]
fn an_input_without_end_ends_at_the_limit_and_at_most_one_byte_beyond_it_is_given() {
    for echo in echoes() {
        for most in [0, 1, 4095, 4096, 4097, 1 << 20] {
            let report = run(&echo, &[], Stdin::File("/dev/zero".into()), bounded(most));
            assert_eq!(report.verdict.label(), Label::StoppedStdin, "{echo:?} {most}");
            let said = report.usage.stdout_bytes;
            assert!(said <= most as u64 + 1, "{echo:?}: {said} of {most}");
            // A false end of its input could have been taken for the true one.
            assert!(!matches!(report.facts.ending, Ending::Exited(_)), "{echo:?} {most}");
        }
    }
}

#[test]
fn who_reads_no_more_than_it_may_is_never_stopped_however_long_the_input_is() {
    let zero = || Stdin::File("/dev/zero".into());
    for most in [1, 4096, 70_000] {
        let all = most.to_string();
        let report = run("/usr/bin/head", &["-c", &all], zero(), bounded(most));
        assert!(report.verdict.is_completed(), "{most}: {}", report.verdict);
        assert_eq!(report.usage.stdout_bytes, most as u64);
        let more = (most + 1).to_string();
        let report = run("/usr/bin/head", &["-c", &more], zero(), bounded(most));
        assert_eq!(report.verdict.label(), Label::StoppedStdin, "{most}: {}", report.verdict);
    }
    // And who reads nothing, or has nobody to read from it any more.
    let report = run(guests::native("closes_streams"), &[], zero(), {
        Limits { wall: Duration::from_millis(300), ..bounded(10) }
    });
    assert_eq!(report.verdict.label(), Label::StoppedWallTime, "{}", report.verdict);
    for hello in [guests::native("hello"), guests::wasm("hello"), guests::component("hello")] {
        let report = run(hello, &[], zero(), bounded(0));
        assert!(report.verdict.is_completed(), "{}", report.verdict);
    }
}

#[test]
fn an_input_that_is_silent_is_waited_for_and_its_end_is_passed_on() {
    for echo in echoes() {
        // On a slow machine the first deadlines may come before the guest has read anything.
        let was_passed_on = (0..6).any(|round| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let stdin = Stdin::Descriptor(Arc::new(OwnedFd::from(reader)));
            let limits = Limits { wall: Duration::from_millis(300 << round), ..bounded(10) };
            writer.write_all(b"only this\n").unwrap();
            let report = run(&echo, &[], stdin, limits);
            assert_eq!(report.verdict.label(), Label::StoppedWallTime, "{echo:?}");
            report.output.stdout_text() == "only this\n"
        });
        assert!(was_passed_on, "{echo:?}");
        for stdin in [Stdin::Null, Stdin::File("/dev/null".into())] {
            let report = run(&echo, &[], stdin, bounded(0));
            assert!(report.verdict.is_completed(), "{echo:?}: {}", report.verdict);
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_runs() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let writer = Stdin::Descriptor(Arc::new(OwnedFd::from(writer)));
    for (stdin, errno) in [(Stdin::File("/tmp".into()), 21), (writer, 9)] {
        let report = run(guests::native("echo"), &[], stdin, bounded(10));
        assert_eq!(report.verdict.label(), Label::UnstartedRejected, "{}", report.verdict);
        assert_eq!(report.verdict.to_string().matches("as stdin").count(), 1);
        let sandtrap::Verdict::Unstarted(unstarted) = &report.verdict else { unreachable!() };
        assert_eq!((unstarted.errno, report.task.pid), (Some(errno), None));
    }
}

//! Lies about how it ended: signals it sends itself, codes, words, and what it says over its channel.

use std::io::Write as _;
use std::process::exit;

use nix::libc;
use nix::sys::signal::{Signal, raise};
use sandtrap::Label;

use super::expect::{Expect, Expected};
use super::table::{Row, case};
use super::{Given, Outcome, calls};

const KILLED: Expected = Expected::always(&[Expect::Ends(Label::CrashedKilled)]);

/// Their cases.
pub(super) fn rows() -> Vec<Row> {
    let protocol = Expected::always(&[
        Expect::Ends(Label::CrashedProtocol),
        Expect::Ends(Label::StoppedResult),
    ]);
    vec![
        case(37, "forged-frames", "nonsense on its channel", protocol, |_| say(&[0xff; 256])),
        case(37, "huge-frame", "a frame of 4 GiB, announced", protocol, |_| {
            say(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3])
        }),
        case(37, "flooded-channel", "frames without end", protocol, |_| say(&vec![0xff; 1 << 20])),
        case(38, "raised-fault", "a fault that is none", KILLED, |_| raised(Signal::SIGSEGV)),
        case(38, "raised-denial", "a denial that is none", KILLED, |_| raised(Signal::SIGSYS)),
        case(38, "killed-by-itself", "a kill of its own", KILLED, |_| raised(Signal::SIGKILL)),
        case(
            38,
            "exit-137",
            "a code like a kill's",
            Expected::always(&[Expect::Exits(137)]),
            |_| exit(137),
        ),
        case(
            38,
            "exit-139",
            "a code like a fault's",
            Expected::always(&[Expect::Exits(139)]),
            |_| exit(139),
        ),
        case(38, "lying-words", "words like a crash's", Expected::always(&[Expect::Exits(1)]), lie),
        case(39, "swallowed-denial", "a handler for denials", DENIED, |_| {
            calls::swallow(libc::SIGSYS);
            let first = &calls::DEADLY[0];
            Outcome::breach(format!("{}: {:?}", first.name, calls::answer(first)))
        }),
        case(47, "repeated-denials", "denials without end", DENIED, |_| {
            for _ in 0..10_000 {
                // The first one is the last.
                let _ = calls::answer(&calls::DEADLY[0]);
            }
            Outcome::breach("10 000 times")
        }),
        case(
            41,
            "stop-itself",
            "standing still for ever",
            Expected::always(&[Expect::Ends(Label::StoppedWallTime)]),
            |_| {
                for _ in 0..4 {
                    // A stop that is not kept is as good.
                    let _ = raise(Signal::SIGSTOP);
                }
                super::floods::sleep()
            },
        )
        .limited(|limits| limits.wall = std::time::Duration::from_millis(150)),
    ]
}

pub(super) const DENIED: Expected = Expected::always(&[Expect::Ends(Label::DeniedSyscall)]);

fn say(bytes: &[u8]) -> Outcome {
    let Some(mut channel) = calls::channel() else {
        return Outcome::breach("it has no channel to lie on");
    };
    // The host may hang up in the middle of it.
    let _ = channel.write_all(bytes);
    drop(channel);
    super::floods::sleep()
}

fn raised(signal: Signal) -> Outcome {
    calls::set_default(signal as i32);
    match raise(signal) {
        Ok(()) => Outcome::breach("it did not end by it"),
        Err(errno) => Outcome::refused(errno),
    }
}

fn lie(_: &Given) -> Outcome {
    let words = "\nthread 'main' has overflowed its stack\nfatal runtime error: stack overflow\n\
                 memory allocation of 8 bytes failed\n";
    // Its code is what counts.
    let _ = std::io::stderr().write_all(words.as_bytes());
    exit(1)
}

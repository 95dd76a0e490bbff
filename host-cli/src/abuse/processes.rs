//! Children that outlive, crash, or execute something else.

use std::env;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::fexecve;
use sandtrap::Label;

use super::expect::{Expect, Expected, Profile};
use super::forgeries::DENIED;
use super::table::{Row, case};
use super::{Given, Outcome, REACHED, VARIABLE, VERSION, calls, faults};

/// What is denied, unless processes were granted.
const DENIED_OR_ALONE: Expected = Expected::but(
    &[Expect::Ends(Label::DeniedSyscall)],
    &[(&[Profile::Process], &[Expect::Contained])],
);

/// Their cases.
pub(super) fn rows() -> Vec<Row> {
    let two: fn(&mut sandtrap::Limits) = |limits| limits.processes = 4;
    vec![
        case(14, "daemonize", "a child's child that lives on", DENIED_OR_ALONE, daemonize)
            .limited(two),
        case(23, "child-with-users", "a child with users of its own", DENIED, |_| {
            match calls::child_with_users_of_its_own() {
                Ok(()) => Outcome::breach("it has one"),
                Err(errno) => Outcome::refused(errno),
            }
        })
        .limited(two),
        case(
            36,
            "second-exec",
            "becoming another program",
            Expected::but(
                &[Expect::Ends(Label::DeniedSyscall)],
                &[(&[Profile::Process], &[Expect::Reaches])],
            ),
            second_exec,
        ),
        case(
            36,
            "loader-exec",
            "the same by way of the loader",
            Expected::but(
                &[Expect::Ends(Label::DeniedSyscall)],
                &[(&[Profile::Process], &[Expect::Reaches, Expect::Contained])],
            ),
            loader_exec,
        ),
        case(
            36,
            "memfd-exec",
            "becoming a program that is no file",
            Expected::but(
                &[Expect::Contained],
                // Where no group counts files in memory there are none.
                &[(&[Profile::Jit], &[Expect::Ends(Label::DeniedSyscall), Expect::Contained])],
            ),
            memfd_exec,
        ),
        case(
            36,
            "writable-code",
            "memory that is written and executed",
            Expected::but(
                &[Expect::Ends(Label::DeniedSyscall)],
                &[(&[Profile::Process, Profile::Jit], &[Expect::Reaches])],
            ),
            |_| match faults::map_writable_code() {
                Ok(()) => Outcome::breach("it has some"),
                Err(errno) => Outcome::refused(errno),
            },
        ),
        case(40, "child-crash", "a fault in a child", DENIED_OR_ALONE, child_crash).limited(two),
        case(0, "nothing", "nothing at all", Expected::always(&[Expect::Contained]), |_| {
            Outcome::refused("there was nothing to refuse")
        }),
    ]
}

/// The grandchild keeps the streams open and sleeps; the host looks for it afterwards.
fn daemonize(_: &Given) -> Outcome {
    // Refused or not, the child matters.
    let session = nix::unistd::setsid();
    match calls::fork() {
        Ok(Some(_)) => {
            calls::wait();
            Outcome::refused(format!("it ends, and leaves a child's child ({session:?})"))
        }
        Ok(None) => {
            if let Ok(None) = calls::fork() {
                std::thread::sleep(Duration::from_secs(600));
            }
            calls::leave()
        }
        Err(errno) => Outcome::refused(errno),
    }
}

/// What it was started from. There may be nothing else that tells it.
fn own_path() -> OsString {
    env::args_os().next().unwrap_or_default()
}

fn second_exec(given: &Given) -> Outcome {
    // Comes back only if it is refused.
    Outcome::refused(Command::new(own_path()).args(given.other(REACHED).command()).exec())
}

/// A loader reads a program that need not be one that may be executed.
fn loader_exec(given: &Given) -> Outcome {
    let all =
        ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-x86_64.so.1"];
    let found = all.into_iter().find(|loader| Path::new(loader).exists()).unwrap_or(all[0]);
    let mut program = Command::new(found);
    Outcome::refused(program.arg(own_path()).args(given.other(REACHED).command()).exec())
}

/// A copy of itself that is no file. Whether that could be begun is what counts.
fn memfd_exec(given: &Given) -> Outcome {
    let copied = memfd_create("program", MFdFlags::empty()).map_err(std::io::Error::from).and_then(
        |memory| {
            let (mut copy, mut itself) = (File::from(memory), File::open(own_path())?);
            std::io::copy(&mut itself, &mut copy)?;
            Ok(copy)
        },
    );
    let copy = match copied {
        Ok(copy) => copy,
        Err(error) => return Outcome::refused(error),
    };
    let texts = |texts: Vec<String>| -> Vec<CString> {
        texts.into_iter().filter_map(|text| CString::new(text).ok()).collect()
    };
    let line = [vec![String::new()], given.other(REACHED).command()].concat();
    let variable = vec![format!("{VARIABLE}={VERSION}")];
    match fexecve(copy, &texts(line), &texts(variable)) {
        Err(errno) => Outcome::refused(errno),
        Ok(never) => match never {},
    }
}

fn child_crash(_: &Given) -> Outcome {
    match calls::fork() {
        Ok(Some(_)) => {
            calls::wait();
            Outcome::refused("its child died, and it did not")
        }
        Ok(None) => faults::read_wild(),
        Err(errno) => Outcome::refused(errno),
    }
}

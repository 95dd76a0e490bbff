//! Files and processes beyond its walls.

use std::fs::{File, OpenOptions};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::kill;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::Pid;

use super::expect::{Expect, Expected};
use super::table::{Row, case};
use super::{Given, Outcome, calls};

const CONTAINED: Expected = Expected::always(&[Expect::Contained]);

/// Files of the host that every user can read.
const SYSTEM_FILES: [&str; 3] = ["/etc/passwd", "/etc/ld.so.cache", "/bin/sh"];

/// Places from which groups of processes are ruled.
const GROUPS: [&str; 4] = [
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory/cgroup.procs",
    "/sys/fs/cgroup/memory/release_agent",
    "/sys/fs/cgroup/unified/cgroup.procs",
];

/// Their cases.
pub(super) fn rows() -> Vec<Row> {
    vec![
        case(2, "memory-by-file", "another process's memory as a file", CONTAINED, |given| {
            any_opened(&["/proc/1/mem".into(), format!("/proc/{}/mem", given.host)], false)
        }),
        case(2, "environment-by-file", "another process's environment", CONTAINED, |given| {
            any_opened(&["/proc/1/environ".into(), format!("/proc/{}/environ", given.host)], false)
        }),
        case(2, "host-secret", "a file of its host's", CONTAINED, |given| {
            any_opened(&[given.folder.join("secret").display().to_string()], false)
        }),
        case(4, "signal-host", "a signal to its host", CONTAINED, |given| {
            beyond(given, || kill(Pid::from_raw(given.host), None))
        }),
        case(4, "signal-by-descriptor", "the same by a descriptor", CONTAINED, |given| {
            beyond(given, || calls::signal_by_descriptor(given.host))
        }),
        case(4, "signal-thread", "the same to one of its threads", CONTAINED, |given| {
            beyond(given, || calls::signal_thread(given.host))
        }),
        case(29, "device-node", "a device of its own", CONTAINED, device_node),
        case(44, "own-program", "overwriting what it is run from", CONTAINED, |_| {
            let itself = std::env::current_exe().map(|path| path.display().to_string());
            let itself = itself.unwrap_or_default();
            any_opened(&["/proc/self/exe".into(), itself], true)
        }),
        case(45, "rule-groups", "leaving its group", CONTAINED, |_| {
            any_opened(&GROUPS.map(str::to_owned), true)
        }),
        case(46, "namespace-by-file", "its host's namespaces as files", CONTAINED, |given| {
            any_opened(&["/proc/1/ns/mnt".into(), format!("/proc/{}/ns/mnt", given.host)], false)
        }),
        case(46, "lock-system-files", "locks on files of the system", CONTAINED, lock_system_file),
        case(48, "realtime", "running before all others", CONTAINED, |_| {
            answered(calls::become_realtime())
        }),
    ]
    .into_iter()
    .chain(here())
    .collect()
}

/// The doors of the kernel that only this kind of machine has.
#[cfg(target_arch = "x86_64")]
fn here() -> Vec<Row> {
    vec![case(34, "old-door", "32-bit calls", super::forgeries::DENIED, |_| {
        match calls::through_the_old_door() {
            pid if pid > 0 => Outcome::breach(format!("it is process {pid}")),
            errno => Outcome::refused(errno),
        }
    })]
}

/// The same, where there are none.
#[cfg(not(target_arch = "x86_64"))]
fn here() -> Vec<Row> {
    Vec::new()
}

fn answered(answer: Result<(), Errno>) -> Outcome {
    match answer {
        Ok(()) => Outcome::breach("it was done"),
        Err(errno) => Outcome::refused(errno),
    }
}

/// The first numbers of a namespace are those of whoever keeps the guest. A host has one of them in a container,
/// and from the number nothing can be told then.
fn beyond(given: &Given, act: impl Fn() -> Result<(), Errno>) -> Outcome {
    const FIRST: i32 = 10;
    match given.host {
        ..FIRST => Outcome::refused("its host's number is its own namespace's, too"),
        _ => answered(act()),
    }
}

fn any_opened(paths: &[String], write: bool) -> Outcome {
    let mut last = String::new();
    for path in paths {
        match OpenOptions::new().read(!write).write(write).open(path) {
            Ok(_) => return Outcome::breach(format!("{path} is open")),
            Err(error) => last = format!("{path}: {error}"),
        }
    }
    Outcome::refused(last)
}

/// The device that is always full of nothing, made where it may write.
fn device_node(given: &Given) -> Outcome {
    let name = given.folder.file_name().unwrap_or_default();
    let place = Path::new("/tmp").join(name).with_extension("null");
    let made = mknod(&place, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3));
    if made.is_ok() {
        // Nothing of it stays where `/tmp` is the host's.
        let _ = std::fs::remove_file(&place);
    }
    answered(made)
}

fn lock_system_file(_: &Given) -> Outcome {
    let mut last = "there is none".to_owned();
    for path in SYSTEM_FILES {
        match File::open(path).map(|file| Flock::lock(file, FlockArg::LockSharedNonblock)) {
            Ok(Ok(_)) => return Outcome::breach(format!("{path} is locked")),
            Ok(Err((_, errno))) => last = format!("{path}: {errno}"),
            Err(error) => last = format!("{path}: {error}"),
        }
    }
    Outcome::refused(last)
}

//! The host is killed in the middle of its tasks (`kill -9`): what is left of them, and for how long.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sandtrap::Wall;
use serde_json::json;

use crate::kit::{guest, host_has, sandtrap, text_of};
use crate::running::{Running, groups_of, is_alive};

/// After so long everything has to be gone.
const MOMENT: Duration = Duration::from_millis(100);

/// How long a death takes says how much it needs at most, and the rest is waiting for a processor that others have. So it is
/// the quickest of some that counts; on an idle machine that is the first.
const DEATHS: usize = 50;

/// The size of a scratch that nobody else has, neither another test nor another process of tests, and how a list of mounts shows it.
/// The largest still fits into the memory that a guest has by default.
fn scratch() -> (String, String) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static OWN: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    let own = OWN.with(|own| own % 8) + 8 * u64::from(std::process::id() % 8_000);
    let kib = 2_236 + 4 * own;
    // A page is for the folder itself.
    (format!("{kib}KiB"), format!("size={}k", kib + 4))
}

/// A host with tasks of its own, by which each of their processes is known, and where it would put files.
struct Host {
    running: Running,
    mark: String,
    files: tempfile::TempDir,
}

impl Host {
    /// Starts one with a variable that all its guests have. It is given its flags after the verb.
    fn start(arguments: &[&str], guest: impl FnOnce(&mut Command)) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let mark = format!("LEFT_OF={}", files.path().display());
        let mut command = sandtrap([&arguments[..1], &["--env", &mark], &arguments[1..]].concat());
        command.env("TMPDIR", files.path());
        guest(&mut command);
        Self { running: Running::start(command), mark, files }
    }

    /// Its keeper, and every process of its tasks; but not its heir.
    fn processes(&self) -> Vec<u32> {
        let mut all = self.running.children();
        all.extend(processes().filter(|pid| self.is_of_a_task(*pid)));
        all.sort_unstable();
        all.dedup();
        all
    }

    fn is_of_a_task(&self, pid: u32) -> bool {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        pid != self.running.pid()
            && variables.split(|it| *it == 0).any(|it| it == self.mark.as_bytes())
    }

    /// Kills it, and says how long it took until nothing of it was there.
    fn die(mut self) -> Duration {
        let host = self.running.pid();
        assert_eq!(groups_of(host).is_empty(), !host_has("memory-group"));
        let others = self.processes().into_iter().chain(self.running.heir()).map(door);
        let others = others.collect::<Vec<_>>();
        let began = Instant::now();
        self.running.signal(Signal::SIGKILL);
        others.iter().for_each(wait);
        // Nobody has its streams any more.
        self.running.hear_the_rest();
        let took = began.elapsed();
        assert_eq!(groups_of(host), Vec::<String>::new());
        let alive = |pid: &u32| is_alive(u64::from(*pid)) && self.is_of_a_task(*pid);
        assert_eq!(processes().filter(alive).collect::<Vec<_>>(), Vec::<u32>::new());
        assert_eq!(scratches(), 0);
        assert_eq!(self.files.path().read_dir().expect("a folder").count(), 0);
        assert_eq!(self.running.finish().code, None);
        took
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Somebody who has this scratch among his mounts.
fn scratches() -> usize {
    let lists =
        processes().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok());
    let (_, shown) = scratch();
    lists.filter(|list| list.contains(&shown)).count()
}

/// What can be waited for until a process is dead, whoever buries it.
fn door(pid: u32) -> Option<OwnedFd> {
    // None if it is gone already.
    pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()
}

fn wait(door: &Option<OwnedFd>) {
    let Some(door) = door else { return };
    let mut doors = [PollFd::new(door.as_fd(), PollFlags::POLLIN)];
    while poll(&mut doors, PollTimeout::NONE).is_err() {}
}

/// One of some deaths takes no longer than a moment.
#[track_caller]
fn assert_soon(start: impl Fn() -> Host) {
    let mut deaths = Vec::new();
    while deaths.len() < DEATHS {
        deaths.push(start().die());
        if deaths.last() <= Some(&MOMENT) {
            return;
        }
    }
    panic!("none of {DEATHS} hosts was gone, with all of its own, after {MOMENT:?}: {deaths:?}");
}

#[test]
fn b24_p10_100_ms_after_its_host_was_killed_nothing_of_a_tree_of_processes_is_left() {
    let body = "(while :; do :; done) & echo here; read line";
    assert_soon(|| {
        let flags = ["run", "--stdin", "-", "--profile", "process", "--processes", "4"];
        let (size, _) = scratch();
        let scratch = ["--scratch", &size];
        let scratch = if host_has("mount-namespace") { &scratch[..] } else { &[] };
        let mut host = Host::start(&[&flags, scratch].concat(), |command| {
            command.args(["/bin/sh", "-c", body]);
        });
        assert_eq!(host.running.hear(5), b"here\n");
        assert_eq!(scratches() > 0, !scratch.is_empty());
        // The keeper, the shell and the one that it started.
        assert!(host.processes().len() >= 3, "{:?}", host.processes());
        host
    });
}

#[test]
fn b7_p10_100_ms_after_its_host_was_killed_nothing_of_a_warm_guest_and_its_forks_is_left() {
    assert_soon(|| {
        let flags = ["call", "--wall", "10m", "--start", "fork"];
        let mut host = Host::start(&flags, |command| {
            command.arg(guest(Wall::Native, "warmed")).arg("sleeps");
        });
        assert_eq!(host.running.hear(5), b"here\n");
        host
    });
}

#[test]
fn p10_100_ms_after_its_host_was_killed_nothing_of_a_pool_is_left() {
    let next = json!({"program": text_of(&guest(Wall::Native, "stays")), "function": "next", "input": null});
    assert_soon(|| {
        let flags = ["batch", "-", "--workers", "2", "--reuse", "warm", "--spares", "2"];
        let mut host = Host::start(&flags, |_| ());
        host.running.say(&format!("{next}\n{next}\n"));
        // The keeper, one that is kept at least, and a spare.
        while host.running.children().len() < 3 {
            thread::yield_now();
        }
        host
    });
}

//! Warm guests that do what nobody asked of them when they are warm: they are ended, and others make the next tasks.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::{Limits, Permissions, Start};

use super::forks::{alone, limits, load, program, settled};

/// A number that the kernel says of a process.
fn said(pid: Pid, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().parse().unwrap()
}

/// Has a guest do that as soon as it is warm, and gives what it did it in, and what made the next task.
fn busy_when_warm(how: &str, is_busy: impl Fn(Pid) -> bool) -> (Vec<Pid>, Vec<Pid>) {
    let (_folder, file) = alone();
    let mut permissions = Permissions::default();
    permissions.env.push(("WARM_UP".into(), how.into()));
    let limits = Limits { cpu: Duration::from_secs(1), ..limits() };
    let guest = load(program(&file, Start::Fork).limits(limits).permissions(permissions));
    assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
    let first = settled(&file, 1);
    kill(first[0], Signal::SIGUSR1).unwrap();
    while !is_busy(first[0]) {
        std::thread::yield_now();
    }
    assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
    let second = settled(&file, 1);
    assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
    assert_eq!(settled(&file, 1), second, "one that waits is forked again");
    (first, second)
}

#[test]
fn a_warm_guest_that_uses_processor_time_on_its_own_makes_no_more_tasks() {
    let has_spun = |pid: Pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = fields.split(' ').nth(11).unwrap().parse().unwrap();
        // Of a hundred in a second.
        ticks > 150
    };
    let (first, second) = busy_when_warm("spins when warm", has_spun);
    assert_ne!(first, second);
    assert_eq!(second.len(), 1);
}

#[test]
fn a_warm_guest_that_starts_a_thread_makes_no_more_tasks() {
    let (first, second) = busy_when_warm("threads when warm", |pid| said(pid, "Threads:") == 2);
    assert_ne!(first, second);
    assert_eq!(second.len(), 1);
}

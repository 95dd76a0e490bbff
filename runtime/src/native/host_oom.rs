//! Whether the kernel killed a task because the whole host was out of memory.
//!
//! The kernel counts such kills for the host, and names the victim in its log, which not everybody may read. The
//! counter alone says that somebody was killed, in whatever group: then it is a conclusion.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::evidence::Basis;

/// Kills for want of memory on the whole host, as far as they were counted before a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostKills(Option<u64>);

/// The log is a ring of this many records at most that are looked at.
const MOST_RECORDS: usize = 1 << 16;

/// The number that the kernel gives to the first namespace of process numbers.
const FIRST_NAMESPACE: u64 = 0xeffffffc;

/// The counter stands among a hundred others, and to read them costs as much as to start a small process.
const COUNT_AGAIN_AFTER: Duration = Duration::from_secs(1);

static LAST_COUNT: Mutex<Option<(Instant, Option<u64>)>> = Mutex::new(None);

impl HostKills {
    /// Counts what there is before a task begins, or a moment earlier.
    pub(super) fn so_far() -> Self {
        // Nothing panics while this is held.
        let mut last = LAST_COUNT.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = last.filter(|(when, _)| when.elapsed() < COUNT_AGAIN_AFTER);
        let (_, kills) = *last.insert(recent.unwrap_or_else(|| (Instant::now(), count())));
        Self(kills)
    }

    /// Whether a process that died of an unexplained SIGKILL was one of those since.
    pub(super) fn took(self, pid: i32) -> Option<Basis> {
        judge(self.0, count(), || is_in_log(pid))
    }
}

/// `in_log` says whether the kernel's log has the victim, where it can be read.
fn judge(
    before: Option<u64>,
    after: Option<u64>,
    in_log: impl Fn() -> Option<bool>,
) -> Option<Basis> {
    if after? <= before? {
        return None;
    }
    match in_log() {
        Some(true) => Some(Basis::Seen),
        Some(false) => None,
        None => Some(Basis::Inferred),
    }
}

fn count() -> Option<u64> {
    let counters = fs::read_to_string("/proc/vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// The log has the numbers of the first namespace, which are ours only if we are in it.
fn is_in_log(pid: i32) -> Option<bool> {
    let namespace = fs::metadata("/proc/self/ns/pid").ok()?;
    if namespace.ino() != FIRST_NAMESPACE {
        return None;
    }
    let log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
    has_victim(log.ok()?, pid)
}

fn has_victim(mut log: File, pid: i32) -> Option<bool> {
    let mut record = [0; 8192];
    for _ in 0..MOST_RECORDS {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(count) if names_victim(&String::from_utf8_lossy(&record[..count]), pid) => {
                return Some(true);
            }
            Ok(_) => {}
            // Records went away while we read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return None,
        }
    }
    Some(false)
}

/// `3,1234,5678,-;Out of memory: Killed process 4711 (name) total-vm:…`. What is killed within a group has another
/// beginning, and what a program writes to the log has a facility other than the kernel's.
fn names_victim(record: &str, pid: i32) -> bool {
    let Some((head, text)) = record.split_once(';') else { return false };
    let level = head.split(',').next().and_then(|level| level.parse::<u32>().ok());
    level.is_some_and(|level| level < 8)
        && text
            .strip_prefix("Out of memory: Killed process ")
            .and_then(|rest| rest.split(' ').next())
            .is_some_and(|number| number.parse() == Ok(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_the_hosts_if_its_log_says_so() {
        let record = "3,1,2,-;Out of memory: Killed process 4711 (hog) total-vm:1kB\n SUBSYSTEM=x";
        assert!(names_victim(record, 4711));
        assert!(!names_victim(record, 471));
        for other in [
            "3,1,2,-;Memory cgroup out of memory: Killed process 4711 (hog) total-vm:1kB",
            // Written by a program.
            "12,1,2,-;Out of memory: Killed process 4711 (hog)",
            "Out of memory: Killed process 4711 (hog)",
            "",
        ] {
            assert!(!names_victim(other, 4711), "{other}");
        }
    }

    #[test]
    fn the_counter_alone_is_a_conclusion() {
        for (before, after, log, expected) in [
            (Some(1), Some(1), Some(true), None),
            (Some(1), Some(2), Some(true), Some(Basis::Seen)),
            (Some(1), Some(2), Some(false), None),
            (Some(1), Some(2), None, Some(Basis::Inferred)),
            (None, Some(2), Some(true), None),
            (Some(1), None, Some(true), None),
        ] {
            assert_eq!(judge(before, after, || log), expected, "{before:?} {after:?} {log:?}");
        }
    }

    #[test]
    fn this_process_was_not_killed() {
        assert!(count().is_some());
        assert_ne!(is_in_log(std::process::id().cast_signed()), Some(true));
    }
}

//! What the kernel says of a process that is there (`/proc/PID/status`).

use std::fs;

use libc::pid_t;

/// The process that a thread belongs to, while it is there.
pub(super) fn process_of(tid: pid_t) -> Option<pid_t> {
    field(tid, "Tgid:")?.parse().ok()
}

/// A field that is a number of bytes; 0 where it can't be read.
pub(super) fn bytes(tid: pid_t, name: &str) -> u64 {
    let kilobytes: Option<u64> = field(tid, name)
        .and_then(|text| text.split(' ').next().and_then(|number| number.parse().ok()));
    kilobytes.unwrap_or(0) * 1024
}

fn field(tid: pid_t, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}

/// Whether a process has a handler for a signal, or ignores it.
pub(super) fn takes(tid: pid_t, signal: i32) -> bool {
    ["SigCgt:", "SigIgn:"]
        .into_iter()
        .filter_map(|mask| u64::from_str_radix(&field(tid, mask)?, 16).ok())
        .any(|mask| mask >> (signal - 1) & 1 == 1)
}

//! What the kernel says of a process or thread in `/proc/…/status`.

use std::fs;

use libc::{c_int, pid_t};

/// Whether a signal ends a process that has no handler for it.
pub(super) fn ends_by_default(signal: c_int) -> bool {
    !matches!(
        signal,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
    )
}

/// Whether a process handles or ignores a signal.
pub(super) fn is_handled(tid: pid_t, signal: c_int) -> bool {
    let bit = 1_u64 << (signal - 1);
    let has = |field| {
        status_field(tid, field)
            .and_then(|set| u64::from_str_radix(&set, 16).ok())
            .is_some_and(|set| set & bit != 0)
    };
    has("SigCgt:") || has("SigIgn:")
}

/// The process that a thread belongs to, while it is there.
pub(super) fn process_of(tid: pid_t) -> Option<pid_t> {
    status_field(tid, "Tgid:")?.parse().ok()
}

/// That process, and its number inside of its own namespace.
pub(super) fn numbers_of(tid: pid_t) -> Option<(pid_t, pid_t)> {
    let process = process_of(tid)?;
    let inside = status_field(tid, "NStgid:")?;
    let inside = inside.split_whitespace().next_back().and_then(|number| number.parse().ok());
    Some((process, inside.unwrap_or(process)))
}

/// The process behind another one's descriptor.
pub(super) fn behind_descriptor(tid: pid_t, descriptor: u64) -> Option<pid_t> {
    let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{descriptor}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

pub(super) fn status_bytes(tid: pid_t, field: &str) -> u64 {
    let kilobytes: Option<u64> = status_field(tid, field)
        .and_then(|text| text.split(' ').next().and_then(|number| number.parse().ok()));
    kilobytes.unwrap_or(0) * 1024
}

fn status_field(tid: pid_t, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().to_owned())
}

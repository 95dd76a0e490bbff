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

/// Whether a process has a handler for a signal, or ignores it.
pub(super) fn takes(tid: pid_t, signal: c_int) -> bool {
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

/// What the kernel says of how a process is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Whether the number is that of a process, and of no thread beside its first.
    pub(super) is_process: bool,
    pub(super) threads: u64,
    pub(super) has_no_capabilities: bool,
    pub(super) filters: u64,
}

impl State {
    pub(super) fn of(pid: pid_t) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value.map(str::trim)
        };
        let number = |name| field(name)?.parse::<u64>().ok();
        let none = |name| field(name).is_some_and(|set| set.bytes().all(|digit| digit == b'0'));
        Some(Self {
            is_process: number("Tgid:") == u64::try_from(pid).ok(),
            threads: number("Threads:")?,
            has_no_capabilities: ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"].into_iter().all(none),
            // Older kernels don't count them.
            filters: number("Seccomp_filters:").unwrap_or(0),
        })
    }
}

/// The process behind another one's descriptor.
pub(super) fn behind_descriptor(tid: pid_t, descriptor: u64) -> Option<pid_t> {
    let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{descriptor}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

/// A field that is a number of bytes; 0 where it can't be read.
pub(super) fn bytes(tid: pid_t, name: &str) -> u64 {
    let kilobytes: Option<u64> = status_field(tid, name)
        .and_then(|text| text.split(' ').next().and_then(|number| number.parse().ok()));
    kilobytes.unwrap_or(0) * 1024
}

fn status_field(tid: pid_t, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().to_owned())
}

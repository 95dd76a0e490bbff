//! Who kills: whether a thread that dies of a SIGKILL was just sending it.

use std::fs;

use libc::{c_int, pid_t};

use super::status::process_of;
use super::tracing;

/// Whether a thread is in the middle of killing its own process.
pub(super) fn is_killing(tid: pid_t, process: pid_t) -> bool {
    let Some(registers) = tracing::registers(tid) else { return false };
    let [first, second, third] = registers.arguments.map(|argument| argument as c_int);
    match registers.syscall {
        // Its group and everybody are the process itself, too.
        libc::SYS_kill => (first == process || first <= 0) && second == libc::SIGKILL,
        libc::SYS_rt_sigqueueinfo => first == process && second == libc::SIGKILL,
        libc::SYS_tgkill | libc::SYS_rt_tgsigqueueinfo => {
            first == process && third == libc::SIGKILL
        }
        libc::SYS_pidfd_send_signal => {
            behind_descriptor(process, first) == Some(process) && second == libc::SIGKILL
        }
        libc::SYS_tkill => process_of(first) == Some(process) && second == libc::SIGKILL,
        _ => false,
    }
}

/// The process that a descriptor of another one stands for, if it is for one.
fn behind_descriptor(process: pid_t, descriptor: c_int) -> Option<pid_t> {
    let facts = fs::read_to_string(format!("/proc/{process}/fdinfo/{descriptor}")).ok()?;
    facts.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

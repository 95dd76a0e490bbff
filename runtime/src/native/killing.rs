//! Who kills: whether a thread that dies of a SIGKILL was just sending it, or is about to.

use libc::{c_int, pid_t};

use super::status::behind_descriptor;
use super::tracee::Tracee;
use super::tracing::Registers;

/// Whether a thread is in the middle of killing the main process, which is called `inside` in their namespace.
pub(super) fn kills(
    tracee: &Tracee,
    tid: pid_t,
    registers: &Registers,
    main: pid_t,
    inside: pid_t,
) -> bool {
    let [first, second, third, ..] = registers.arguments.map(|argument| argument as c_int);
    // It leads its own group. (The group of the first process of a namespace can't be named by a number: -1 is
    // everybody else.)
    let own_group = (first == 0 && tracee.process == main) || (inside > 1 && first == -inside);
    match registers.syscall {
        libc::SYS_kill => second == libc::SIGKILL && (first == inside || own_group),
        libc::SYS_rt_sigqueueinfo => second == libc::SIGKILL && first == inside,
        libc::SYS_tgkill | libc::SYS_rt_tgsigqueueinfo => third == libc::SIGKILL && first == inside,
        // Numbers of threads are not translated: a thread's own process is the likely one.
        libc::SYS_tkill => second == libc::SIGKILL && (first == inside || tracee.process == main),
        libc::SYS_pidfd_send_signal => {
            second == libc::SIGKILL && behind_descriptor(tid, registers.arguments[0]) == Some(main)
        }
        _ => false,
    }
}

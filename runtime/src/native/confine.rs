//! The child between clone and exec: it confines itself, step by step, and becomes the guest.
//!
//! # Safety
//!
//! The child shares the host's memory while one of the host's threads stands still. Nothing below
//! allocates, locks, panics or calls into the standard library's state: every buffer was made before,
//! every call is one system call, and a failure is written to the plan and ends the child.
#![expect(unsafe_code, reason = "system calls in a child that shares the host's memory")]

use std::ffi::CStr;
use std::os::fd::RawFd;

use libc::{c_char, c_int, c_uint};
use nix::errno::Errno;

/// Everything the child needs, made ready by the host.
#[derive(Debug)]
pub(super) struct Orders<'a> {
    pub(super) path: &'a CStr,
    /// Ends with a null pointer.
    pub(super) argv: *const *const c_char,
    /// Ends with a null pointer.
    pub(super) envp: *const *const c_char,
    /// Becomes 0, 1, 2 and 3. All of them are above 3.
    pub(super) descriptors: [RawFd; 4],
    pub(super) rlimits: &'a [(c_uint, libc::rlimit)],
    /// `tasks` files of groups to be joined.
    pub(super) join: &'a [RawFd],
    /// The filter of its system calls.
    pub(super) filter: libc::sock_fprog,
    /// Whether to go on where tracing or a filter is refused.
    pub(super) less_is_fine: bool,
    /// Written by the child: whether it is traced.
    pub(super) traced: bool,
    /// Written by the child: why no filter could be installed.
    pub(super) unfiltered: Option<c_int>,
    /// Written by the child: the step that failed, and why.
    pub(super) failure: Option<(ChildStep, c_int)>,
}

/// The steps of the child, for naming the one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildStep {
    ProcessGroup,
    Group,
    Limits,
    Descriptors,
    NoNewPrivileges,
    Trace,
    Filter,
    Exec,
}

/// The child's whole life. The order is the security argument.
pub(super) extern "C" fn become_guest(orders: &mut Orders<'_>) -> c_int {
    let failure = run_steps(orders);
    orders.failure = Some(failure);
    // SAFETY: _exit(2) ends this process at once and runs nothing of the host's.
    unsafe { libc::_exit(127) }
}

/// Returns only with the step that failed.
fn run_steps(orders: &mut Orders<'_>) -> (ChildStep, c_int) {
    reset_signals();
    if let Err(errno) = leave_process_group() {
        return (ChildStep::ProcessGroup, errno);
    }
    // Before the limits: the group's files are open descriptors of the host.
    if let Err(errno) = join_groups(orders.join) {
        return (ChildStep::Group, errno);
    }
    if let Err(errno) = place_descriptors(orders.descriptors) {
        return (ChildStep::Descriptors, errno);
    }
    if let Err(errno) = lower_limits(orders.rlimits) {
        return (ChildStep::Limits, errno);
    }
    if let Err(errno) = forbid_new_privileges() {
        return (ChildStep::NoNewPrivileges, errno);
    }
    // From here on the tracer sees it, beginning with the exec itself.
    match ask_to_be_traced() {
        Ok(()) => orders.traced = true,
        Err(_) if orders.less_is_fine => {}
        Err(errno) => return (ChildStep::Trace, errno),
    }
    // Last: it holds for this child already, and would forbid most of the steps before.
    match filter_calls(&orders.filter) {
        Ok(()) => {}
        Err(errno) if orders.less_is_fine => orders.unfiltered = Some(errno),
        Err(errno) => return (ChildStep::Filter, errno),
    }
    (ChildStep::Exec, execute(orders))
}

fn checked(answer: c_int) -> Result<(), c_int> {
    if answer == -1 { Err(Errno::last_raw()) } else { Ok(()) }
}

/// Nothing is ignored, handled or blocked. (Rust hosts ignore SIGPIPE, and exec keeps what is ignored.)
fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: sets the default action; for the signals where that is forbidden it fails harmlessly.
        // The table of actions is a copy: clone was not told to share it.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills the set it is given.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
    }
    // SAFETY: the set is filled; the mask of this child alone changes.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Signals meant for the host's group (a terminal's Ctrl-C) do not reach the guest, and the other way round.
fn leave_process_group() -> Result<(), c_int> {
    // SAFETY: makes this child the leader of a new group.
    checked(unsafe { libc::setpgid(0, 0) })?;
    // SAFETY: asks for SIGKILL when the thread that started us ends. That thread stands still now, so
    // it can't be gone already.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

fn join_groups(tasks: &[RawFd]) -> Result<(), c_int> {
    for descriptor in tasks {
        // SAFETY: writes one byte from a constant: "0" is the kernel's word for the writer itself.
        let written = unsafe { libc::write(*descriptor, b"0".as_ptr().cast(), 1) };
        if written != 1 {
            return Err(Errno::last_raw());
        }
    }
    Ok(())
}

/// 0 to 3 are the guest's; everything else of the host's is closed.
fn place_descriptors(descriptors: [RawFd; 4]) -> Result<(), c_int> {
    for (place, descriptor) in (0..).zip(descriptors) {
        // SAFETY: duplicates onto a low number of this child's own table. All sources are above 3, so
        // none is overwritten before it is used, and the copy is not closed by exec.
        checked(unsafe { libc::dup2(descriptor, place) })?;
    }
    // SAFETY: closes the rest of this child's own table.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, 4, c_uint::MAX, 0) };
    checked(answer as c_int)
}

fn lower_limits(limits: &[(c_uint, libc::rlimit)]) -> Result<(), c_int> {
    for (resource, limit) in limits {
        // SAFETY: reads one rlimit from the plan.
        checked(unsafe { libc::setrlimit(*resource, limit) })?;
    }
    Ok(())
}

fn forbid_new_privileges() -> Result<(), c_int> {
    // SAFETY: a switch that can only be turned on.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

fn ask_to_be_traced() -> Result<(), c_int> {
    // SAFETY: takes no arguments; fails where tracing is refused.
    let answer = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    checked(answer as c_int)
}

fn filter_calls(filter: &libc::sock_fprog) -> Result<(), c_int> {
    let (call, set) = (libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: the kernel copies the instructions of the plan, as many as are said; it checks them itself.
    let answer = unsafe { libc::syscall(call, set, 0, std::ptr::from_ref(filter)) };
    checked(answer as c_int)
}

fn execute(orders: &Orders<'_>) -> c_int {
    // SAFETY: path, argv and envp are null-terminated and live in the host's memory, where the thread
    // that owns them stands still until this call succeeds or the child ends.
    unsafe {
        libc::execve(orders.path.as_ptr(), orders.argv, orders.envp);
    }
    Errno::last_raw()
}

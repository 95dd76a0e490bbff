//! The system calls that no crate offers in the form needed here, each behind a safe function.
//!
//! # Safety
//!
//! Every block names the contract of the call and what fulfils it. Nothing outside this file,
//! `tracing.rs` and `confine.rs` of this room is unsafe.
#![expect(unsafe_code, reason = "raw clone and wait; see the contract at each block")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use libc::{c_int, c_long, c_void, pid_t};

/// The stack on which a child runs between clone and exec. Kept for the next child.
pub(super) struct ChildStack(Box<[u128]>);

const CHILD_STACK_BYTES: usize = 64 * 1024;

/// The kernel's value; the one in `libc` is cut to 32 bits.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

impl ChildStack {
    pub(super) fn new() -> Self {
        Self(vec![0; CHILD_STACK_BYTES / size_of::<u128>()].into_boxed_slice())
    }
}

/// A child of this thread.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: pid_t,
    pub(super) pidfd: OwnedFd,
}

/// Starts a child that shares this process's memory and runs `entry(argument)` until it executes another
/// program or exits; this thread stands still until then. `group` is a v2 group to be born into.
pub(super) fn start_child<T>(
    stack: &mut ChildStack,
    group: Option<BorrowedFd<'_>>,
    entry: extern "C" fn(&mut T) -> c_int,
    argument: &mut T,
) -> io::Result<Child> {
    match group {
        Some(group) => start_in_group(stack, group, entry, argument),
        None => start_plain(stack, entry, argument),
    }
}

fn start_plain<T>(
    stack: &mut ChildStack,
    entry: extern "C" fn(&mut T) -> c_int,
    argument: &mut T,
) -> io::Result<Child> {
    // SAFETY: a `&mut T` and a `*mut c_void` are passed in the same register, and both functions return
    // `c_int`; the pointer that will be passed is `argument`, which is a valid `&mut T`.
    let entry = unsafe {
        std::mem::transmute::<extern "C" fn(&mut T) -> c_int, extern "C" fn(*mut c_void) -> c_int>(
            entry,
        )
    };
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let top = stack.0.as_mut_ptr_range().end.cast::<c_void>();
    // SAFETY: clone(2) wants the end of a stack that lives as long as the child uses it: CLONE_VFORK
    // keeps this thread, and with it `stack` and `argument`, in this call until the child has left our
    // memory. The stack is aligned to 16 by its element type. `pidfd` takes the descriptor.
    let pid = unsafe {
        libc::clone(
            entry,
            top,
            flags,
            std::ptr::from_mut(argument).cast(),
            std::ptr::from_mut(&mut pidfd),
        )
    };
    child(pid.into(), pidfd)
}

fn child(pid: c_long, pidfd: c_int) -> io::Result<Child> {
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: clone succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: pid as pid_t, pidfd })
}

fn start_in_group<T>(
    stack: &mut ChildStack,
    group: BorrowedFd<'_>,
    entry: extern "C" fn(&mut T) -> c_int,
    argument: &mut T,
) -> io::Result<Child> {
    let mut pidfd: c_int = -1;
    // SAFETY: `clone_args` is a struct of integers for which all zeroes is the kernel's "not given".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    args.flags = flags as u64 | CLONE_INTO_CGROUP;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack.0.as_mut_ptr() as u64;
    args.stack_size = std::mem::size_of_val(&*stack.0) as u64;
    args.cgroup = group.as_raw_fd() as u64;
    // SAFETY: as in `start_plain`: CLONE_VFORK keeps `stack`, `args` and `argument` alive until the child
    // has left our memory, and the child never returns from `clone3_and_call`.
    let pid = unsafe {
        clone3_and_call(&args, entry as *const c_void, std::ptr::from_mut(argument).cast())
    };
    if pid < 0 {
        return Err(io::Error::from_raw_os_error(-pid as i32));
    }
    child(pid, pidfd)
}

/// clone3, and in the child a call of `entry(argument)` on the new stack. Gives the kernel's own answer.
///
/// # Safety
///
/// `args` must name a stack of its own and keep the caller waiting (CLONE_VFORK) while it is used;
/// `entry` must be an `extern "C"` function of one pointer that never returns.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3_and_call(
    args: &libc::clone_args,
    entry: *const c_void,
    argument: *mut c_void,
) -> c_long {
    let answer: c_long;
    // SAFETY: the parent's side is one system call (it clobbers rcx and r11). The child arrives with an
    // empty stack, aligned to 16 as the ABI wants it before a call, and leaves by `entry`.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => answer,
            in("rdi") args,
            in("rsi") size_of::<libc::clone_args>(),
            in("r8") entry,
            in("r9") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    answer
}

/// See the other one.
///
/// # Safety
///
/// The same.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3_and_call(
    args: &libc::clone_args,
    entry: *const c_void,
    argument: *mut c_void,
) -> c_long {
    let answer: c_long;
    // SAFETY: as on x86-64; `svc` changes x0 only.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x10",
            "blr x9",
            "brk 1",
            "2:",
            inlateout("x0") args as *const libc::clone_args as c_long => answer,
            in("x1") size_of::<libc::clone_args>(),
            in("x8") libc::SYS_clone3,
            in("x9") entry,
            in("x10") argument,
        );
    }
    answer
}

/// One change of state of a child or tracee of this thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    pub(super) pid: pid_t,
    pub(super) status: c_int,
    /// Processor time of the process and of the children it has waited for.
    pub(super) cpu: Duration,
}

/// Waits for the next change of any child or tracee of this thread, and of no other thread's.
/// `None` when there is nobody left to wait for.
pub(super) fn wait_any() -> Option<Waited> {
    loop {
        let mut status = 0;
        // SAFETY: `rusage` is a struct of integers; all zeroes is a value of it.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        let flags = libc::__WALL | libc::__WNOTHREAD;
        // SAFETY: wait4 writes to the two places given, which outlive the call.
        let pid = unsafe { libc::wait4(-1, &mut status, flags, &mut usage) };
        if pid > 0 {
            let cpu = time(usage.ru_utime) + time(usage.ru_stime);
            return Some(Waited { pid, status, cpu });
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// The children of this thread: what it started, and what that made its siblings.
pub(super) fn children() -> Vec<pid_t> {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Waits for the end of one child of this thread that is ending already.
pub(super) fn reap(pid: pid_t) {
    let mut status = 0;
    // SAFETY: waitpid writes to the place given, which outlives the call.
    while unsafe { libc::waitpid(pid, &mut status, libc::__WALL) } == -1
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

fn time(value: libc::timeval) -> Duration {
    Duration::new(value.tv_sec as u64, value.tv_usec as u32 * 1000)
}

/// Kills exactly the process behind the descriptor, whatever has become of its number.
pub(super) fn kill_exactly(pidfd: BorrowedFd<'_>) {
    let null = std::ptr::null_mut::<c_void>();
    // SAFETY: pidfd_send_signal takes a descriptor, a signal, no siginfo and no flags. It fails only for
    // a process that is gone already, and that is what was wanted.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, null, 0);
    }
}

/// Sends a signal to a process, a group (negative) or a thread that this thread waits for.
pub(super) fn send(pid: pid_t, signal: c_int) {
    // SAFETY: kill(2) takes two integers. It fails only when nobody is there.
    unsafe {
        libc::kill(pid, signal);
    }
}

/// Takes over a descriptor that a system call has just made.
pub(super) fn adopt(raw: c_int) -> OwnedFd {
    // SAFETY: callers pass the fresh result of a call that makes a descriptor; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// The hard limit of this process for a resource.
pub(super) fn hard_limit(resource: libc::c_uint) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit fills the struct it is given.
    let answer = unsafe { libc::getrlimit(resource, &mut limit) };
    (answer == 0).then_some(limit.rlim_max)
}

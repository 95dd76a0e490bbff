//! System calls that no ordinary program makes, with arguments that can do no harm where they are let through.
//!
//! # Safety
//!
//! Each row is a call with constant arguments. None of them hands the kernel a pointer to write to or to read from
//! (they are null or no address), a descriptor that is open, or a number that would change anything of the host:
//! let through, each ends with an error, or does nothing.
#![expect(unsafe_code, reason = "raw system calls; see the contract at each block")]

use nix::errno::Errno;
use nix::libc::{self, c_long};

/// One call that is known to be dangerous.
pub(super) struct Call {
    pub(super) number: u8,
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    call: c_long,
    arguments: [c_long; 5],
}

const fn call<const N: usize>(
    number: u8,
    name: &'static str,
    what: &'static str,
    call: c_long,
    given: [c_long; N],
) -> Call {
    let mut arguments = [0; 5];
    let mut index = 0;
    while index < N {
        arguments[index] = given[index];
        index += 1;
    }
    Call { number, name, what, call, arguments }
}

/// No address, no flags that exist, no such operation.
const WRONG: c_long = 0x7fff_ffff;

/// A descriptor that nobody has.
const NONE: c_long = -1;

/// Calls that are fatal.
pub(super) const DEADLY: &[Call] = &[
    call(1, "ptrace", "reading another process as its tracer", libc::SYS_ptrace, [2, 1]),
    call(
        3,
        "process-vm-readv",
        "reading another process's memory",
        libc::SYS_process_vm_readv,
        [1],
    ),
    call(
        3,
        "process-vm-writev",
        "writing another process's memory",
        libc::SYS_process_vm_writev,
        [1],
    ),
    call(3, "pidfd-getfd", "taking another process's descriptor", libc::SYS_pidfd_getfd, [NONE]),
    call(3, "kcmp", "comparing what two processes share", libc::SYS_kcmp, [1, 1, WRONG]),
    call(
        3,
        "process-madvise",
        "giving away another process's pages",
        libc::SYS_process_madvise,
        [NONE],
    ),
    call(4, "kill-all", "a signal to all processes", libc::SYS_kill, [-1, 0]),
    call(
        17,
        "type-on-terminal",
        "typing on the terminal",
        libc::SYS_ioctl,
        [0, libc::TIOCSTI as c_long],
    ),
    call(17, "paste-on-terminal", "pasting on the console", libc::SYS_ioctl, [0, 0x541c]),
    call(18, "io-uring", "calls that pass a filter by", libc::SYS_io_uring_setup, [0]),
    call(19, "userfaultfd", "memory with traps for the kernel", libc::SYS_userfaultfd, [WRONG]),
    call(20, "add-key", "leaving a key for others", libc::SYS_add_key, []),
    call(20, "request-key", "asking for a key", libc::SYS_request_key, []),
    call(20, "keyctl", "reading keys", libc::SYS_keyctl, [WRONG]),
    call(21, "bpf", "a program in the kernel", libc::SYS_bpf, [WRONG]),
    call(21, "perf-event", "measuring others", libc::SYS_perf_event_open, [0, 0, 0, NONE, WRONG]),
    call(22, "mount", "mounting", libc::SYS_mount, []),
    call(22, "umount", "unmounting", libc::SYS_umount2, []),
    call(22, "pivot-root", "changing the root", libc::SYS_pivot_root, []),
    call(22, "chroot", "changing its own root", libc::SYS_chroot, []),
    call(22, "open-tree", "taking a tree of mounts", libc::SYS_open_tree, [NONE]),
    call(22, "move-mount", "moving a mount", libc::SYS_move_mount, [NONE, 0, NONE]),
    call(22, "fsopen", "making a file system", libc::SYS_fsopen, []),
    call(22, "mount-setattr", "changing a mount", libc::SYS_mount_setattr, [NONE]),
    call(23, "unshare", "namespaces of its own", libc::SYS_unshare, [0]),
    call(23, "setns", "others' namespaces", libc::SYS_setns, [NONE]),
    call(24, "socket-vsock", "the host of the virtual machine", libc::SYS_socket, [40, 1, 0]),
    call(24, "socket-alg", "the kernel's ciphers", libc::SYS_socket, [38, 5, 0]),
    call(24, "socket-netlink", "the kernel's switchboard", libc::SYS_socket, [16, 3, 0]),
    call(24, "socket-packet", "the wire", libc::SYS_socket, [17, 3, 0]),
    call(24, "socket-raw", "packets of its own making", libc::SYS_socket, [2, 3, 1]),
    call(35, "personality", "making all memory executable", libc::SYS_personality, [0x40_0000]),
    call(35, "memfd-secret", "memory that nobody else sees", libc::SYS_memfd_secret, [WRONG]),
    call(35, "hwpoison", "telling that memory is broken", libc::SYS_madvise, [0, 0, 100]),
    call(35, "own-filter", "a filter of its own", libc::SYS_seccomp, [WRONG]),
    call(35, "open-by-handle", "a file by its number", libc::SYS_open_by_handle_at, [NONE]),
    call(35, "init-module", "code in the kernel", libc::SYS_init_module, []),
    call(35, "kexec", "another kernel", libc::SYS_kexec_load, [0, 0, 0, WRONG]),
    call(35, "reboot", "another start", libc::SYS_reboot, []),
    call(35, "swapon", "swapping to its own file", libc::SYS_swapon, []),
    call(35, "acct", "writing down what others do", libc::SYS_acct, [1]),
    call(35, "syslog", "reading the kernel's log", libc::SYS_syslog, [WRONG]),
];

/// Calls that are fatal and that only this kind of machine has.
#[cfg(target_arch = "x86_64")]
pub(super) const DEADLY_HERE: &[Call] = &[
    call(34, "x32", "the third way to call the kernel", 0x4000_0000 | libc::SYS_getpid, []),
    call(35, "modify-ldt", "segments of its own", libc::SYS_modify_ldt, []),
    call(35, "iopl", "the machine's ports", libc::SYS_iopl, [0]),
    call(35, "ioperm", "one of the machine's ports", libc::SYS_ioperm, []),
];

/// The same, where there are none.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const DEADLY_HERE: &[Call] = &[];

/// Calls that get an error with which a program can live.
pub(super) const REFUSED: &[Call] = &[
    call(15, "outlive-host", "living on when its host dies", libc::SYS_prctl, [1, 0]),
    call(15, "adopt-orphans", "keeping what outlives its parent", libc::SYS_prctl, [36, 1]),
    call(15, "hide-from-tracer", "memory that can't be looked at", libc::SYS_prctl, [4, 0]),
    call(23, "clone3", "births whose flags a filter can't see", libc::SYS_clone3, []),
    call(48, "priority", "going first", libc::SYS_setpriority, [0, 0, -20]),
    call(48, "io-priority", "reading and writing first", libc::SYS_ioprio_set, [1, 0, 1 << 13]),
    call(48, "lock-memory", "memory that is never swapped", libc::SYS_mlockall, [1]),
    call(48, "set-clock", "the machine's clock", libc::SYS_settimeofday, []),
];

/// Makes the call.
pub(super) fn answer(call: &Call) -> Result<c_long, Errno> {
    let [first, second, third, fourth, fifth] = call.arguments;
    // SAFETY: as at the head of this file: a row of one of the tables, whose arguments no kernel can do harm with.
    let answer = unsafe { libc::syscall(call.call, first, second, third, fourth, fifth, 0_i64) };
    Errno::result(answer)
}

/// The kernel's other door, which has other numbers: what is asked there is which process this is.
#[cfg(target_arch = "x86_64")]
pub(super) fn through_the_old_door() -> i32 {
    let answer: i32;
    // SAFETY: one call without arguments; it changes rax, and by the kernel's habit r8 to r11.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("eax") 20 => answer,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    answer
}

/// Becomes two. Only for a process with one thread.
pub(super) fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: cases run on the one thread of their process, so the child is whole.
    let pid = Errno::result(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(pid))
}

/// A child in a user namespace of its own, which ends at once. Gives whether there was one.
pub(super) fn child_with_users_of_its_own() -> Result<(), Errno> {
    let flags = c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
    // SAFETY: without a stack and without shared memory this is a fork, of a process with one thread.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    if pid == 0 {
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) }
    }
    Ok(())
}

/// Waits for any child.
pub(super) fn wait() {
    // SAFETY: a null status is allowed.
    unsafe {
        libc::waitpid(-1, std::ptr::null_mut(), 0);
    }
}

/// Ends without a word.
pub(super) fn leave() -> ! {
    // SAFETY: ends this process at once.
    unsafe { libc::_exit(0) }
}

/// Answers a signal by ending in order, as if nothing was.
pub(super) fn swallow(signal: libc::c_int) {
    extern "C" fn swallowed(_: libc::c_int) {
        leave()
    }
    let handler = swallowed as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler makes one call that is allowed in one.
    unsafe {
        libc::signal(signal, handler);
    }
}

/// Does not hear a signal any more.
pub(super) fn ignore(signal: libc::c_int) {
    // SAFETY: no handler of ours runs.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}

/// Lets a signal do what it does by default: Rust's own start changes some.
pub(super) fn set_default(signal: libc::c_int) {
    // SAFETY: no handler of ours runs.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// Whether a signal does what it does by default.
pub(super) fn is_default(signal: libc::c_int) -> bool {
    // SAFETY: a struct of integers and a pointer-sized one, for which zeroes are a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: fills the struct it is given.
    let answer = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    answer == -1 || action.sa_sigaction == libc::SIG_DFL
}

/// Whether it can't gain privileges any more.
pub(super) fn has_no_new_privileges() -> bool {
    // SAFETY: asks for a switch.
    unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

/// The capabilities it could use now, as words.
pub(super) fn capabilities() -> [u32; 2] {
    let header = [0x2008_0522_u32, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: reads the header and fills two sets of three words each, as this version has them.
    unsafe {
        libc::syscall(libc::SYS_capget, &header, &mut sets);
    }
    [sets[0], sets[3]]
}

/// Which of its descriptors are open, of the first so many.
pub(super) fn open_descriptors(most: i32) -> Vec<i32> {
    // SAFETY: asks for the flags of a number, which need not be open.
    (0..most).filter(|number| unsafe { libc::fcntl(*number, libc::F_GETFD) } != -1).collect()
}

/// Its mask for files. To ask is to set it, which a profile may not allow.
pub(super) fn mask_for_files() -> Result<c_long, Errno> {
    // SAFETY: takes one integer.
    Errno::result(unsafe { libc::syscall(libc::SYS_umask, 0o022) })
}

/// Its personality, as it is.
pub(super) fn personality() -> i32 {
    // SAFETY: this value asks and changes nothing.
    unsafe { libc::personality(0xffff_ffff) }
}

/// Whether a signal (none: it is only asked) could be sent to a process by a descriptor of it.
pub(super) fn signal_by_descriptor(pid: i32) -> Result<(), Errno> {
    // SAFETY: takes two integers.
    let descriptor = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: takes a descriptor, a signal, no siginfo and no flags.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, descriptor, 0, 0_i64, 0) };
    Errno::result(sent).map(drop)
}

/// Whether a signal (none) could be sent to one thread of a process.
pub(super) fn signal_thread(pid: i32) -> Result<(), Errno> {
    // SAFETY: takes three integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, 0) }).map(drop)
}

/// Asks for a place among those that always run first.
pub(super) fn become_realtime() -> Result<(), Errno> {
    // What the kernel reads is one number. Another C library has more there, and does not ask the kernel at all.
    let priority = 1_i32;
    let which = libc::SYS_sched_setscheduler;
    // SAFETY: takes two integers and reads one from this frame.
    let answer = unsafe { libc::syscall(which, 0, libc::SCHED_FIFO, &raw const priority) };
    Errno::result(answer).map(drop)
}

/// Its end of the channel, if it has one.
pub(super) fn channel() -> Option<std::fs::File> {
    use std::os::fd::FromRawFd as _;
    let number: i32 = std::env::var("SANDTRAP_CHANNEL").ok()?.parse().ok()?;
    // SAFETY: the host gave this process the descriptor, and nobody else in it uses it.
    Some(unsafe { std::fs::File::from_raw_fd(number) })
}

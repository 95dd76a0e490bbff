//! Tracing: what ptrace(2) offers, each request behind a safe function.
//!
//! # Safety
//!
//! Every block names the contract of the request and what fulfils it. Requests reach only tracees of the
//! calling thread; for any other the kernel answers with an error and does nothing.
#![expect(unsafe_code, reason = "ptrace; see the contract at each block")]

use libc::{c_int, c_long, pid_t};

use super::sys::Number;

/// What ptrace is asked for at the first stop of a tracee.
pub(super) const TRACE_OPTIONS: c_int = libc::PTRACE_O_EXITKILL
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEVFORK;

/// How a stopped tracee goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// To its next signal or event.
    Freely,
    /// To its next system call at the latest.
    ToSyscall,
    /// One instruction; into the first one of its handler, if a signal is delivered.
    Step,
}

/// Lets a stopped tracee go on, with a signal or with 0. It may be gone: then its end is waited for.
pub(super) fn resume(tid: pid_t, how: Resume, signal: c_int) {
    let request = match how {
        Resume::Freely => libc::PTRACE_CONT,
        Resume::ToSyscall => libc::PTRACE_SYSCALL,
        Resume::Step => libc::PTRACE_SINGLESTEP,
    };
    // SAFETY: these requests take no address and an integer as data; a tracee that is gone is ESRCH.
    unsafe {
        libc::ptrace(request, tid, 0, c_long::from(signal));
    }
}

/// Sets the options that make every descendant a tracee, too.
pub(super) fn set_options(tid: pid_t) {
    // SAFETY: takes no address and an integer as data.
    unsafe {
        libc::ptrace(libc::PTRACE_SETOPTIONS, tid, 0, c_long::from(TRACE_OPTIONS));
    }
}

/// A stopped tracee is not to stop again at its exit.
pub(super) fn see_no_exit(tid: pid_t) {
    let options = c_long::from(TRACE_OPTIONS & !libc::PTRACE_O_TRACEEXIT);
    // SAFETY: takes no address and an integer as data.
    unsafe {
        libc::ptrace(libc::PTRACE_SETOPTIONS, tid, 0, options);
    }
}

/// The number that belongs to the event at which a tracee stands.
pub(super) fn event_message(tid: pid_t) -> u64 {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one unsigned long to the address given as data.
    unsafe {
        libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, std::ptr::from_mut(&mut message));
    }
    message
}

/// What the kernel says of the signal at which a tracee stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignalInfo {
    pub(super) code: i32,
    pub(super) sender: pid_t,
    pub(super) address: u64,
}

/// The signal at which a tracee stands, or `None` when it stands in a group stop.
pub(super) fn signal_info(tid: pid_t) -> Option<SignalInfo> {
    // SAFETY: `siginfo_t` is plain data; all zeroes is a value of it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one siginfo_t to the address given as data.
    let answer =
        unsafe { libc::ptrace(libc::PTRACE_GETSIGINFO, tid, 0, std::ptr::from_mut(&mut info)) };
    if answer != 0 {
        return None;
    }
    // SAFETY: reads plain integers of the union that the kernel filled; the caller uses the field only
    // with the codes that it belongs to.
    let sender = unsafe { info.si_pid() };
    // SAFETY: the same.
    let address = unsafe { info.si_addr() };
    Some(SignalInfo { code: info.si_code, sender, address: address as u64 })
}

/// The registers that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) instruction: u64,
    pub(super) stack_pointer: u64,
    /// The number of the system call it is in, or -1.
    pub(super) syscall: i64,
    /// The arguments of that call.
    pub(super) arguments: [u64; 6],
}

/// All registers of a program that has not begun.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin(libc::user_regs_struct);

/// All registers of a program that has not begun. On this architecture nobody asks for them.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {}

/// A program that stands at the stop after its exec is to make a call that ends with a signal only, and not to begin. Gives the
/// registers with which it would have begun. Nothing of its own is changed for it: the instruction is one of the kernel's.
#[cfg(target_arch = "x86_64")]
pub(super) fn put_to_sleep(tid: pid_t) -> Option<Origin> {
    /// What the code of a 64-bit program runs in.
    const USER_CODE: u64 = 0x33;
    let origin = origin(tid).filter(|Origin(raw)| raw.cs == USER_CODE)?;
    let mut asleep = origin;
    asleep.0.rip = super::doorway::of(tid)?;
    asleep.0.rax = libc::SYS_pause as u64;
    // It is in no call now: nothing is to be begun anew.
    asleep.0.orig_rax = u64::MAX;
    set_registers(tid, &asleep).then_some(origin)
}

/// The same, where nobody has tried it yet.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn put_to_sleep(_: pid_t) -> Option<Origin> {
    None
}

#[cfg(target_arch = "x86_64")]
fn origin(tid: pid_t) -> Option<Origin> {
    // SAFETY: `user_regs_struct` is plain integers; all zeroes is a value of it.
    let mut raw: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: this request fills exactly that struct at the address given as data.
    let answer =
        unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, 0, std::ptr::from_mut(&mut raw)) };
    (answer == 0).then_some(Origin(raw))
}

/// Gives a stopped tracee these registers. Says whether it has them.
#[cfg(target_arch = "x86_64")]
pub(super) fn set_registers(tid: pid_t, Origin(raw): &Origin) -> bool {
    // SAFETY: this request reads exactly that struct from the address given as data.
    unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid, 0, std::ptr::from_ref(raw)) == 0 }
}

/// Nobody has any to give.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn set_registers(_: pid_t, origin: &Origin) -> bool {
    match *origin {}
}

/// A system call that a filter stood in front of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// The kernel's number for the kind of machine whose calls are numbered so, where it says it.
    pub(super) machine: Option<u32>,
    pub(super) number: i64,
    pub(super) arguments: [u64; 6],
    /// Whether the kernel had not begun with it, for sure.
    pub(super) is_stopped: bool,
}

/// The registers of a stopped tracee, in the widest form, also for a 32-bit program.
#[cfg(target_arch = "x86_64")]
pub(super) fn registers(tid: pid_t) -> Option<Registers> {
    // SAFETY: `user_regs_struct` is plain integers; all zeroes is a value of it.
    let mut raw: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: this request fills exactly that struct at the address given as data.
    let answer =
        unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, 0, std::ptr::from_mut(&mut raw)) };
    (answer == 0).then_some(Registers {
        instruction: raw.rip,
        stack_pointer: raw.rsp,
        syscall: raw.orig_rax as i64,
        arguments: [raw.rdi, raw.rsi, raw.rdx, raw.r10, raw.r8, raw.r9],
    })
}

/// The call with which the kernel has not begun, at which a thread ends.
#[cfg(target_arch = "x86_64")]
pub(super) fn call(tid: pid_t) -> Option<Call> {
    const I386: u32 = 0x4000_0003;
    // SAFETY: `user_regs_struct` is plain integers; all zeroes is a value of it.
    let mut raw: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: this request fills exactly that struct at the address given as data.
    let answer =
        unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, 0, std::ptr::from_mut(&mut raw)) };
    // A filter that kills puts the number back to where the call found it; a call that had begun has
    // an answer there.
    if answer != 0 || raw.rax != raw.orig_rax || raw.orig_rax as i64 == -1 {
        return None;
    }
    let machine = machine(tid);
    let arguments = match machine {
        Some(I386) => [raw.rbx, raw.rcx, raw.rdx, raw.rsi, raw.rdi, raw.rbp],
        _ => [raw.rdi, raw.rsi, raw.rdx, raw.r10, raw.r8, raw.r9],
    };
    Some(Call { machine, number: raw.orig_rax as i64, arguments, is_stopped: true })
}

/// The call in which a thread ends. The first argument and the answer share a register here, so it can't be told
/// whether the kernel had begun with it.
#[cfg(target_arch = "aarch64")]
pub(super) fn call(tid: pid_t) -> Option<Call> {
    call_within(tid).filter(|call| call.number >= 0)
}

/// The call that a thread is in the middle of.
pub(super) fn call_within(tid: pid_t) -> Option<Call> {
    let registers = registers(tid)?;
    let (number, arguments) = (registers.syscall, registers.arguments);
    Some(Call { machine: machine(tid), number, arguments, is_stopped: false })
}

/// The kind of machine, by the kernel's number, whose calls a thread makes right now.
fn machine(tid: pid_t) -> Option<u32> {
    const GET_SYSCALL_INFO: Number = 0x420e;
    // What the kernel fills: a byte for the kind of stop, the machine, and more that is not asked for here.
    let mut info = [0_u32; 2];
    let size = size_of_val(&info);
    // SAFETY: the kernel writes at most `size` bytes to the address given as data, which has as many.
    let answer = unsafe { libc::ptrace(GET_SYSCALL_INFO, tid, size, info.as_mut_ptr()) };
    (answer > 0).then_some(info[1])
}

/// The registers of a stopped tracee; not those of a 32-bit program.
#[cfg(target_arch = "aarch64")]
pub(super) fn registers(tid: pid_t) -> Option<Registers> {
    const NT_PRSTATUS: c_long = 1;
    const NT_ARM_SYSTEM_CALL: c_long = 0x404;
    // SAFETY: `user_regs_struct` is plain integers; all zeroes is a value of it.
    let mut raw: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let mut syscall: c_int = -1;
    let whole = register_set(tid, NT_PRSTATUS, &mut raw)
        && register_set(tid, NT_ARM_SYSTEM_CALL, &mut syscall);
    whole.then_some(Registers {
        instruction: raw.pc,
        stack_pointer: raw.sp,
        syscall: syscall.into(),
        arguments: [raw.regs[0], raw.regs[1], raw.regs[2], raw.regs[3], raw.regs[4], raw.regs[5]],
    })
}

/// All whole registers, by the numbers that they have in debug information.
#[derive(Clone, Debug)]
pub(super) struct General {
    pub(super) instruction: u64,
    pub(super) by_number: Vec<u64>,
}

/// Everything that a backtrace begins with.
#[cfg(target_arch = "x86_64")]
pub(super) fn general(tid: pid_t) -> Option<General> {
    // SAFETY: `user_regs_struct` is plain integers; all zeroes is a value of it.
    let mut raw: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: this request fills exactly that struct at the address given as data.
    let answer =
        unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, 0, std::ptr::from_mut(&mut raw)) };
    let by_number = vec![
        raw.rax, raw.rdx, raw.rcx, raw.rbx, raw.rsi, raw.rdi, raw.rbp, raw.rsp, raw.r8, raw.r9,
        raw.r10, raw.r11, raw.r12, raw.r13, raw.r14, raw.r15,
    ];
    (answer == 0).then_some(General { instruction: raw.rip, by_number })
}

/// Everything that a backtrace begins with.
#[cfg(target_arch = "aarch64")]
pub(super) fn general(tid: pid_t) -> Option<General> {
    const NT_PRSTATUS: c_long = 1;
    // SAFETY: `user_regs_struct` is plain integers; all zeroes is a value of it.
    let mut raw: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let whole = register_set(tid, NT_PRSTATUS, &mut raw);
    let by_number = raw.regs.into_iter().chain([raw.sp]).collect();
    whole.then_some(General { instruction: raw.pc, by_number })
}

/// Reads one register set, and says whether it filled all of `place`.
#[cfg(target_arch = "aarch64")]
fn register_set<T>(tid: pid_t, set: c_long, place: &mut T) -> bool {
    let mut part =
        libc::iovec { iov_base: std::ptr::from_mut(place).cast(), iov_len: size_of::<T>() };
    // SAFETY: the kernel writes at most `iov_len` bytes to `iov_base`, which is `place`; both types this
    // is called with are plain integers.
    let answer =
        unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, set, std::ptr::from_mut(&mut part)) };
    answer == 0 && part.iov_len == size_of::<T>()
}

//! System calls without a C library.
//!
//! # Safety
//!
//! Each function passes integers and addresses to the kernel as they are; what an address must point to is
//! said where the call is made.

use core::arch::asm;

/// The calls that a keeper and its children make.
#[cfg(target_arch = "x86_64")]
pub(crate) mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const MUNMAP: usize = 11;
    pub(crate) const SENDMSG: usize = 46;
    pub(crate) const RECVMSG: usize = 47;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const KILL: usize = 62;
    pub(crate) const PTRACE: usize = 101;
    pub(crate) const SETPGID: usize = 109;
    pub(crate) const CAPSET: usize = 126;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const MOUNT: usize = 165;
    pub(crate) const GETDENTS64: usize = 217;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const UNLINKAT: usize = 263;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const PRLIMIT64: usize = 302;
    pub(crate) const SECCOMP: usize = 317;
    pub(crate) const EXECVEAT: usize = 322;
    pub(crate) const CLONE3: usize = 435;
    pub(crate) const CLOSE_RANGE: usize = 436;
    pub(crate) const LANDLOCK_ADD_RULE: usize = 445;
    pub(crate) const LANDLOCK_RESTRICT_SELF: usize = 446;
}

/// The calls that a keeper and its children make.
#[cfg(target_arch = "aarch64")]
pub(crate) mod number {
    pub(crate) const DUP3: usize = 24;
    pub(crate) const UNLINKAT: usize = 35;
    pub(crate) const MOUNT: usize = 40;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const GETDENTS64: usize = 61;
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const CAPSET: usize = 91;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const PTRACE: usize = 117;
    pub(crate) const KILL: usize = 129;
    pub(crate) const SETPGID: usize = 154;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const SENDMSG: usize = 211;
    pub(crate) const RECVMSG: usize = 212;
    pub(crate) const MUNMAP: usize = 215;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const MMAP: usize = 222;
    pub(crate) const PRLIMIT64: usize = 261;
    pub(crate) const SECCOMP: usize = 277;
    pub(crate) const EXECVEAT: usize = 281;
    pub(crate) const CLONE3: usize = 435;
    pub(crate) const CLOSE_RANGE: usize = 436;
    pub(crate) const LANDLOCK_ADD_RULE: usize = 445;
    pub(crate) const LANDLOCK_RESTRICT_SELF: usize = 446;
}

/// The kernel's answer: an error is its number, negated.
pub(crate) fn answer(raw: isize) -> Result<usize, i32> {
    if (-4095..0).contains(&raw) { Err(raw.wrapping_neg() as i32) } else { Ok(raw as usize) }
}

/// One system call.
///
/// # Safety
///
/// The arguments must be what the call wants.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, i32> {
    let raw: isize;
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the caller vouches for the arguments; the instruction clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => raw,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    answer(raw)
}

/// One system call.
///
/// # Safety
///
/// The arguments must be what the call wants.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, i32> {
    let raw: isize;
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the caller vouches for the arguments; `svc` changes x0 only.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => raw,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    answer(raw)
}

/// A call that makes a child in this memory, which runs `entry(argument)` on `stack` (its end, aligned to 16) and
/// never returns. With CLONE_VFORK this process stands still until the child has left.
///
/// # Safety
///
/// `number` must be `clone` or `clone3` with arguments that name `stack` as the child's, and say CLONE_VM and
/// CLONE_VFORK.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn clone_and_call(
    number: usize,
    first: usize,
    second: usize,
    third: usize,
    entry: extern "C" fn(usize) -> !,
    argument: usize,
) -> Result<usize, i32> {
    let raw: isize;
    // SAFETY: the parent's side is one system call. The child arrives with an empty stack, aligned to 16 as the
    // ABI wants it before a call, and leaves by `entry`; r12 and r13 are kept by the kernel.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") number as isize => raw,
            in("rdi") first, in("rsi") second, in("rdx") third, in("r10") 0, in("r8") 0,
            in("r12") entry, in("r13") argument,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    answer(raw)
}

/// See the other one.
///
/// # Safety
///
/// The same.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn clone_and_call(
    number: usize,
    first: usize,
    second: usize,
    third: usize,
    entry: extern "C" fn(usize) -> !,
    argument: usize,
) -> Result<usize, i32> {
    let raw: isize;
    // SAFETY: as on x86-64.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x21",
            "blr x20",
            "brk 1",
            "2:",
            in("x8") number,
            inlateout("x0") first as isize => raw,
            in("x1") second, in("x2") third, in("x3") 0, in("x4") 0,
            in("x20") entry, in("x21") argument,
        );
    }
    answer(raw)
}

/// Ends this process.
pub(crate) fn exit(code: usize) -> ! {
    loop {
        // SAFETY: takes a number and does not return.
        let _ = unsafe { call(number::EXIT_GROUP, [code, 0, 0, 0, 0, 0]) };
    }
}

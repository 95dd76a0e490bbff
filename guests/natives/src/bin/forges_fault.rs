//! Dies of: SIGSEGV that it sends to itself with the words of the kernel; no access ever faulted.
//! The si_code is `SEGV_MAPERR` and there is an address, which only the process itself may forge.
#![expect(unsafe_code, reason = "signals are queued through libc")]

use std::process;

const SEGV_MAPERR: i32 = 1;

fn main() {
    // SAFETY: plain numbers; Rust's own handler, which is for overflows, is given up on purpose.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    // A siginfo_t of 128 bytes: signal, error, code, a gap, and the address.
    let mut info = [0_i32; 32];
    (info[0], info[2], info[4]) = (libc::SIGSEGV, SEGV_MAPERR, 0x1234);
    let (pid, signal) = (process::id().cast_signed(), libc::SIGSEGV);
    // SAFETY: the kernel reads 128 bytes, and as many are there.
    unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &raw const info) };
}

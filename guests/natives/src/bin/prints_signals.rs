//! Lives: prints how many signals were blocked, then how many were ignored, when it was born.
//! A C main, because Rust's start-up ignores SIGPIPE. KILL, STOP, 32 and 33 are not asked about.
#![no_main]
#![expect(unsafe_code, reason = "a C main, and the masks")]
#![expect(clippy::print_stdout, reason = "printing is what this guest is for")]

use std::{mem, ptr};

// SAFETY: the C runtime calls this once, and no other main is linked.
#[unsafe(no_mangle)]
extern "C" fn main() -> libc::c_int {
    // SAFETY: zeros are a valid mask.
    let mut mask: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the mask is valid, and the call only asks.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), &raw mut mask) };
    let (mut blocked, mut ignored) = (0, 0);
    for signal in 1..=64 {
        if [libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(&signal) {
            continue;
        }
        // SAFETY: the mask is valid.
        blocked += unsafe { libc::sigismember(&raw const mask, signal) };
        // SAFETY: zeros are a valid sigaction.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: the action is valid, and the call only asks.
        unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
        ignored += libc::c_int::from(action.sa_sigaction == libc::SIG_IGN);
    }
    println!("blocked {blocked}\nignored {ignored}");
    0
}

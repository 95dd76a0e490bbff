//! Lives: until it is told to end by SIGTERM; then it says so, and does what its first argument says: a code to exit with, or
//! `again`, as those do who end by the signal that they have heeded, `fault`, or
//! `never`. Without one, nothing keeps it.
#![expect(unsafe_code, reason = "signals are waited for through libc")]
#![expect(clippy::print_stdout, reason = "its output is what the tests wait for")]

use std::{mem, ptr};

fn main() {
    let Some(how) = std::env::args().nth(1) else { return };
    // SAFETY: zeros are a valid mask.
    let mut mask: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the mask is valid.
    unsafe { libc::sigaddset(&raw mut mask, libc::SIGTERM) };
    // SAFETY: the mask is valid, and the old one is not wanted.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const mask, ptr::null_mut()) };
    println!("ready");
    let mut signal = 0;
    // SAFETY: the mask and the place for the number are valid.
    unsafe { libc::sigwait(&raw const mask, &raw mut signal) };
    println!("told");
    match how.parse() {
        Ok(code) => std::process::exit(code),
        Err(_) if how == "fault" => {
            // SAFETY: none is claimed: the fault is what was asked for, and the process is disposable.
            unsafe { ptr::null_mut::<u8>().write_volatile(1) }
        }
        Err(_) if how == "never" => loop {
            std::thread::park();
        },
        Err(_) => {
            // SAFETY: the mask is valid, and the signal's action is what it was at the start.
            unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const mask, ptr::null_mut()) };
            // SAFETY: a plain number.
            unsafe { libc::raise(libc::SIGTERM) };
        }
    }
}

//! Dies of: SIGSEGV that it sends to itself; no access ever faulted.
//! SIGSEGV with si_code `SI_TKILL` and its own pid, not `SEGV_MAPERR` with an address.
#![expect(unsafe_code, reason = "signals are raised through libc")]

fn main() {
    // SAFETY: plain numbers; Rust's own handler, which is for overflows, is given up on purpose.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    // SAFETY: a plain number.
    unsafe { libc::raise(libc::SIGSEGV) };
}

//! Dies of: SIGXFSZ that it sends to itself; it never wrote a file, and none is too large.
//! The kernel's own SIGXFSZ comes in the name of the process, too, but from within a write.
#![expect(unsafe_code, reason = "signals are raised through libc")]

fn main() {
    // SAFETY: plain numbers, and no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
    // SAFETY: a plain number.
    unsafe { libc::raise(libc::SIGXFSZ) };
}

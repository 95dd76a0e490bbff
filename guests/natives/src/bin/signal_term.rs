//! Dies of: SIGTERM that it sends to itself; nobody outside asked it to end.
#![expect(unsafe_code, reason = "signals are raised through libc")]

fn main() {
    // SAFETY: plain numbers, and no handler.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_DFL) };
    // SAFETY: a plain number.
    unsafe { libc::raise(libc::SIGTERM) };
}

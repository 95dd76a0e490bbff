//! Dies of: nothing by itself: it stops itself with SIGSTOP, again whenever it is continued.
//! The time limit by the clock; it uses no processor time and is no sleeper either.
#![expect(unsafe_code, reason = "signals are raised through libc")]

fn main() {
    loop {
        // SAFETY: raise takes a plain number.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
}

//! Dies of: nothing by itself: it forks for ever, and so does every child.
//! The limit on processes, or the time limit; every one of them has to go.
#![expect(unsafe_code, reason = "fork is a libc call")]

fn main() {
    loop {
        // SAFETY: there is one thread, and the children do nothing but fork again.
        unsafe { libc::fork() };
    }
}

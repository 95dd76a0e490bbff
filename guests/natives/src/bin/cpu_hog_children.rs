//! Dies of: nothing by itself: two children compute for ever while it waits for them, asleep.
//! The limit on processor time of the whole tree, or the time limit; the children have to go too.
//! (Code 9: no fork allowed, or both children were ended and it was not.)
#![expect(unsafe_code, reason = "fork is a libc call")]

use std::hint::black_box;
use std::process::ExitCode;
use std::ptr;

fn main() -> ExitCode {
    for _ in 0..2 {
        // SAFETY: there is one thread, and the child only counts.
        if unsafe { libc::fork() } == 0 {
            let mut turns = 0_u64;
            loop {
                turns = black_box(turns.wrapping_add(1));
            }
        }
    }
    // SAFETY: a null status is allowed.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), 0) } > 0 {}
    ExitCode::from(9)
}

//! Dies of: memory that runs out for itself, while a child of its own is there, which needs none.
//! The kernel ends the child with it. (Code 9: no fork allowed.)
#![expect(unsafe_code, reason = "fork and pause are libc calls")]

use std::hint::black_box;
use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: there is one thread, and the child only waits.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return ExitCode::from(9);
    }
    loop {
        if child == 0 {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        } else {
            black_box(vec![1_u8; 1 << 20].leak());
        }
    }
}

//! Dies of: SIGKILL that it sends to itself, after a child has died because memory ran out.
//! The memory ran out for the child; the parent lived through it. (Code 9: no fork allowed.)
#![expect(unsafe_code, reason = "fork and kill are libc calls")]

use std::hint::black_box;
use std::process::{self, ExitCode};
use std::ptr;

fn main() -> ExitCode {
    // SAFETY: there is one thread, so the child may allocate.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return ExitCode::from(9);
    }
    if child == 0 {
        loop {
            black_box(vec![1_u8; 1 << 20].leak());
        }
    }
    // SAFETY: a null status is allowed.
    unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
    // SAFETY: plain numbers.
    unsafe { libc::kill(process::id().cast_signed(), libc::SIGKILL) };
    ExitCode::SUCCESS
}

//! Dies of: nothing. It forks itself again and again, and says what one fork costs, with its end and its reaping: the bench
//! `forked_task` runs it outside of any wall, to have something to compare with.
#![expect(unsafe_code, reason = "calls fork")]

use std::time::Instant;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(code: i32) -> !;
}

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_u32);
    let mut nanoseconds: Vec<u128> = (0..count)
        .map(|_| {
            let begin = Instant::now();
            // SAFETY: there is one thread, and the child ends at once.
            let child = unsafe { fork() };
            if child == 0 {
                // SAFETY: ends the child, and runs nothing of its parent's.
                unsafe { _exit(0) }
            }
            // SAFETY: its status is not wanted.
            unsafe { waitpid(child, std::ptr::null_mut(), 0) };
            begin.elapsed().as_nanos()
        })
        .collect();
    nanoseconds.sort_unstable();
    let median = nanoseconds.get(nanoseconds.len() / 2).copied().unwrap_or_default();
    println!("{} {median}", nanoseconds.first().copied().unwrap_or_default());
}

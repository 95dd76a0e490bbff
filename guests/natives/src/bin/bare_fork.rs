//! Dies of: nothing. For each byte that it reads it forks, waits for the child's end, and writes how many nanoseconds that
//! took: a bench runs it outside of any wall, to have something to compare with.
#![expect(unsafe_code, reason = "calls fork")]

use std::io::{Read as _, Write as _};
use std::time::Instant;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(code: i32) -> !;
}

fn main() {
    let (mut asked, mut answers) = (std::io::stdin().lock(), std::io::stdout().lock());
    while asked.read_exact(&mut [0]).is_ok() {
        let begin = Instant::now();
        // SAFETY: there is one thread, and the child ends at once.
        let child = unsafe { fork() };
        if child == 0 {
            // SAFETY: ends the child, and runs nothing of its parent's.
            unsafe { _exit(0) }
        }
        // SAFETY: its status is not wanted.
        unsafe { waitpid(child, std::ptr::null_mut(), 0) };
        let took = begin.elapsed().as_nanos() as u64;
        if answers.write_all(&took.to_ne_bytes()).and_then(|()| answers.flush()).is_err() {
            break;
        }
    }
}

//! Dies of: nothing by itself: its first thread ends, and another one computes for ever.
//! The limit on processor time. The process lives on under the number of a thread that is gone.
#![expect(unsafe_code, reason = "only a system call ends one thread alone")]

use std::hint::black_box;
use std::thread;

fn main() {
    thread::spawn(|| {
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    });
    // SAFETY: a plain number, and nobody has borrowed anything from the stack of this thread.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

//! Dies of: a stack overflow in a thread other than the first.
//! SIGSEGV in the thread's guard page; Rust's handler says so and aborts (SIGABRT).

use std::hint::black_box;
use std::thread;

fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    if frame[0] == u64::MAX {
        return 0;
    }
    descend(depth + 1) ^ black_box(&frame)[1]
}

fn main() {
    let deep = thread::Builder::new().name("deep".into());
    let _ = deep.stack_size(256 * 1024).spawn(|| descend(0)).expect("a thread").join();
}

//! Dies of: a stack overflow, by recursion without end in small frames.
//! Native wall: SIGSEGV in the guard page; Rust's handler says so and aborts (SIGABRT). Wasm wall:
//! the call stack is exhausted before the shadow stack in linear memory is (the frames are small).

use std::hint::black_box;

fn descend(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return 0;
    }
    // The box after the call keeps it from becoming a loop.
    black_box(descend(depth + 1))
}

fn main() {
    black_box(descend(0));
}

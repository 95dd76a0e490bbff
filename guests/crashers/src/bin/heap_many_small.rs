//! Dies of: running out of memory, 32 bytes at a time, nothing given back.
//! Native wall: the memory cap (SIGKILL from a cgroup, SIGABRT where the allocator is refused).
//! Wasm wall: a refused `memory.grow`, then `memory allocation of ... failed` and `unreachable`.

use std::env;
use std::hint::black_box;

fn main() {
    // Once for wasi-libc to copy the environment, as in `heap_slow_growth`: here it is certain that
    // nothing is left for it at the end.
    let _ = env::var_os("RUST_BACKTRACE");
    let mut count = 0_u64;
    loop {
        count += 1;
        black_box(Box::leak(Box::new([count; 4])));
    }
}

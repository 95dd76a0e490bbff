//! Dies of: running out of memory, 64 KiB at a time, every page touched, nothing given back.
//! Native wall: the memory cap (SIGKILL from a cgroup, SIGABRT where the allocator is refused).
//! Wasm wall: a refused `memory.grow`, then `memory allocation of ... failed` and `unreachable`.

use std::env;
use std::hint::black_box;

fn main() {
    // Once for wasi-libc to copy the environment: Rust asks for RUST_BACKTRACE again after the last
    // block, and a libc that first had to allocate then would exit with code 70 instead.
    let _ = env::var_os("RUST_BACKTRACE");
    loop {
        black_box(vec![1_u8; 64 * 1024].leak());
    }
}

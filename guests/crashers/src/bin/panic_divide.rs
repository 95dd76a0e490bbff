//! Dies of: a Rust panic, from an ordinary division by zero that the compiler checks.
//! Native wall: exit code 101, not SIGFPE. Wasm wall: `unreachable`, not the division trap.

use std::hint::black_box;

fn main() {
    black_box(black_box(42_i32) / black_box(0_i32));
}

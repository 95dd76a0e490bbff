//! Dies of: a Rust panic, from an index beyond the end of an array.
//! Native wall: exit code 101, not SIGSEGV. Wasm wall: `unreachable`, not an out-of-bounds trap.

use std::hint::black_box;

fn main() {
    let numbers = black_box([1, 2, 3]);
    black_box(numbers[black_box(7)]);
}

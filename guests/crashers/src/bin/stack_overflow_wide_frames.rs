//! Dies of: a stack overflow, by recursion without end in frames of 2 KiB.
//! Native wall: as `stack_overflow`. Wasm wall: the shadow stack in linear memory runs out first,
//! and below address 0, so that the trap is an out-of-bounds access just under 4 GiB.

use std::hint::black_box;

fn descend(depth: u64) -> u64 {
    let frame = [depth; 256];
    if black_box(&frame)[0] == u64::MAX {
        return 0;
    }
    // The frame is used after the call, so it has to stay.
    descend(depth + 1) ^ black_box(&frame)[1]
}

fn main() {
    black_box(descend(0));
}

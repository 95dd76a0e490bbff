//! Dies of: a panic so many calls deep as its argument says, however little stack is left there.
//!
//! Both walls: `failed.panic`, with message and place, as long as there is room to say it; `crashed.stack-overflow` below that.

use std::env;
use std::hint::black_box;

fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    assert!(frame[0] > 0, "at the bottom of the stack");
    descend(depth - 1) ^ black_box(&frame)[1]
}

#[sandtrap_guest::main]
fn main() {
    let depth = env::args().nth(1).and_then(|depth| depth.parse().ok());
    black_box(descend(depth.unwrap_or(0)));
}

//! Lives: a refused allocation is told over the channel, but it was a try, and the guest goes on.
//!
//! Native wall: `completed`, for nothing died of it. Wasm wall: the growth is above the cap, and
//! the wall ends the module itself. (Code 9: it was granted.)

use std::hint::black_box;
use std::process;

#[sandtrap_guest::main]
fn main() {
    let size = if cfg!(target_pointer_width = "64") { 1 << 46 } else { 1 << 30 };
    let mut block: Vec<u8> = Vec::new();
    let granted = block.try_reserve_exact(black_box(size)).is_ok();
    black_box(&block);
    if granted {
        process::exit(9);
    }
}

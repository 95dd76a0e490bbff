//! Dies of: one allocation that no machine could grant, told over the channel.
//!
//! Both walls: `crashed.out-of-memory`, certain in a process, too, because the guest said so.

use std::hint::black_box;

#[sandtrap_guest::main]
fn main() {
    let size = if cfg!(target_pointer_width = "64") { 1 << 46 } else { 1 << 30 };
    let mut block: Vec<u8> = Vec::with_capacity(black_box(size));
    block.push(1);
    black_box(&block);
}

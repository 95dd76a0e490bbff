//! Dies of: one request for more memory than there can be (the second if nothing caps the first).
//! Native wall: `memory allocation of 70368744177664 bytes failed`, SIGABRT.
//! Wasm wall: growth is refused.

use std::hint::black_box;

/// 64 TiB. Two of them do not fit into 47 bits of addresses.
#[cfg(target_pointer_width = "64")]
const HUGE: usize = 1 << 46;
/// 1 GiB: above every cap here, and small enough for the allocator to really ask for it.
#[cfg(target_pointer_width = "32")]
const HUGE: usize = 1 << 30;

fn main() {
    loop {
        let mut block = Vec::<u8>::with_capacity(black_box(HUGE));
        let room = block.spare_capacity_mut();
        room[0].write(1);
        room[HUGE - 1].write(1);
        black_box(block.leak());
    }
}

//! Dies of: nothing by itself: it computes for ever, and has to be stopped.
//! Both walls: the time limit (processor time runs out as fast as the clock does).

use std::hint::black_box;

fn main() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

//! Dies of: a read at an address where nothing is.
//! Native wall: SIGSEGV (`SEGV_MAPERR`) at 0x414141410000. Wasm wall: out of bounds at 0xffff0000.
#![expect(unsafe_code, reason = "the wild read is the purpose of the file")]

use std::hint::black_box;
use std::ptr;

#[cfg(target_pointer_width = "64")]
const NOWHERE: usize = 0x4141_4141_0000;
#[cfg(target_pointer_width = "32")]
const NOWHERE: usize = 0xFFFF_0000;

fn main() {
    let nowhere = ptr::without_provenance::<u32>(black_box(NOWHERE));
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    black_box(unsafe { nowhere.read_volatile() });
}

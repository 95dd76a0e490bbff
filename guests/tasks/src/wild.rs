//! A fault.
#![expect(unsafe_code, reason = "there is no other way to it")]

use std::hint::black_box;

/// Reads where nothing is.
pub(crate) fn read() -> u32 {
    #[cfg(target_pointer_width = "64")]
    const NOWHERE: usize = 0x4141_4141_0000;
    #[cfg(target_pointer_width = "32")]
    const NOWHERE: usize = 0xFFFF_0000;
    let nowhere = std::ptr::without_provenance::<u32>(black_box(NOWHERE));
    // SAFETY: none is claimed: the fault is the purpose of the function and the process is disposable.
    unsafe { nowhere.read_volatile() }
}

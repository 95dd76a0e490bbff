//! An allocator that tells the host when there is no more memory.
#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait; every call goes to the system's own"
)]

use std::alloc::{GlobalAlloc, Layout, System};

use crate::testify;

/// The system's allocator, and a word to the host when it says no.
#[derive(Clone, Copy, Debug, Default)]
pub struct TellingAllocator;

// SAFETY: every method passes its arguments unchanged to the system's allocator and gives back what that
// gives, so its guarantees hold. Telling the host allocates nothing.
unsafe impl GlobalAlloc for TellingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        told(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        told(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        told(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

fn told(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        testify::out_of_memory(size);
    }
    block
}

//! An allocator that tells the host when there is no more memory, and has a little left for a thread that panics then.
#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait; every call goes to the system's own"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::testify;

/// The words of a panic are put together out of pieces of memory. Where none is granted any more, that would be the end, and
/// nobody would know of what: so there are a few pieces more, for threads that panic, and never given out twice.
static RESERVE: Reserve =
    Reserve { room: Room(UnsafeCell::new([0; LARGEST])), used: AtomicUsize::new(0) };

/// Enough for the longest words that are told, put together in a piece that doubles; longer ones are the end. (Nothing of it is
/// resident before it is used.)
const LARGEST: usize = 32 * 1024;

/// No piece of it begins at another multiple, and none may ask for more.
const ALIGNMENT: usize = 16;

#[repr(align(16))]
struct Room(UnsafeCell<[u8; LARGEST]>);

struct Reserve {
    room: Room,
    /// Given out, from the beginning.
    used: AtomicUsize,
}

// SAFETY: each byte of the room is given to one owner only, by the counter, which only grows; nothing else touches it.
unsafe impl Sync for Reserve {}

impl Reserve {
    fn begin(&self) -> *mut u8 {
        self.room.0.get().cast()
    }

    fn has(&self, block: *mut u8) -> bool {
        block.addr().wrapping_sub(self.begin().addr()) < LARGEST
    }

    /// A piece that nobody had before, all zeros. Null if it is not for this thread, or there is none.
    fn piece(&self, layout: Layout) -> *mut u8 {
        if !thread::panicking() || layout.align() > ALIGNMENT {
            return ptr::null_mut();
        }
        let next = |used: usize| {
            let end = used.checked_add(layout.size())?.checked_next_multiple_of(ALIGNMENT)?;
            (end <= LARGEST).then_some(end)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(at) => self.begin().wrapping_add(at),
            Err(_) => ptr::null_mut(),
        }
    }

    /// Has a piece become another size, where it is: a smaller one, or a larger one if it was given out last.
    fn resized(&self, block: *mut u8, old: usize, size: usize) -> Option<*mut u8> {
        if size <= old {
            return Some(block);
        }
        let at = block.addr() - self.begin().addr();
        let ends = |size: usize| at.checked_add(size)?.checked_next_multiple_of(ALIGNMENT);
        let (Some(was), Some(end)) = (ends(old), ends(size)) else { return None };
        let order = Ordering::Relaxed;
        let grows = end <= LARGEST && self.used.compare_exchange(was, end, order, order).is_ok();
        grows.then(|| self.begin().wrapping_add(at))
    }
}

/// The system's allocator, and a word to the host when it says no.
#[derive(Clone, Copy, Debug, Default)]
pub struct TellingAllocator;

// SAFETY: every method passes its arguments unchanged to the system's allocator and gives back what that
// gives, so its guarantees hold; or it gives a piece of the reserve, which fits, is nobody else's, and never comes to the
// system's allocator. Telling the host allocates nothing.
unsafe impl GlobalAlloc for TellingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        granted(unsafe { System.alloc(layout) }, layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        granted(unsafe { System.alloc_zeroed(layout) }, layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_reserve = RESERVE.has(block);
        if is_reserve && let Some(resized) = RESERVE.resized(block, layout.size(), size) {
            return resized;
        }
        if !is_reserve {
            // SAFETY: as above; the block is the system's.
            let moved = unsafe { System.realloc(block, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller says that the size is not 0, and fits with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above: the size is not 0.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both blocks have so many bytes, and the new one is nobody else's.
            unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(size)) };
            // SAFETY: the caller gives up the old one.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !RESERVE.has(block) {
            // SAFETY: as above; the block is the system's.
            unsafe { System.dealloc(block, layout) }
        }
    }
}

/// What the system has given, or else a piece of the reserve. The host is told where there is neither.
fn granted(block: *mut u8, layout: Layout) -> *mut u8 {
    let block = if block.is_null() { RESERVE.piece(layout) } else { block };
    if block.is_null() {
        testify::out_of_memory(layout.size());
    }
    block
}

//! Memory that a process shares with its host, for large values: nothing is sent then but where they lie.
//!
//! It is a file in memory that the host has made for this guest, and its size is fixed. What lies in it at the end of a
//! call is read by the host when it is the guest's no more. What a task keeps of it beyond its call becomes its own then,
//! with all that it has written there: the next call's values come to the same places.
#![expect(unsafe_code, reason = "an inherited descriptor, and mappings of it")]

use std::fs::File;
use std::hint::black_box;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sandtrap_protocol::ARENA_VARIABLE;

use crate::testify;

/// Values begin at multiples of this. It is one of every page size there is.
const STEP: u64 = 64 * 1024;

const SMALLEST_PAGE: usize = 4096;

/// Has all pages of a range made for writing, since Linux 5.14.
const POPULATE_WRITE: libc::c_int = 23;

struct Arena {
    file: File,
    size: u64,
}

static ARENA: OnceLock<Arena> = OnceLock::new();

/// Where there is room, in this call.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Which call this is.
static CALL: AtomicU64 = AtomicU64::new(0);

/// The mappings of this call, and how many there are, for those who need not look.
static LIVING: Mutex<Vec<Part>> = Mutex::new(Vec::new());
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Where a mapping lies, here and in the arena, and whether what is written to it is this process's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: usize,
    length: usize,
    at: libc::off_t,
    is_private: bool,
}

/// Takes the descriptor that the host left for us. Before there is a second thread.
pub(crate) fn open() {
    let number = std::env::var(ARENA_VARIABLE).ok().and_then(|number| number.parse().ok());
    if let Some(number) = number {
        // SAFETY: the variable is set by the host alone, which made this descriptor for us; nobody else in this
        // process knows of it.
        let inherited = unsafe { OwnedFd::from_raw_fd(number) };
        // SAFETY: this runs first in `main`, before there is a second thread that could read it.
        unsafe { std::env::remove_var(ARENA_VARIABLE) };
        // Neither the variable nor the copy is passed on to programs that this one starts.
        let copy = inherited.try_clone();
        copy.into_iter().for_each(adopt);
    }
}

/// From here on this is the arena, if there was none.
pub(crate) fn adopt(arena: OwnedFd) {
    let file = File::from(arena);
    if let Ok(metadata) = file.metadata() {
        // Nobody calls this twice.
        let _ = ARENA.set(Arena { size: metadata.len(), file });
    }
}

/// A new call begins: nothing of the last one is wanted any more.
pub(crate) fn clear() {
    NEXT.store(0, Ordering::Relaxed);
    CALL.fetch_add(1, Ordering::Relaxed);
}

/// The task is over, and its host may write the next one's input from now on: what was kept of this one's values is
/// copied where it lies, and nobody else's any more.
pub(crate) fn part() {
    if LIVE.load(Ordering::Relaxed) == 0 {
        return;
    }
    let Some(arena) = ARENA.get() else { return };
    // Nobody takes one of them away meanwhile.
    let mut living = living();
    // Once: what is its own then must not be taken from the arena again.
    living.drain(..).for_each(|part| part.own(arena));
    LIVE.store(0, Ordering::Relaxed);
}

fn living() -> MutexGuard<'static, Vec<Part>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Part {
    fn own(self, arena: &Arena) {
        let Self { start, length, at, is_private } = self;
        let place = std::ptr::without_provenance_mut::<libc::c_void>(start);
        // A private one has pages of its own where the task has written, which a new mapping would not have.
        if !is_private {
            let (access, kind) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_FIXED);
            // SAFETY: a mapping of ours is there, of this very length and of this very part of the file, and stays while
            // the list is held. All that was written to it is in the file: what is read there is the same before and
            // after.
            let made =
                unsafe { libc::mmap(place, length, access, kind, arena.file.as_raw_fd(), at) };
            if made == libc::MAP_FAILED {
                // The old one may be gone, or be written to by the host: what the task keeps is lost, and it can't be told.
                testify::out_of_memory(length);
                std::process::abort();
            }
        }
        // SAFETY: the range is that mapping, and nothing in it changes: each page becomes this process's own.
        let made = unsafe { libc::madvise(place, length, POPULATE_WRITE) };
        if made != 0 {
            // An older kernel does it when somebody writes.
            for byte in (start..start + length).step_by(SMALLEST_PAGE) {
                // SAFETY: the byte is mapped, and keeps its value. Whoever compiles this must not know that: it would only
                // be read then.
                unsafe { AtomicU8::from_ptr(std::ptr::without_provenance_mut(byte)) }
                    .fetch_or(black_box(0), Ordering::Relaxed);
            }
        }
    }
}

/// A part of the arena, as memory. No two of a call overlap.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
    at: u64,
    is_private: bool,
    /// The call that it is of.
    call: u64,
}

// SAFETY: a mapping is plain memory that belongs to its one owner, on whatever thread that is.
unsafe impl Send for Mapping {}
// SAFETY: whoever shares it only reads it.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Room for so many bytes that the host will see.
    pub(crate) fn room(length: usize) -> Option<Self> {
        let arena = ARENA.get()?;
        let steps = (length as u64).checked_next_multiple_of(STEP)?;
        let next = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            next.checked_add(steps).filter(|end| *end <= arena.size)
        });
        Self::of(arena, next.ok()?, length, libc::MAP_SHARED)
    }

    /// What the host has put there. Whoever writes to it has pages of his own from then on.
    pub(crate) fn given(at: u64, length: u64) -> Option<Self> {
        let arena = ARENA.get()?;
        let end = at.checked_add(length).filter(|end| *end <= arena.size)?;
        let is_aligned = at.is_multiple_of(STEP);
        let mapping = Self::of(arena, at, usize::try_from(length).ok()?, libc::MAP_PRIVATE);
        NEXT.fetch_max(end.next_multiple_of(STEP), Ordering::Relaxed);
        mapping.filter(|_| is_aligned)
    }

    fn of(arena: &Arena, at: u64, length: usize, kind: libc::c_int) -> Option<Self> {
        let offset = libc::off_t::try_from(at).ok()?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let file = arena.file.as_raw_fd();
        // SAFETY: asks for memory at no particular place, which nothing else is in.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length.max(1), access, kind, file, offset) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let start = NonNull::new(start.cast())?;
        let (is_private, call) = (kind == libc::MAP_PRIVATE, CALL.load(Ordering::Relaxed));
        let mapping = Self { start, length, at, is_private, call };
        let mut living = living();
        living.push(mapping.part(offset));
        LIVE.store(living.len(), Ordering::Relaxed);
        Some(mapping)
    }

    fn part(&self, at: libc::off_t) -> Part {
        let (start, length) = (self.start.as_ptr().addr(), self.length.max(1));
        Part { start, length, at, is_private: self.is_private }
    }

    /// Where it begins, if the host sees what is written to it: in its own call.
    pub(crate) fn at(&self) -> Option<u64> {
        let is_seen = !self.is_private && self.call == CALL.load(Ordering::Relaxed);
        is_seen.then_some(self.at)
    }

    /// Has all of its pages made at once, which is much quicker than one after another.
    pub(crate) fn populate(&mut self) {
        // SAFETY: the range is this mapping, and nothing in it changes. An older kernel refuses, and makes the pages
        // one after another.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.length, POPULATE_WRITE) };
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped as long as this value lives. Shared ones are written through it alone: the
        // host writes only before it tells of them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and it is borrowed by one alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let start = self.start.as_ptr().addr();
        let mut living = living();
        living.retain(|part| part.start != start);
        LIVE.store(living.len(), Ordering::Relaxed);
        drop(living);
        // SAFETY: it was mapped with this length, and nobody has a part of it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length.max(1)) };
    }
}

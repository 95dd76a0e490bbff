//! Memory that this process has in common with another one: a few atomic integers in a file that can't become smaller.
//!
//! # Safety
//!
//! The mapping holds atomic integers only and lives as long as its owner; the file behind it is sealed at its
//! size, so it can't be cut short under us.
#![expect(unsafe_code, reason = "shared memory; see the contract at each block")]

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::ops::Deref;
use std::ptr::NonNull;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use sandtrap_protocol::Lane;

use super::wire;

/// What any bytes are a value of, and what may change at any time.
///
/// # Safety
///
/// It consists of atomic integers, and nothing else.
pub(super) unsafe trait Atomics: Sync {}

// SAFETY: atomic integers, all of them.
unsafe impl Atomics for wire::Board {}
// SAFETY: atomic integers, all of them.
unsafe impl Atomics for Lane {}

/// One of them in a file that others may have, too.
pub(super) struct Page<T: Atomics>(NonNull<T>);

// SAFETY: the page is plain shared memory of atomic integers; any thread may use and release it.
unsafe impl<T: Atomics> Send for Page<T> {}
// SAFETY: the same.
unsafe impl<T: Atomics> Sync for Page<T> {}

impl<T: Atomics> Page<T> {
    /// What lies in the file at this place, which is the beginning of a page. The file has to be sealed at its size.
    pub(super) fn of(file: &File, at: u64) -> io::Result<Self> {
        let fixed = SealFlag::F_SEAL_SHRINK;
        let seals = SealFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GET_SEALS)?);
        let end = at.checked_add(size_of::<T>() as u64);
        let is_in_it = end.is_some_and(|end| file.metadata().is_ok_and(|it| end <= it.len()));
        if !seals.contains(fixed) || !is_in_it {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let offset = libc::off_t::try_from(at).map_err(io::Error::other)?;
        let length = NonZero::new(size_of::<T>()).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping wherever the kernel wants it, of a part of a file that can't shrink.
        let address = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, offset) }?;
        Ok(Self(address.cast()))
    }
}

impl<T: Atomics> Deref for Page<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mapping is as large as a `T`, aligned to a page, and lives as long as `self`; every value of its
        // integers is valid.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Atomics> Drop for Page<T> {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length by `of`, and nobody borrows from it any more.
        let _ = unsafe { munmap(self.0.cast(), size_of::<T>()) };
    }
}

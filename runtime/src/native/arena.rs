//! Memory that a process shares with us, for large values: its input lies there when it begins, and its result when it
//! has ended.
//!
//! It is ours: we make it, fix its size before anybody else has it, and hand it over at the start. So it can't be cut
//! short under us, and nothing that a guest sends is a descriptor. A result is mapped only once nobody can write to
//! it any more, which the kernel says: it seals nothing that somebody has mapped for writing. Else it is copied.
#![expect(unsafe_code, reason = "a mapping of memory that is sealed")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::ptr::NonNull;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::channel::Placed;
use crate::payload::Payload;

/// Values begin at multiples of this: one of every page size there is.
const STEP: u64 = 64 * 1024;

/// A result of fewer bytes is copied: to map it takes longer.
pub(super) const MAPPED_FROM: u64 = 256 * 1024;

#[derive(Debug)]
pub(super) struct Arena {
    file: File,
    size: u64,
}

impl Arena {
    /// One with room for an input and a result of so many bytes each.
    pub(super) fn new(input: u64, result: u64) -> io::Result<Self> {
        // What is written around a result, and both begin anew.
        let size = input.saturating_add(result).saturating_add(3 * STEP) / STEP * STEP;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"sandtrap-values", flags)?);
        file.set_len(size)?;
        seal(&file, SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)?;
        Ok(Self { file, size })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Puts the input where its guest will look for it: at the beginning.
    pub(super) fn put(&self, input: &[u8]) -> io::Result<()> {
        if input.len() as u64 > self.size {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all_at(input, 0)
    }

    /// What its guest has left there. The guest has ended, or has answered and waits.
    pub(super) fn take(&self, placed: Placed, goes_on: bool) -> io::Result<Payload> {
        let Placed { codec, at, length } = placed;
        let end = at.checked_add(length).filter(|end| *end <= self.size);
        let (Some(_), Ok(length)) = (end, usize::try_from(length)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // What is sealed can't be written to by the next call.
        if placed.length >= MAPPED_FROM
            && !goes_on
            && let Ok(mapping) = self.map(at, length)
        {
            return Ok(Payload::held(codec, mapping));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(Payload::new(codec, bytes))
    }

    fn map(&self, at: u64, length: usize) -> io::Result<Mapping> {
        let wanted = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
        let set = || {
            Ok::<_, io::Error>(SealFlag::from_bits_truncate(fcntl(
                &self.file,
                FcntlArg::F_GET_SEALS,
            )?))
        };
        if !set()?.contains(wanted) {
            seal(&self.file, SealFlag::F_SEAL_WRITE)?;
        }
        if !set()?.contains(wanted) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let begin = at / STEP * STEP;
        let skipped = usize::try_from(at - begin).map_err(io::Error::other)?;
        let all = skipped.checked_add(length).and_then(std::num::NonZero::new);
        let all = all.ok_or(io::ErrorKind::InvalidInput)?;
        let offset = libc::off_t::try_from(begin).map_err(io::Error::other)?;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        // SAFETY: asks for memory at no particular place, which nothing else is in. The file has these bytes, and the
        // seals that were just seen keep it from ever losing or changing one.
        let start = unsafe { mmap(None, all, ProtFlags::PROT_READ, flags, &self.file, offset) }?;
        Ok(Mapping { start, all: all.get(), skipped })
    }
}

fn seal(file: &File, seals: SealFlag) -> io::Result<()> {
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// A part of an arena that nobody writes to any more.
struct Mapping {
    start: NonNull<libc::c_void>,
    all: usize,
    skipped: usize,
}

// SAFETY: memory that is only read, and belongs to its one owner.
unsafe impl Send for Mapping {}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped as long as this value lives, and nobody can write to them: they are sealed.
        let all = unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.all) };
        &all[self.skipped..]
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and its owner gives it up.
        let unmapped = unsafe { munmap(self.start, self.all) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtrap_protocol::Codec;

    const LARGE: u64 = 1 << 20;

    fn placed(at: u64, length: u64) -> Placed {
        Placed { codec: Codec::Raw, at, length }
    }

    #[test]
    fn its_size_stays_and_what_was_mapped_can_not_be_changed() {
        let arena = Arena::new(0, LARGE).unwrap();
        arena.put(&[7; 1 << 20]).unwrap();
        assert!(arena.file.set_len(0).is_err() && arena.file.set_len(LARGE * 4).is_err());
        let result = arena.take(placed(5, LARGE - 5), false).unwrap();
        assert!(
            result.bytes().len() as u64 == LARGE - 5 && result.bytes().iter().all(|it| *it == 7)
        );
        assert!(arena.put(&[8]).is_err());
        drop(arena);
        assert_eq!(result.bytes()[0], 7);
    }

    #[test]
    fn what_somebody_can_still_write_to_is_copied() {
        let arena = Arena::new(0, LARGE).unwrap();
        let all = std::num::NonZero::new(1 << 20).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a mapping of its own, which is unmapped below.
        let held =
            unsafe { mmap(None, all, access, MapFlags::MAP_SHARED, &arena.file, 0) }.unwrap();
        let result = arena.take(placed(0, LARGE), false).unwrap();
        arena.put(&[9]).unwrap();
        assert_eq!(result.bytes()[0], 0);
        // SAFETY: nobody has a part of it.
        unsafe { munmap(held, all.get()) }.unwrap();
    }

    #[test]
    fn a_place_outside_is_none() {
        let arena = Arena::new(0, LARGE).unwrap();
        for (at, length) in [(0, u64::MAX), (u64::MAX, 2), (arena.size(), 1), (1, arena.size())] {
            assert!(arena.take(placed(at, length), false).is_err());
        }
        assert_eq!(arena.take(placed(arena.size(), 0), false).unwrap().bytes(), b"");
    }
}

//! The memory of a stopped tracee, read piece by piece, and never more of it than a backtrace may cost.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::mappings::{self, Mappings};

const PAGE: u64 = 4096;

/// How many pages are read at most, over and over ones included.
const MOST_PAGES: u32 = 16 * 1024;

/// How many are kept at hand.
const KEPT: usize = 64;

type Page = [u8; PAGE as usize];
type Reader<'a> = Box<dyn Fn(u64, &mut Page) -> Option<()> + 'a>;

/// Memory as it is asked for.
pub(super) struct Memory<'a> {
    read: Reader<'a>,
    kept: Vec<(u64, Option<Box<Page>>)>,
    /// Which of them was asked for last: most often it is asked for again.
    last: usize,
    left: u32,
}

impl<'a> Memory<'a> {
    /// That of a thread which stands still. Files that a process answers for are left alone.
    pub(super) fn of(tid: i32, mappings: &'a Mappings) -> Option<Self> {
        let file = File::open(format!("/proc/{tid}/mem")).ok()?;
        let answering = mappings::answering_devices(tid);
        Some(Self::new(move |address, page| {
            let mapping = mappings.at(address)?;
            let waits = mapping.inode != 0 && answering.contains(&mapping.device);
            (!waits).then(|| file.read_exact_at(page, address).ok())?
        }))
    }

    /// That which `read` reads, page by page.
    pub(super) fn new(read: impl Fn(u64, &mut Page) -> Option<()> + 'a) -> Self {
        Self { read: Box::new(read), kept: Vec::new(), last: 0, left: MOST_PAGES }
    }

    fn page(&mut self, address: u64) -> Option<&Page> {
        if self.kept.get(self.last).is_none_or(|(known, _)| *known != address) {
            let known = self.kept.iter().position(|(known, _)| *known == address);
            self.last = match known {
                Some(index) => index,
                None => self.load(address)?,
            };
        }
        self.kept.get(self.last)?.1.as_deref()
    }

    /// Reads a page that is not at hand, and says where it is kept.
    fn load(&mut self, address: u64) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        let mut page = Box::new([0; PAGE as usize]);
        let read = (self.read)(address, &mut page);
        self.kept.push((address, read.map(|()| page)));
        Some(self.kept.len() - 1)
    }

    /// Fills `buffer` with what stands at an address, or not at all.
    pub(super) fn read(&mut self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let mut done = 0;
        while done < buffer.len() {
            let at = address.checked_add(done as u64)?;
            let within = (at % PAGE) as usize;
            let part = (buffer.len() - done).min(PAGE as usize - within);
            let page = self.page(at - at % PAGE)?;
            buffer[done..done + part].copy_from_slice(&page[within..within + part]);
            done += part;
        }
        Some(())
    }

    /// So many bytes, of which the caller has checked that they are not many.
    pub(super) fn bytes(&mut self, address: u64, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.read(address, &mut bytes)?;
        Some(bytes)
    }

    pub(super) fn word(&mut self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    pub(super) fn half(&mut self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Some(u32::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting<'a>() -> Memory<'a> {
        Memory::new(|address, page| {
            page.fill((address / PAGE) as u8);
            (address < 1 << 40).then_some(())
        })
    }

    #[test]
    fn what_crosses_pages_is_read_from_both() {
        let mut memory = counting();
        assert_eq!(memory.word(PAGE - 4), Some(0x0101_0101_0000_0000));
        assert_eq!(memory.half(PAGE * 3), Some(0x0303_0303));
        assert_eq!(memory.bytes(0, 3), Some(vec![0; 3]));
    }

    #[test]
    fn what_is_not_there_is_not_made_up() {
        let mut memory = counting();
        assert_eq!(memory.word((1 << 40) - 4), None);
        assert_eq!(memory.word(u64::MAX - 3), None);
    }

    #[test]
    fn there_is_an_end_to_what_is_read() {
        let mut memory = counting();
        let read = (0..u64::from(MOST_PAGES) * 2).filter(|page| memory.half(page * PAGE).is_some());
        assert_eq!(read.count(), MOST_PAGES as usize);
        assert!(memory.kept.len() <= KEPT);
    }
}

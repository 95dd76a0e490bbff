//! An executable that may have been made to do harm, for those who take it apart: they get so much of it in all, and names
//! that have an end. (What a file says of its lengths is bounded by its own, which is nothing if it has holes.)

use std::cell::Cell;
use std::ops::Range;

use object::read::ReadRef;

/// As much as is given of one name. Nobody shows more.
const LONGEST_NAME: u64 = 8 * 1024;

/// What it costs to be asked, besides what is given.
const EACH: u64 = 256;

/// The bytes of a file, wherever they are.
#[derive(Clone, Copy)]
pub(crate) struct Bounded<'a, R> {
    data: R,
    left: &'a Cell<u64>,
}

impl<'a, R: ReadRef<'a>> Bounded<'a, R> {
    /// Gives as many bytes as are left, the same ones again included.
    pub(crate) fn new(data: R, left: &'a Cell<u64>) -> Self {
        Self { data, left }
    }

    fn spend(&self, size: u64) -> Result<(), ()> {
        let left = self.left.get().checked_sub(size.saturating_add(EACH)).ok_or(())?;
        self.left.set(left);
        Ok(())
    }
}

impl<'a, R: ReadRef<'a>> ReadRef<'a> for Bounded<'a, R> {
    fn len(self) -> Result<u64, ()> {
        self.data.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.spend(size)?;
        self.data.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let end = range.end.min(range.start.saturating_add(LONGEST_NAME));
        self.spend(end.saturating_sub(range.start))?;
        let whole = self.data.read_bytes_at_until(range.start..end, delimiter);
        if whole.is_ok() || end == range.end {
            return whole;
        }
        let cut = self.data.read_bytes_at(range.start, end - range.start)?;
        match std::str::from_utf8(cut) {
            // In the middle of a letter.
            Err(error) if error.error_len().is_none() => Ok(&cut[..error.valid_up_to()]),
            _ => Ok(cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_than_was_said_however_often_it_is_asked_for() {
        let bytes = [7; 1000];
        let left = Cell::new(3000);
        let file = Bounded::new(&bytes[..], &left);
        assert_eq!(file.read_bytes_at(0, 1000), Ok(&bytes[..]));
        assert_eq!(file.read_bytes_at(0, 1000), Ok(&bytes[..]));
        assert_eq!(file.read_bytes_at(0, 1000), Err(()));
        assert_eq!(file.read_bytes_at(0, u64::MAX), Err(()));
        assert_eq!((file.read_bytes_at(990, 10), file.len()), (Ok(&bytes[..10]), Ok(1000)));
        // Nor what is not there.
        assert_eq!(file.read_bytes_at(1000, 1), Err(()));
    }

    #[test]
    fn a_name_has_an_end_which_is_none_within_a_letter() {
        let left = Cell::new(u64::MAX);
        let most = LONGEST_NAME as usize;
        let name = |bytes: &'static [u8]| {
            let file = Bounded::new(bytes, Box::leak(Box::new(left.clone())));
            file.read_bytes_at_until(0..bytes.len() as u64, 0).map(<[u8]>::len)
        };
        assert_eq!(name(b"short\0and more"), Ok(5));
        assert_eq!(name(b"no end"), Err(()));
        assert_eq!(name(vec![b'n'; 100_000].leak()), Ok(most));
        assert_eq!(
            name([&b"n"[..], &"é".repeat(50_000).into_bytes()].concat().leak()),
            Ok(most - 1)
        );
        // What is no text is left to whoever wants text.
        assert_eq!(name(vec![0xff; 100_000].leak()), Ok(most));
    }
}

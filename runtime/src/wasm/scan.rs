//! One pass over what is to be loaded: whether its shape is bounded, and its hash. It ends where nobody wants it any more.

use std::io::{self, BufRead as _, BufReader, Read};

use super::bounds::{self, Early};

const MAGIC: &[u8] = b"\0asm";

/// How many bytes of it are looked at together, and between two questions whether it is still wanted.
const PIECE: usize = 256 * 1024;

/// Reads it to its end and gives its hash. A shape beyond the bounds ends that at once, and so does nobody who wants it.
pub(super) fn scan(source: impl Read, is_wanted: impl Fn() -> bool) -> Result<blake3::Hash, Early> {
    let mut hashed = Hashed { source, is_wanted, hasher: blake3::Hasher::new() };
    let mut reader = BufReader::with_capacity(PIECE, &mut hashed);
    if reader.fill_buf()?.starts_with(MAGIC) {
        match bounds::check(&mut reader) {
            // What is broken the compiler tells, in words with a place.
            Ok(()) | Err(Early::Broken) => {}
            Err(early) => return Err(early),
        }
    }
    io::copy(&mut reader, &mut io::sink())?;
    Ok(hashed.hasher.finalize())
}

struct Hashed<R, W> {
    source: R,
    is_wanted: W,
    hasher: blake3::Hasher,
}

impl<R: Read, W: Fn() -> bool> Read for Hashed<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !(self.is_wanted)() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_hash_is_that_of_all_bytes_whatever_they_are() {
        for bytes in
            [&b""[..], b"(module)", b"\0asm\x01\0\0\0", b"\0asm\x01\0\0\0\x01\x05", b"\x7fELF"]
        {
            assert_eq!(scan(bytes, || true).unwrap(), blake3::hash(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_read_on() {
        let asked = Cell::new(0);
        let is_wanted = || {
            asked.set(asked.get() + 1);
            asked.get() < 4
        };
        for start in [MAGIC, b"nothing"] {
            asked.set(0);
            let endless = start.chain(io::repeat(0));
            assert!(matches!(scan(endless, is_wanted), Err(Early::Unreadable(_))));
            assert_eq!(asked.get(), 4);
        }
    }
}

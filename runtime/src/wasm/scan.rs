//! One pass over what is to be loaded: whether its shape is bounded, and its hash.

use std::io::{self, BufRead as _, BufReader, Read};

use super::bounds::{self, Early};

const MAGIC: &[u8] = b"\0asm";

/// How many bytes of it are looked at together.
const PIECE: usize = 256 * 1024;

/// Reads it to its end and gives its hash. A shape beyond the bounds ends that at once.
pub(super) fn scan(source: impl Read) -> Result<blake3::Hash, Early> {
    let mut hashed = Hashed { source, hasher: blake3::Hasher::new() };
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

struct Hashed<R> {
    source: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_all_bytes_whatever_they_are() {
        for bytes in
            [&b""[..], b"(module)", b"\0asm\x01\0\0\0", b"\0asm\x01\0\0\0\x01\x05", b"\x7fELF"]
        {
            assert_eq!(scan(bytes).unwrap(), blake3::hash(bytes), "{bytes:?}");
        }
    }
}

//! Lives: writes exactly 100 MiB to stdout in chunks of 64 KiB (the byte at n is n modulo 251).

use std::io::{self, Write};

const CHUNK: usize = 64 * 1024;
const TOTAL: usize = 100 * 1024 * 1024;

fn main() -> io::Result<()> {
    let pattern: Vec<u8> = (0..=250).cycle().take(251 + CHUNK).collect();
    let mut out = io::stdout().lock();
    for start in (0..TOTAL).step_by(CHUNK) {
        out.write_all(&pattern[start % 251..][..CHUNK])?;
    }
    out.flush()
}

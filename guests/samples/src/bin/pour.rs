//! Lives: writes 100 MiB to stdout, or as many as its argument says, in chunks of 64 KiB (the byte at n is n modulo 251).

use std::io::{self, Write};

const CHUNK: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;

fn main() -> io::Result<()> {
    let total = std::env::args().nth(1).and_then(|mib| mib.parse().ok()).unwrap_or(100) * MIB;
    let pattern: Vec<u8> = (0..=250).cycle().take(251 + CHUNK).collect();
    let mut out = io::stdout().lock();
    for start in (0..total).step_by(CHUNK) {
        out.write_all(&pattern[start % 251..][..CHUNK])?;
    }
    out.flush()
}

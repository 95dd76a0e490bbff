//! Lives: writes the bytes 0 to 255 in order, 16 times over (4096 bytes).

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for _ in 0..16 {
        let bytes: Vec<u8> = (0..=255).collect();
        out.write_all(&bytes)?;
    }
    out.flush()
}

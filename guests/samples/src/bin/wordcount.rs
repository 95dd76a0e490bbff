//! Lives: counts the lines, words and bytes of stdin and prints `L W B`.
#![expect(clippy::print_stdout, reason = "printing is what this guest is for")]

use std::io::{self, Read};

fn main() -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    println!("{lines} {words} {}", text.len());
    Ok(())
}

//! Dies of: a panic with many words where not one further allocation is granted. Its argument says how many bytes of them.
//!
//! Both walls, where memory is refused instead of being the end: `failed.panic`, with as much of them as is ever told. Words
//! for which there is no room at all are never put together: `crashed.out-of-memory`. (Code 9: it was never refused.)

use std::{env, process};

/// What it asks for at once, and how often at most: far more than its limit.
const PIECE: usize = 1 << 20;
const MOST: usize = 10_000;

#[sandtrap_guest::main]
fn main() {
    let length = env::args().nth(1).and_then(|length| length.parse().ok());
    let words = "é".repeat(length.unwrap_or(12_000) / 2);
    let mut size = PIECE;
    for _ in 0..MOST {
        let mut piece: Vec<u8> = Vec::new();
        match piece.try_reserve_exact(size) {
            Ok(()) => std::mem::forget(std::hint::black_box(piece)),
            Err(_) if size > 1 => size /= 2,
            Err(_) => panic!("no memory: {words}"),
        }
    }
    process::exit(9);
}

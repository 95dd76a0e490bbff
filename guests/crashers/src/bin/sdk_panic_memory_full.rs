//! Dies of: a panic where not one further allocation is granted, not even for its own message.
//!
//! Both walls, where memory is refused instead of being the end: `failed.panic`, with message and place. (Code 9: it was never
//! refused.)

use std::process;

/// What it asks for at once, and how often at most: far more than its limit.
const PIECE: usize = 1 << 20;
const MOST: usize = 10_000;

#[sandtrap_guest::main]
fn main() {
    let mut size = PIECE;
    for _ in 0..MOST {
        let mut piece: Vec<u8> = Vec::new();
        match piece.try_reserve_exact(size) {
            Ok(()) => std::mem::forget(piece),
            Err(_) if size > 1 => size /= 2,
            Err(_) => panic!("no memory is left, not even pieces of {size} byte"),
        }
    }
    process::exit(9);
}

//! Dies of: a panic with a mebibyte of words, of which the channel takes the beginning.
//!
//! Both walls: `failed.panic`, cut between two characters.

#[sandtrap_guest::main]
fn main() {
    panic!("x{}", "é".repeat(1 << 19));
}

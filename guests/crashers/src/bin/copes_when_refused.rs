//! Dies of: nothing, where memory is refused instead of being its end: it does with what it has got.

/// What it asks for at once, and how often at most: far more than its limit.
const PIECE: usize = 4 << 20;
const MOST: usize = 64;

fn main() {
    let mut held = Vec::new();
    for _ in 0..MOST {
        let mut piece: Vec<u8> = Vec::new();
        if piece.try_reserve_exact(PIECE).is_err() {
            return;
        }
        piece.resize(PIECE, 1);
        held.push(piece);
    }
    // Nothing was refused: its limit is none.
    std::process::exit(3);
}

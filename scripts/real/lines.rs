//! Sorts lines on the heap and counts them in a map.

use std::collections::BTreeMap;

fn main() {
    let mut lines: Vec<String> = (0..50_000_u32).map(|n| format!("line {}", n.wrapping_mul(2_654_435_761))).collect();
    lines.sort();
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for letter in lines.iter().flat_map(|line| line.chars()) {
        *counts.entry(letter).or_default() += 1;
    }
    println!("{} lines, {} letters, first {}", lines.len(), counts.len(), lines[0]);
}

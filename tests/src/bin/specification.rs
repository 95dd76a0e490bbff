//! Runs the specification's own tests through the wall and prints the figures.
//!
//! `specification [NAME]…`: only files whose name contains one of these words.

use sandtrap_tests::spec;

#[expect(clippy::print_stdout, reason = "what it prints is what it is for")]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut files = spec::files();
    files.retain(|file| {
        words.is_empty() || words.iter().any(|word| file.name().contains(word.as_str()))
    });
    print!("{}", spec::run(&files));
}

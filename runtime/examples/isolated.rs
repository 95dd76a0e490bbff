//! Runs functions of this very program behind a wall: one that works, one that fails, and one that takes its process
//! down.
//!
//! ```sh
//! cargo run -p sandtrap --example isolated
//! ```
#![expect(clippy::print_stdout, reason = "it is a program for people")]

use sandtrap::{CallError, isolated};

#[isolated(memory = "256MiB", wall = "10s")]
fn words(text: &str) -> usize {
    println!("counting, in process {} of the cage", std::process::id());
    text.split_whitespace().count()
}

#[isolated(wall = "10s")]
fn number(text: &str) -> Result<i64, std::num::ParseIntError> {
    text.parse()
}

/// It would eat up all memory there is.
#[isolated(memory = "64MiB", wall = "10s")]
fn greedy() -> usize {
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; 1 << 20]);
    }
}

fn main() -> Result<(), CallError> {
    sandtrap::init();
    println!("{} words", words("one two three")?);
    match number("x") {
        Ok(number) => println!("{number}"),
        Err(error) => println!("{error}"),
    }
    if let Err(CallError::Ended(report)) = greedy() {
        println!("{}  [{}]", report.verdict, report.verdict.label());
    }
    println!("and this program goes on");
    Ok(())
}

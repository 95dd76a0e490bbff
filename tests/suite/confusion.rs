//! Programs that know nothing of sandtrap, each of which dies in one of many ways: every report is right.

use std::collections::BTreeSet;

use sandtrap_tests::confusion::builds::Builds;
use sandtrap_tests::confusion::causes::causes;
use sandtrap_tests::confusion::{Asked, Matrix};

/// The command runs a hundred: `cargo run -p sandtrap-tests --bin confusion -- --rounds 100 --load`.
const ROUNDS: usize = 2;

#[test]
#[expect(clippy::print_stderr, reason = "who runs the tests shall see what was left out")]
fn nothing_is_off_the_diagonal() {
    let builds = Builds::make();
    let matrix = Matrix::run(&builds, Asked { rounds: ROUNDS, backtrace: false, within: None });
    for why in &matrix.skipped {
        eprintln!("skipped: {why}");
    }
    assert!(matrix.wrong().is_empty(), "{}", matrix.text());
    let tried = matrix.squares.iter().filter(|row| row.iter().any(Option::is_some));
    assert!(tried.count() >= 30, "{}", matrix.text());
}

#[test]
fn every_way_that_a_victim_knows_has_a_row_and_every_row_a_victim() {
    let builds = Builds::make();
    let known: BTreeSet<&str> =
        builds.built.iter().flat_map(|build| &build.causes).map(String::as_str).collect();
    let listed: BTreeSet<&str> = causes().iter().map(|cause| cause.name).collect();
    let without_row: Vec<&&str> = known.difference(&listed).collect();
    assert!(without_row.is_empty(), "no row for {without_row:?}");
    // Without a compiler for C only those in Rust are there.
    if builds.built.len() == 4 {
        let without_victim: Vec<&&str> = listed.difference(&known).collect();
        assert!(without_victim.is_empty(), "no victim for {without_victim:?}");
    }
}

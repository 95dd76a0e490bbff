//! The specification's own tests hold behind our wall; what is left out is counted, and why.

use sandtrap_tests::spec;

/// So many assertions hold at least. A change of the engine's configuration that leaves out more shows here.
const LEAST: usize = 48_600;

/// The most that may be left out: what other modules share, and what is switched off.
const MOST_LEFT_OUT: usize = 700;

#[test]
fn the_assertions_of_the_specification_hold() {
    let tally = spec::run(&spec::files());
    assert!(tally.wrong.is_empty(), "{tally}");
    assert!(tally.total_held() >= LEAST, "{tally}");
    assert!(tally.total_skipped() <= MOST_LEFT_OUT, "{tally}");
}

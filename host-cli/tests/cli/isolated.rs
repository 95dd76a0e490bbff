//! This harness has no line by which it could be started as one of its functions: a call of one says which.

use sandtrap::{CallError, isolated};

#[isolated]
fn nothing() {}

#[test]
fn a_harness_without_its_line_is_told_which_one_to_write() {
    let Err(CallError::Ended(report)) = nothing() else { panic!("it has run") };
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    let told = report.verdict.to_string();
    assert!(told.contains("`sandtrap::init_tests!();`"), "{told}");
    assert!(told.contains("`sandtrap::init()` first in its `main`"), "{told}");
}

//! Nothing piles up, however many tasks crash.

use sandtrap_tests::remains::Remains;
use sandtrap_tests::soak::{Soak, TASKS};

/// Allocators keep what they once had; a leak of one small page for each task would be far above this.
const SLACK_KIB: u64 = 4 * 1024;

/// A thread that is kept for the next task has a descriptor or two, and there are a few such threads. One
/// that leaked with each task would be there a thousand times.
const SLACK_DESCRIPTORS: usize = 8;

fn assert_steady(soak: &Soak) {
    assert_eq!(soak.wrong, Vec::<String>::new());
    assert_eq!(soak.late.children, 0, "{soak}");
    assert_eq!(soak.late.groups, 0, "{soak}");
    assert!(soak.late.descriptors <= soak.early.descriptors + SLACK_DESCRIPTORS, "{soak}");
    assert!(soak.late.resident_kib <= soak.early.resident_kib + SLACK_KIB, "{soak}");
}

#[test]
fn b24_i16_p10_two_thousand_tasks_leave_nothing_behind() {
    assert_steady(&Soak::run(TASKS / 5));
}

#[test]
#[ignore = "ten thousand tasks take a while; run with `--run-ignored all` or `--include-ignored`"]
fn ten_thousand_tasks_leave_nothing_behind() {
    assert_steady(&Soak::run(TASKS));
}

#[test]
fn no_outcome_of_a_process_leaves_anything_behind() {
    let remains = Remains::of(100);
    assert!(remains.is_nothing(), "{remains}");
    assert!(remains.outcomes.len() >= 10, "{remains}");
}

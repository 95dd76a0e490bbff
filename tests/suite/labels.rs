//! The labels are public: this list only ever grows.

use std::collections::BTreeSet;

use sandtrap::Label;

const LABELS: &str = "\
completed
failed.error
failed.panic
failed.exit
crashed.out-of-memory
crashed.stack-overflow
crashed.memory-fault
crashed.bad-call
crashed.arithmetic
crashed.abort
crashed.illegal-instruction
crashed.killed
crashed.protocol
crashed.unknown
stopped.wall-time
stopped.cpu-time
stopped.fuel
stopped.output
stopped.result
stopped.processes
stopped.files
stopped.stdin
stopped.cancelled
stopped.shutdown
denied.syscall
denied.capability
unstarted.not-found
unstarted.not-executable
unstarted.invalid-module
unstarted.missing-import
unstarted.limit-too-small
unstarted.guard
unstarted.resources
unstarted.rejected";

#[test]
fn labels_never_change() {
    let labels: Vec<&str> = Label::ALL.iter().map(|label| label.as_str()).collect();
    assert_eq!(labels.join("\n"), LABELS);
}

#[test]
fn labels_are_unique_and_read_back() {
    let unique: BTreeSet<&str> = Label::ALL.iter().map(|label| label.as_str()).collect();
    assert_eq!(unique.len(), Label::ALL.len());
    for label in Label::ALL {
        assert_eq!(label.as_str().parse::<Label>(), Ok(label));
    }
    assert!("crashed.everything".parse::<Label>().is_err());
}

#[test]
fn kinds_are_the_six_words_of_the_report() {
    let kinds: BTreeSet<&str> = Label::ALL.iter().map(|label| label.kind()).collect();
    let expected = ["completed", "crashed", "denied", "failed", "stopped", "unstarted"];
    assert!(kinds.into_iter().eq(expected));
}

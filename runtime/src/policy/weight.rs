//! What a verdict says about the place where a task ran, as opposed to the task itself.

use crate::label::Label;
use crate::labels::Labels;

/// What one attempt says about its worker, its program, its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It answered.
    Success,
    /// It broke.
    Failure,
    /// Nothing: it was stopped by its caller, refused, or did what it may not do.
    Ignored,
}

/// Whoever ends so was at work to its end.
const ANSWERED: Labels =
    Labels::of(&[Label::Completed, Label::FailedError, Label::FailedPanic, Label::FailedExit]);

impl Weight {
    /// The verdicts that count as failures unless said otherwise: what crashed, and what ran out of time.
    ///
    /// A task's own error is none of them (it answered), nor is a task that was refused or never ran: a full
    /// queue says nothing about a device.
    pub const FAILURES: Labels = Labels::CRASHES.and(Labels::of(&[
        Label::StoppedWallTime,
        Label::StoppedCpuTime,
        Label::StoppedFuel,
    ]));

    /// Weighs a verdict, where `failures` count as such.
    pub fn of(label: Label, failures: Labels) -> Self {
        if failures.contains(label) {
            return Self::Failure;
        }
        if ANSWERED.contains(label) { Self::Success } else { Self::Ignored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s41_every_label_has_one_weight_and_a_tasks_own_error_is_no_failure() {
        let weighs = |weight| {
            let has = |label: &Label| Weight::of(*label, Weight::FAILURES) == weight;
            Label::ALL.into_iter().filter(has).map(Label::as_str).collect::<Vec<_>>()
        };
        let well = ["completed", "failed.error", "failed.panic", "failed.exit"];
        assert_eq!(weighs(Weight::Success), well);
        assert_eq!(weighs(Weight::Failure).len(), 13);
        assert!(weighs(Weight::Ignored).contains(&"unstarted.resources"));
        assert!(weighs(Weight::Ignored).contains(&"stopped.cancelled"));
    }

    #[test]
    fn which_verdicts_count_can_be_said() {
        let failures = Labels::named("failed").unwrap();
        assert_eq!(Weight::of(Label::FailedExit, failures), Weight::Failure);
        assert_eq!(Weight::of(Label::CrashedAbort, failures), Weight::Ignored);
    }
}

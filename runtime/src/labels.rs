//! A set of labels: which verdicts a policy means.

use std::fmt;

use crate::label::{Label, UnknownLabel};

/// A set of labels, small enough to be copied.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Labels(u64);

impl Labels {
    /// No label.
    pub const NONE: Self = Self(0);

    /// Every crash.
    pub const CRASHES: Self = Self::of(&[
        Label::CrashedOutOfMemory,
        Label::CrashedStackOverflow,
        Label::CrashedMemoryFault,
        Label::CrashedBadCall,
        Label::CrashedArithmetic,
        Label::CrashedAbort,
        Label::CrashedIllegalInstruction,
        Label::CrashedKilled,
        Label::CrashedProtocol,
        Label::CrashedUnknown,
    ]);

    /// These labels.
    pub const fn of(labels: &[Label]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < labels.len() {
            bits |= 1 << labels[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    /// What one word means: a label, or the kind that several share, as `crashed`.
    pub fn named(word: &str) -> Result<Self, UnknownLabel> {
        let of_kind = |label: &&Label| label.as_str().split('.').next() == Some(word);
        let kind: Vec<Label> = Label::ALL.iter().filter(of_kind).copied().collect();
        if kind.is_empty() { Ok(Self::of(&[word.parse()?])) } else { Ok(Self::of(&kind)) }
    }

    /// Whether a label is one of them.
    pub const fn contains(self, label: Label) -> bool {
        self.0 & (1 << label as u32) != 0
    }

    /// These and others.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These without others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Each of them, in the order of the documentation.
    pub fn iter(self) -> impl Iterator<Item = Label> {
        Label::ALL.into_iter().filter(move |label| self.contains(*label))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Label::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_means_all_its_labels_and_a_label_itself() {
        let crashed = Labels::named("crashed").unwrap();
        assert_eq!(crashed.iter().count(), 10);
        assert!(crashed.contains(Label::CrashedAbort) && !crashed.contains(Label::FailedExit));
        assert_eq!(Labels::named("completed").unwrap(), Labels::of(&[Label::Completed]));
        let one = Labels::named("stopped.wall-time").unwrap();
        assert_eq!(one, Labels::of(&[Label::StoppedWallTime]));
        assert!(Labels::named("crash").is_err() && Labels::named("crashed.").is_err());
    }

    #[test]
    fn sets_are_joined_and_cut() {
        let (all, some) = (Labels::of(&Label::ALL), Labels::named("failed").unwrap());
        assert_eq!(all.without(some).and(some), all);
        assert_eq!(all.iter().count(), Label::ALL.len());
        assert_eq!(format!("{:?}", Labels::NONE), "{}");
    }
}

//! What was counted: what was checked, what was left out and why, and what was wrong.

use std::collections::BTreeMap;
use std::fmt;

/// The figures of one file, or of all.
#[derive(Debug, Default)]
pub struct Tally {
    /// Files.
    pub files: usize,
    /// Assertions that hold, by their kind.
    pub held: BTreeMap<&'static str, usize>,
    /// Assertions that were left out, by the reason.
    pub skipped: BTreeMap<String, usize>,
    /// Assertions that don't hold.
    pub wrong: Vec<String>,
}

impl Tally {
    pub(super) fn hold(&mut self, kind: &'static str) {
        *self.held.entry(kind).or_default() += 1;
    }

    pub(super) fn skip(&mut self, reason: impl Into<String>) {
        *self.skipped.entry(reason.into()).or_default() += 1;
    }

    pub(super) fn check(
        &mut self,
        kind: &'static str,
        holds: bool,
        words: impl FnOnce() -> String,
    ) {
        if holds {
            self.hold(kind);
        } else {
            self.wrong.push(words());
        }
    }

    /// Adds another file's figures.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        for (kind, count) in other.held {
            *self.held.entry(kind).or_default() += count;
        }
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        self.wrong.extend(other.wrong);
    }

    /// How many assertions hold.
    pub fn total_held(&self) -> usize {
        self.held.values().sum()
    }

    /// How many were left out.
    pub fn total_skipped(&self) -> usize {
        self.skipped.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, skipped) = (self.total_held(), self.total_skipped());
        let all = held + skipped + self.wrong.len();
        writeln!(
            f,
            "{} files, {all} assertions: {held} hold, {} don't, {skipped} left out",
            self.files,
            self.wrong.len()
        )?;
        for (kind, count) in &self.held {
            writeln!(f, "  {count:>6}  {kind}")?;
        }
        writeln!(f, "left out because")?;
        for (reason, count) in &self.skipped {
            writeln!(f, "  {count:>6}  {reason}")?;
        }
        for wrong in &self.wrong {
            writeln!(f, "wrong: {wrong}")?;
        }
        Ok(())
    }
}

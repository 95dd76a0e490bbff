//! The one error of the library: a program that can't be loaded, or a runtime that can't be made.

use std::fmt;

use crate::classify::classify;
use crate::evidence::Evidence;
use crate::isolation::LoadError;
use crate::verdict::Verdict;

/// Why no task exists. What happens to a task is never an error: it is in its report.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    verdict: Box<Verdict>,
    cause: LoadError,
}

impl Error {
    /// The verdict that a task of this program would have had: an `unstarted` one, or that it was stopped.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The evidence such a task would have had.
    pub(crate) fn into_evidence(self) -> Evidence {
        self.cause.into_evidence()
    }
}

impl From<LoadError> for Error {
    fn from(cause: LoadError) -> Self {
        let verdict = Box::new(classify(&cause.clone().into_evidence()));
        Self { verdict, cause }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Error {}

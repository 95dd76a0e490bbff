//! A call, as its caller sees it: the result, or why there is none.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::payload::ValueError;
use crate::report::Report;

/// Why a call has no result.
#[derive(Clone, Debug)]
pub enum CallError {
    /// What goes in can't be written, or what came out is no such value.
    Value(ValueError),
    /// The task did not end well; all about it is in its report.
    Ended(Box<Report>),
}

impl CallError {
    /// The report of the task, if there was one and it did not end well.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Value(_) => None,
            Self::Ended(report) => Some(report),
        }
    }

    /// The error that the function returned, if that is how it ended and this is its type.
    pub fn error_as<E: DeserializeOwned + 'static>(&self) -> Option<E> {
        self.report()?.error_as()
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(error) => error.fmt(f),
            Self::Ended(report) => {
                let function = report.task.function.as_deref().unwrap_or("the task");
                write!(f, "`{function}`: {}", report.verdict)
            }
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Value(error) => Some(error),
            Self::Ended(_) => None,
        }
    }
}

pub(crate) fn result_of<T: DeserializeOwned + 'static>(report: Report) -> Result<T, CallError> {
    if !report.verdict.is_completed() {
        return Err(CallError::Ended(Box::new(report)));
    }
    report.value().map_err(CallError::Value)
}

//! Every ratio that was told, kept until the table is written.

use std::sync::{Mutex, PoisonError};

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// Less is better.
    AtMost,
    /// More is better.
    AtLeast,
}

impl Sense {
    /// Whether the figure is good enough.
    pub fn is_met(self, figure: f64, goal: f64) -> bool {
        match self {
            Self::AtMost => figure <= goal,
            Self::AtLeast => figure >= goal,
        }
    }

    /// As a sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "≤",
            Self::AtLeast => "≥",
        }
    }
}

/// One ratio, or another number with a goal.
#[derive(Clone, Debug)]
pub struct Row {
    /// Under what name it was told.
    pub question: String,
    /// What is ours, with its least and median.
    pub ours: String,
    /// What it stands beside.
    pub floor: String,
    /// Which way is good.
    pub sense: Sense,
    /// The figure.
    pub figure: f64,
    /// What it should be.
    pub goal: f64,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());
static REASONS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

pub(crate) fn note(question: &str, ours: &str, floor: &str, sense: Sense, figure: f64, goal: f64) {
    let (question, ours, floor) = (question.to_owned(), ours.to_owned(), floor.to_owned());
    let row = Row { question, ours, floor, sense, figure, goal };
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).push(row);
}

/// Keeps the reason why something has no figure.
pub fn not_measured(question: &str, why: &str) {
    let reason = (question.to_owned(), why.to_owned());
    REASONS.lock().unwrap_or_else(PoisonError::into_inner).push(reason);
}

/// All rows that were told so far.
pub fn rows() -> Vec<Row> {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Why a question has no figure, if somebody said it.
pub fn reason(question: &str) -> Option<String> {
    let reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
    reasons.iter().find(|(other, _)| other == question).map(|(_, why)| why.clone())
}

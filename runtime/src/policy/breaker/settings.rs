//! What a breaker is set to, and the names of its states.

use std::time::Duration;

use crate::labels::Labels;
use crate::policy::weight::Weight;
use crate::policy::window::Span;

/// When a breaker opens, for how long, and what it takes to close it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Opens after this many failures in a row.
    pub failures: u32,
    /// What a success takes off the failures in a row.
    pub forgiveness: Forgiveness,
    /// How far back rates look.
    pub window: Span,
    /// Rates mean nothing below this many calls.
    pub minimum_calls: u32,
    /// Opens when so many of a hundred calls failed.
    pub failure_rate: Option<u32>,
    /// Opens when too many calls took too long.
    pub slow: Option<SlowCalls>,
    /// How long it stays open at first.
    pub open_for: Duration,
    /// How much longer each further time, if it was not closed in between.
    pub open_growth: u32,
    /// The longest it stays open.
    pub longest_open: Duration,
    /// So many hundredths are added to that at most, by chance, that not all breakers try again at once.
    pub open_jitter: u32,
    /// Probes that may be out at the same time.
    pub probes: u32,
    /// Probes that have to succeed.
    pub successes: u32,
    /// When a probe that has not been heard of has failed.
    pub lease: Duration,
    /// The verdicts that count as failures.
    pub counts: Labels,
}

/// What a success takes off the failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgiveness {
    /// All of them.
    All,
    /// One: three failures of four calls add up.
    One,
}

/// Calls that take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowCalls {
    /// So many of a hundred are too many.
    pub rate: u32,
    /// Longer than this is slow.
    pub than: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            forgiveness: Forgiveness::All,
            window: Span::Time(Duration::from_secs(30)),
            minimum_calls: 10,
            failure_rate: Some(50),
            slow: None,
            open_for: Duration::from_secs(30),
            open_growth: 2,
            longest_open: Duration::from_secs(300),
            open_jitter: 20,
            probes: 3,
            successes: 3,
            lease: Duration::from_secs(10),
            counts: Weight::FAILURES,
        }
    }
}

/// What a breaker does with those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Lets everybody through, and counts.
    Closed,
    /// Lets nobody through until its time is up.
    Open,
    /// Lets a few through, to see.
    HalfOpen,
    /// Lets nobody through until somebody says otherwise.
    ForcedOpen,
    /// Lets everybody through and counts nothing.
    Disabled,
    /// Lets everybody through and counts.
    MetricsOnly,
}

impl Mode {
    /// The word used in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced-open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics-only",
        }
    }
}

//! What counts as ill, and for how long it is remembered.

use std::time::Duration;

use crate::labels::Labels;

/// What counts as ill, and for how long it is remembered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthSettings {
    /// Records kept at most.
    pub keep: usize,
    /// How long a record is kept.
    pub keep_for: Duration,
    /// Workers, programs and devices that are counted at most.
    pub most_keys: usize,
    /// A device with more crashes than this is degraded.
    pub degraded_above: usize,
    /// A device with more crashes than this is unhealthy.
    pub unhealthy_above: usize,
    /// How far back a device's crashes count.
    pub device_window: Duration,
    /// With more crashes than this, everything is critical.
    pub critical_above: usize,
    /// How far back those count.
    pub critical_window: Duration,
    /// How far back patterns are looked for.
    pub pattern_window: Duration,
    /// More crashes than this are too many.
    pub crash_rate: usize,
    /// More memory faults than this are too many.
    pub memory_faults: usize,
    /// The same fault at the same place, so often.
    pub same_place: usize,
    /// One input that killed so many workers.
    pub one_input: usize,
    /// Memory that grew in so many attempts in a row of one worker, to nine tenths of its cap.
    pub creep: u32,
    /// Attempts of a program that took so many times as long as its usual ones.
    pub slow_down: f64,
}

impl HealthSettings {
    /// The verdicts that are crashes.
    pub const CRASHES: Labels = Labels::CRASHES;

    pub(super) fn level_of(&self, crashes: usize) -> Level {
        if crashes > self.unhealthy_above {
            Level::Unhealthy
        } else if crashes > self.degraded_above {
            Level::Degraded
        } else {
            Level::Healthy
        }
    }
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            keep: 1_000,
            keep_for: Duration::from_secs(3_600),
            most_keys: 1_000,
            degraded_above: 5,
            unhealthy_above: 10,
            device_window: Duration::from_secs(300),
            critical_above: 10,
            critical_window: Duration::from_secs(60),
            pattern_window: Duration::from_secs(60),
            crash_rate: 5,
            memory_faults: 2,
            same_place: 3,
            one_input: 3,
            creep: 5,
            slow_down: 3.0,
        }
    }
}

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As it should be.
    Healthy,
    /// It crashes more than it should.
    Degraded,
    /// It crashes too much to be used.
    Unhealthy,
    /// Everything crashes.
    Critical,
}

impl Level {
    /// The word used in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Critical => "critical",
        }
    }
}

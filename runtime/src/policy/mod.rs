//! Judgment over time: when to let through, when to try again, when to start anew, whom to refuse, when to alarm.
//!
//! Everything here is pure: no clock, no lock, no thread, no randomness. Time is a parameter, and so is a random number
//! (evenly spread over 0 up to 1). Who drives these machines asks, acts and tells, in this order; that is why a day of
//! traffic passes in a test within milliseconds.

pub mod breaker;
pub mod health;
pub mod hedge;
pub mod keyed;
pub mod quarantine;
pub mod restart;
pub mod retry;
pub mod signs;
pub mod weight;
pub mod window;

use std::time::{Duration, Instant};

/// Longer than anything lasts.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// The moment that comes so much later. One beyond all clocks is as far away as nobody waits.
pub(crate) fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}

/// So many times a span: all of time, where that is more than can be counted.
pub(crate) fn part(whole: Duration, of: f64) -> Duration {
    Duration::try_from_secs_f64(whole.as_secs_f64() * of).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod day;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod far;

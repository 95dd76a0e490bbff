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

#[cfg(test)]
mod day;
#[cfg(test)]
mod dice;

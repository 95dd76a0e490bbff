//! The bench: one guest in every mode, held against each other.
//!
//! Machines are noisy and shared, so that all modes have their turn in each round. Every call is timed by itself, as
//! its caller would see it: through the whole contract, with its report.

mod advice;
mod contenders;
mod crash;
mod findings;
mod guards;
mod guests;
mod machine;
mod many;
mod modes;
mod payload;
mod progress;
mod survey;
mod timing;
mod work;

pub(crate) use findings::{Findings, Found, Switch};
pub(crate) use guests::{Guests, NoGuests};
pub(crate) use modes::Mode;
pub(crate) use progress::Progress;
pub(crate) use survey::Survey;
pub(crate) use timing::{Pace, Spread};
pub(crate) use work::{Crash, Work};

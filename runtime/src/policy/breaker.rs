//! A circuit breaker: what breaks again and again is left alone for a while, then tried with care.
//!
//! ```text
//!            too many failures, in a row or of a hundred calls
//!   +--------+ ---------------------------------------------> +------+
//!   | closed |                                                | open | <---------+
//!   +--------+ <------------+                                 +------+           |
//!                           | enough probes succeeded             | time is up   |
//!                           |      +-----------+ <----------------+              |
//!                           +----- | half-open | --------------------------------+
//!                                  +-----------+  one probe fails, or its lease runs out
//!
//!   by hand, from anywhere: forced open (nobody), disabled (everybody), metrics only (everybody, counted)
//! ```
//!
//! * *Closed* lets everybody through and counts. *Open* lets nobody through until a time that grows with each opening.
//! * *Half-open* has a few permits out at once. A probe that is never heard of again has failed when its lease is over,
//!   so a caller that died can't keep the breaker here for ever.
//! * A permit belongs to the state in which it was given: what an older state let through says nothing any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::policy::weight::Weight;
use crate::policy::window::{Tally, Window};
use crate::policy::{later, part};

mod settings;

pub use settings::{BreakerSettings, Forgiveness, Mode, SlowCalls};

/// More changes than this are never waiting to be told: the oldest are forgotten.
const CHANGES: usize = 64;

/// Leave to try once. It has to come back: recorded, or given back unused.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "record what came of it, or give it back"]
pub struct Permit {
    generation: u64,
    number: u64,
}

/// The breaker says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The state it is in.
    pub mode: Mode,
    /// When asking again may help.
    pub retry_after: Option<Duration>,
}

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: Mode,
    /// The state after.
    pub to: Mode,
    /// What brought it about.
    pub why: Why,
}

/// What brought a transition about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// So many failures in a row.
    Failures(u32),
    /// Too many of the last calls failed.
    FailureRate(Tally),
    /// Too many of the last calls took too long.
    SlowRate(Tally),
    /// It was open for long enough.
    TimeUp,
    /// So many probes succeeded.
    Probes(u32),
    /// A probe failed.
    ProbeFailed,
    /// A probe was not heard of.
    LeaseOver,
    /// Somebody wanted it so.
    ByHand,
}

#[derive(Clone, Debug)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { out: Vec<(u64, Instant)>, succeeded: u32 },
    ForcedOpen,
    Disabled,
    MetricsOnly,
}

/// One circuit: of a program, of a device, of whatever a caller names.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: Arc<BreakerSettings>,
    state: State,
    /// Grows with each transition.
    generation: u64,
    permits: u64,
    in_a_row: u32,
    /// Openings since it was closed last.
    openings: u32,
    window: Window,
    changes: VecDeque<Change>,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: Arc<BreakerSettings>, now: Instant) -> Self {
        let window = Window::new(settings.window, now);
        let (state, changes) = (State::Closed, VecDeque::new());
        Self {
            settings,
            state,
            generation: 0,
            permits: 0,
            in_a_row: 0,
            openings: 0,
            window,
            changes,
        }
    }

    /// May one more attempt start? A probe that may rightly take longer than the usual lease says so.
    pub fn admit(
        &mut self,
        longest: Duration,
        now: Instant,
        random: f64,
    ) -> Result<Permit, Refused> {
        self.tick(now, random);
        let lease = self.settings.lease.max(longest);
        let (most, wanted) = (self.settings.probes.max(1), self.settings.successes.max(1));
        match &mut self.state {
            State::Closed | State::Disabled | State::MetricsOnly => {}
            State::HalfOpen { out, succeeded } => {
                let room = out.len() < most as usize;
                // Where enough are out to close it, more of them would only be more load.
                if !room || out.len() as u32 + *succeeded >= wanted.max(most) {
                    return Err(self.refused(now));
                }
                out.push((self.permits + 1, later(now, lease)));
            }
            State::Open { .. } | State::ForcedOpen => return Err(self.refused(now)),
        }
        self.permits += 1;
        Ok(Permit { generation: self.generation, number: self.permits })
    }

    /// Takes a permit back with what came of it.
    pub fn record(
        &mut self,
        permit: Permit,
        weight: Weight,
        took: Duration,
        now: Instant,
        random: f64,
    ) {
        self.tick(now, random);
        if permit.generation != self.generation {
            return;
        }
        let slow = self.settings.slow.is_some_and(|slow| took > slow.than);
        match &mut self.state {
            State::HalfOpen { out, succeeded } => {
                out.retain(|(number, _)| *number != permit.number);
                match weight {
                    Weight::Ignored => {}
                    Weight::Success if !slow => {
                        *succeeded += 1;
                        let enough = *succeeded;
                        if enough >= self.settings.successes {
                            self.close(Why::Probes(enough));
                        }
                    }
                    Weight::Success | Weight::Failure => self.open(Why::ProbeFailed, now, random),
                }
            }
            State::Closed | State::MetricsOnly => self.count(weight, slow, now, random),
            State::Open { .. } | State::ForcedOpen | State::Disabled => {}
        }
    }

    /// Takes a permit back that was not used. Nothing else changes.
    pub fn give_back(&mut self, permit: Permit) {
        if let State::HalfOpen { out, .. } = &mut self.state
            && permit.generation == self.generation
        {
            out.retain(|(number, _)| *number != permit.number);
        }
    }

    /// Lets time pass: an open breaker may become half-open, a probe's lease may be over.
    pub fn tick(&mut self, now: Instant, random: f64) {
        match &self.state {
            State::Open { until } if *until <= now => {
                self.turn(State::HalfOpen { out: Vec::new(), succeeded: 0 }, Why::TimeUp);
            }
            State::HalfOpen { out, .. } if out.iter().any(|(_, over)| *over <= now) => {
                self.open(Why::LeaseOver, now, random);
            }
            State::Open { .. }
            | State::HalfOpen { .. }
            | State::Closed
            | State::ForcedOpen
            | State::Disabled
            | State::MetricsOnly => {}
        }
    }

    /// When time alone changes something next.
    pub fn next_change(&self) -> Option<Instant> {
        match &self.state {
            State::Open { until } => Some(*until),
            State::HalfOpen { out, .. } => out.iter().map(|(_, over)| *over).min(),
            State::Closed | State::ForcedOpen | State::Disabled | State::MetricsOnly => None,
        }
    }

    /// Sets the state by hand; `Open` begins anew, `Closed` forgets what was counted.
    pub fn set(&mut self, mode: Mode, now: Instant, random: f64) {
        match mode {
            Mode::Closed => self.close(Why::ByHand),
            Mode::Open => self.open(Why::ByHand, now, random),
            Mode::HalfOpen => {
                self.turn(State::HalfOpen { out: Vec::new(), succeeded: 0 }, Why::ByHand);
            }
            Mode::ForcedOpen => self.turn(State::ForcedOpen, Why::ByHand),
            Mode::Disabled => self.turn(State::Disabled, Why::ByHand),
            Mode::MetricsOnly => self.turn(State::MetricsOnly, Why::ByHand),
        }
    }

    /// The state it is in. Time that has passed since it was last asked is not looked at: see [`tick`](Self::tick).
    pub fn mode(&self) -> Mode {
        match self.state {
            State::Closed => Mode::Closed,
            State::Open { .. } => Mode::Open,
            State::HalfOpen { .. } => Mode::HalfOpen,
            State::ForcedOpen => Mode::ForcedOpen,
            State::Disabled => Mode::Disabled,
            State::MetricsOnly => Mode::MetricsOnly,
        }
    }

    /// What it has counted.
    pub fn tally(&mut self, now: Instant) -> Tally {
        self.window.tally(now)
    }

    /// Whether forgetting it would change nothing.
    pub fn is_at_rest(&mut self, now: Instant) -> bool {
        self.mode() == Mode::Closed && self.in_a_row == 0 && self.tally(now).calls == 0
    }

    /// The transitions since it was last asked, oldest first: each is told once.
    pub fn take_changes(&mut self) -> impl Iterator<Item = Change> + '_ {
        self.changes.drain(..)
    }

    fn count(&mut self, weight: Weight, slow: bool, now: Instant, random: f64) {
        match (weight, self.settings.forgiveness) {
            (Weight::Ignored, _) => return,
            (Weight::Failure, _) => self.in_a_row = self.in_a_row.saturating_add(1),
            (Weight::Success, Forgiveness::All) => self.in_a_row = 0,
            (Weight::Success, Forgiveness::One) => self.in_a_row = self.in_a_row.saturating_sub(1),
        }
        self.window.add(weight == Weight::Failure, slow, now);
        if let (Mode::Closed, Some(why)) = (self.mode(), self.too_much(now)) {
            self.open(why, now, random);
        }
    }

    fn too_much(&mut self, now: Instant) -> Option<Why> {
        if self.in_a_row >= self.settings.failures.max(1) {
            return Some(Why::Failures(self.in_a_row));
        }
        let tally = self.window.tally(now);
        if tally.calls < self.settings.minimum_calls.max(1) {
            return None;
        }
        if self.settings.failure_rate.is_some_and(|most| tally.failure_rate() >= most) {
            return Some(Why::FailureRate(tally));
        }
        let slow = self.settings.slow.is_some_and(|slow| tally.slow_rate() >= slow.rate);
        slow.then_some(Why::SlowRate(tally))
    }

    fn open(&mut self, why: Why, now: Instant, random: f64) {
        let BreakerSettings { open_for, open_growth, longest_open, open_jitter, .. } =
            *self.settings;
        let growth = open_growth.max(1).saturating_pow(self.openings.min(32));
        // The cap comes before the chance, or all would try again at the same moment once they reach it.
        let span = open_for.saturating_mul(growth).min(longest_open.max(open_for));
        let span = span.saturating_add(part(span, random * f64::from(open_jitter) / 100.0));
        self.openings = self.openings.saturating_add(1);
        self.turn(State::Open { until: later(now, span) }, why);
    }

    fn close(&mut self, why: Why) {
        self.openings = 0;
        self.turn(State::Closed, why);
    }

    fn turn(&mut self, state: State, why: Why) {
        let from = self.mode();
        self.state = state;
        self.generation += 1;
        self.in_a_row = 0;
        self.window.clear();
        if self.changes.len() == CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { from, to: self.mode(), why });
    }

    fn refused(&self, now: Instant) -> Refused {
        let retry_after = self.next_change().map(|at| at.saturating_duration_since(now));
        Refused { mode: self.mode(), retry_after }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

//! When a worker that died is started again, and when starting again becomes rare.
//!
//! ```text
//!                  ready                       healthy for a while
//!    +----------+ -------> +-------+ ------------------------------------> its count starts over
//!    | starting |          | ready |
//!    +----------+          +-------+
//!      ^      | could not      | died
//!      |      | be started     v
//!      |      +-------> +-------------+   at once the first time, then 100 ms, 200 ms … 5 s, spread by chance;
//!      +--------------- | backing off |   once the pool has seen too many, one restart a second at most,
//!         time is up    +-------------+   or none any more (`OnExcess`)
//! ```
//!
//! * A worker that ends as planned (recycled, drained, shut down) is no death and counts nowhere.
//! * Workers that could not even be started are a class of their own: if that happens a few times in a row before
//!   anybody was ready, whoever waits is told what the start said, instead of waiting for a loop.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::policy::retry::Backoff;
use crate::policy::{later, part};

/// How soon, how often, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartSettings {
    /// The delay before the second restart of a worker; the first is at once. It doubles with each further one.
    pub first: Duration,
    /// The longest delay.
    pub most: Duration,
    /// A worker that was ready for this long has no past.
    pub healthy_after: Duration,
    /// Deaths within the window that the pool bears; one more is too many.
    pub deaths: u32,
    /// How far back deaths are counted.
    pub window: Duration,
    /// What happens at one more.
    pub on_excess: OnExcess,
    /// So many starts that fail in a row are told to those who wait.
    pub failed_starts: u32,
    /// Who else is replaced when a worker died.
    pub strategy: Strategy,
}

impl Default for RestartSettings {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(5),
            healthy_after: Duration::from_secs(10),
            deaths: 10,
            window: Duration::from_secs(60),
            on_excess: OnExcess::Slow(Duration::from_secs(1)),
            failed_starts: 3,
            strategy: Strategy::OneForOne,
        }
    }
}

/// Which kept guests are replaced together with one that died: for guests that share something which it may have broken, a
/// device, say. The others end their tasks first, and that they are replaced is no death of theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// No other one.
    #[default]
    OneForOne,
    /// Those that began after it.
    RestForOne,
    /// All of them.
    OneForAll,
}

/// What becomes of a pool with too many deaths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExcess {
    /// It goes on, with one restart in this time at most, until it has calmed down.
    Slow(Duration),
    /// No worker is restarted any more, and tasks are refused, until somebody resets it.
    Stop,
}

/// How the pool as a whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As it should be.
    Sound,
    /// Too many deaths: restarts are rare.
    Degraded,
    /// Too many deaths: there are no restarts.
    Stopped,
}

impl Condition {
    /// The word used in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
        }
    }
}

/// The past of one place for a worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    /// Deaths and failed starts since it was healthy last.
    in_a_row: u32,
    ready_since: Option<Instant>,
    /// All deaths, for those who want to know.
    pub deaths: u64,
    /// The last of them.
    pub last_death: Option<Instant>,
}

/// What follows a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Start again at this time.
    At(Instant),
    /// Don't.
    Never,
}

/// The restarts of one pool.
#[derive(Clone, Debug)]
pub struct Restarts {
    settings: RestartSettings,
    condition: Condition,
    /// The deaths within the window, oldest first; never more than would be too many.
    recent: VecDeque<Instant>,
    /// When the last restart was, or is to be, while they are rare.
    last_slow: Option<Instant>,
    /// Starts that failed since one succeeded.
    failed_starts: u32,
}

impl Restarts {
    /// Of a pool in which nobody has died.
    pub fn new(settings: RestartSettings) -> Self {
        let (condition, recent) = (Condition::Sound, VecDeque::new());
        Self { settings, condition, recent, last_slow: None, failed_starts: 0 }
    }

    /// A worker is ready for tasks.
    pub fn ready(&mut self, past: &mut Past, now: Instant) {
        past.ready_since = Some(now);
        self.failed_starts = 0;
    }

    /// A worker died that had been ready.
    pub fn died(&mut self, past: &mut Past, now: Instant, random: f64) -> Restart {
        let healthy = past.ready_since.take().is_some_and(|since| {
            now.saturating_duration_since(since) >= self.settings.healthy_after
        });
        if healthy {
            past.in_a_row = 0;
        }
        past.deaths += 1;
        past.last_death = Some(now);
        self.note(now);
        self.again(past, now, random)
    }

    /// A worker could not be started. Says, too, whether those who wait are to be told.
    pub fn failed_to_start(
        &mut self,
        past: &mut Past,
        now: Instant,
        random: f64,
    ) -> (Restart, bool) {
        past.ready_since = None;
        // The first restart is at once only for those who have been ready.
        past.in_a_row = past.in_a_row.max(1);
        self.failed_starts = self.failed_starts.saturating_add(1);
        let tell = self.failed_starts >= self.settings.failed_starts.max(1);
        (self.again(past, now, random), tell)
    }

    /// How the pool is. A degraded one is sound again once half as many deaths are left in the window.
    pub fn condition(&mut self, now: Instant) -> Condition {
        self.forget(now);
        if self.condition == Condition::Degraded
            && self.recent.len() as u32 <= self.settings.deaths / 2
        {
            (self.condition, self.last_slow) = (Condition::Sound, None);
        }
        self.condition
    }

    /// Forgets all deaths: the end of [`Condition::Stopped`].
    pub fn reset(&mut self) {
        *self = Self::new(self.settings);
    }

    fn note(&mut self, now: Instant) {
        // It may have calmed down before this death.
        self.condition(now);
        self.recent.push_back(now);
        if self.recent.len() as u32 > self.settings.deaths {
            self.recent.pop_front();
            self.condition = match self.settings.on_excess {
                OnExcess::Slow(_) => Condition::Degraded,
                OnExcess::Stop => Condition::Stopped,
            };
        }
    }

    fn forget(&mut self, now: Instant) {
        let window = self.settings.window;
        while self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) >= window) {
            self.recent.pop_front();
        }
    }

    fn again(&mut self, past: &mut Past, now: Instant, random: f64) -> Restart {
        let RestartSettings { first, most, on_excess, .. } = self.settings;
        let whole = match past.in_a_row {
            0 => Duration::ZERO,
            times => Backoff::Exponential.delay(times, first, most),
        };
        past.in_a_row = past.in_a_row.saturating_add(1);
        let at = later(now, part(whole, random));
        match (self.condition(now), on_excess) {
            (Condition::Stopped, _) => Restart::Never,
            (Condition::Degraded, OnExcess::Slow(apart)) => {
                let next = self.last_slow.map_or(now, |last| later(last, apart));
                let at = at.max(next);
                self.last_slow = Some(at);
                Restart::At(at)
            }
            (Condition::Degraded | Condition::Sound, _) => Restart::At(at),
        }
    }
}

#[cfg(test)]
mod tests;

//! Whether a task is tried again, when, and with how much memory.
//!
//! Only what may be done twice is tried twice: a task that is idempotent, or one that provably never started. A budget
//! bounds all retries together, so that a storm can't double itself; a deadline is for the whole, waiting included.

use std::time::{Duration, Instant};

use crate::label::Label;
use crate::labels::Labels;
use crate::policy::part;
use crate::quantity::ByteSize;

/// How often, how soon, and after what a task is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrySettings {
    /// Attempts at most, the first one included.
    pub attempts: u32,
    /// How the delay grows.
    pub backoff: Backoff,
    /// The delay before the second attempt.
    pub first: Duration,
    /// The longest delay.
    pub most: Duration,
    /// What chance does to a delay.
    pub jitter: Jitter,
    /// The verdicts after which trying again makes sense.
    pub on: Labels,
    /// A task that ran out of memory is tried once more with twice the cap, up to this; not at all if it is `None`.
    pub most_memory: Option<ByteSize>,
    /// Whether a function that its guest marks as one that may be called twice is, and a module that imports nothing, where
    /// the caller says nothing.
    pub marks: bool,
    /// What bounds all retries together.
    pub budget: BudgetSettings,
}

impl RetrySettings {
    /// Crashes, and wall time that was up: with the right worker or at a better time they may not happen again.
    pub const ON: Labels = Labels::CRASHES.and(Labels::of(&[Label::StoppedWallTime]));
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Backoff::Exponential,
            first: Duration::from_millis(100),
            most: Duration::from_secs(5),
            jitter: Jitter::Full,
            on: Self::ON,
            most_memory: None,
            marks: true,
            budget: BudgetSettings::default(),
        }
    }
}

/// How delays grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// Always the first one.
    Constant,
    /// The first one, twice, three times.
    Linear,
    /// The first one, twice, four times.
    Exponential,
}

impl Backoff {
    /// The delay before the attempt after this one, without chance.
    pub fn delay(self, attempt: u32, first: Duration, most: Duration) -> Duration {
        let step = attempt.saturating_sub(1);
        let times = match self {
            Self::Constant => 1,
            Self::Linear => attempt.max(1),
            Self::Exponential => 2_u32.saturating_pow(step),
        };
        first.saturating_mul(times).min(most)
    }
}

/// What chance does to a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Nothing.
    None,
    /// Anything from nothing to the whole delay: whoever failed together comes back one by one.
    Full,
    /// Anything from the first delay to three times the last one.
    Decorrelated,
}

/// What is known of a task after an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// How it ended.
    pub label: Label,
    /// Whether the task may be done twice.
    pub idempotent: bool,
    /// The memory cap it had.
    pub memory: ByteSize,
    /// Whether that cap was raised already.
    pub raised: bool,
    /// The delay before this attempt.
    pub delay: Duration,
    /// What is left until its deadline, if it has one.
    pub left: Option<Duration>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again.
    Again {
        /// After this long.
        after: Duration,
        /// With this memory cap, where it is another one.
        memory: Option<ByteSize>,
    },
    /// This is how it ended.
    Enough(Enough),
}

/// Why a task is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enough {
    /// Nothing would be gained.
    Settled,
    /// It may not be done twice, and it was begun.
    NotIdempotent,
    /// It was tried as often as it may be.
    Attempts,
    /// It ran out of memory and may not have more.
    Memory,
    /// Its deadline would be over before.
    Deadline,
    /// All retries together are too many just now.
    Budget,
}

impl RetrySettings {
    /// Decides what follows an attempt.
    pub fn decide(
        &self,
        tried: &Tried,
        budget: &mut RetryBudget,
        now: Instant,
        random: f64,
    ) -> Decision {
        let never_started = tried.label == Label::UnstartedResources;
        if !never_started && !self.on.contains(tried.label) {
            return Decision::Enough(Enough::Settled);
        }
        if !never_started && !tried.idempotent {
            return Decision::Enough(Enough::NotIdempotent);
        }
        if tried.attempt >= self.attempts {
            return Decision::Enough(Enough::Attempts);
        }
        let memory = match self.memory_after(tried) {
            Ok(memory) => memory,
            Err(enough) => return Decision::Enough(enough),
        };
        let after = self.delay(tried, random);
        if tried.left.is_some_and(|left| left <= after) {
            return Decision::Enough(Enough::Deadline);
        }
        // What never ran has cost nobody anything, and is not counted.
        if !never_started && !budget.withdraw(now) {
            return Decision::Enough(Enough::Budget);
        }
        Decision::Again { after, memory }
    }

    /// How long a retry waits that has come upon an open breaker: until its next probe, and by chance a little longer, as many
    /// may wait for the same moment. Not at all if that is longer than the longest delay or than what is left until the
    /// deadline, or if it has waited so as often as there may be attempts.
    pub fn until_probe(
        &self,
        probe_in: Duration,
        waited: u32,
        left: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        let little = match self.jitter {
            Jitter::None => Duration::ZERO,
            Jitter::Full | Jitter::Decorrelated => part(self.first, random),
        };
        let is_late = |after: Duration| left.is_some_and(|left| left <= after);
        if waited >= self.attempts || probe_in > self.most || is_late(probe_in) {
            return None;
        }
        // The probe may be in time where a little more would not be.
        Some(probe_in.saturating_add(little)).filter(|after| !is_late(*after)).or(Some(probe_in))
    }

    fn memory_after(&self, tried: &Tried) -> Result<Option<ByteSize>, Enough> {
        if tried.label != Label::CrashedOutOfMemory {
            return Ok(None);
        }
        let most = self.most_memory.map_or(0, ByteSize::as_u64);
        let (had, twice) = (tried.memory.as_u64(), tried.memory.as_u64().saturating_mul(2));
        let more = twice.min(most);
        if tried.raised || more <= had {
            Err(Enough::Memory)
        } else {
            Ok(Some(ByteSize::bytes(more)))
        }
    }

    fn delay(&self, tried: &Tried, random: f64) -> Duration {
        let whole = self.backoff.delay(tried.attempt, self.first, self.most);
        match self.jitter {
            Jitter::None => whole,
            Jitter::Full => part(whole, random),
            Jitter::Decorrelated => {
                let widest = tried.delay.max(self.first).saturating_mul(3).min(self.most);
                let wider = part(widest.saturating_sub(self.first), random);
                self.first.min(self.most).saturating_add(wider)
            }
        }
    }
}

/// What bounds all retries together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetSettings {
    /// So many of a hundred first attempts may be followed by a retry.
    pub percent: u32,
    /// So many retries may be saved up; so many there are at the beginning.
    pub most: u32,
    /// One more retry comes by itself after this long, for those who run few tasks.
    pub trickle: Duration,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { percent: 20, most: 10, trickle: Duration::from_secs(10) }
    }
}

/// The retries that are left: each first attempt adds a part of one.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    settings: BudgetSettings,
    /// In hundredths of a retry.
    left: u64,
    filled: Instant,
}

impl RetryBudget {
    /// A full one.
    pub fn new(settings: BudgetSettings, now: Instant) -> Self {
        Self { settings, left: u64::from(settings.most) * 100, filled: now }
    }

    /// A task is tried for the first time.
    pub fn deposit(&mut self, now: Instant) {
        self.fill(u64::from(self.settings.percent), now);
    }

    /// A task wants to be tried again.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        self.fill(0, now);
        let enough = self.left >= 100;
        if enough {
            self.left -= 100;
        }
        enough
    }

    fn fill(&mut self, by: u64, now: Instant) {
        let trickle = self.settings.trickle.as_nanos().max(1);
        let drops = now.saturating_duration_since(self.filled).as_nanos() / trickle;
        if drops > 0 {
            let drops = u32::try_from(drops).unwrap_or(u32::MAX);
            self.filled = self.filled.checked_add(self.settings.trickle * drops).unwrap_or(now);
        }
        let most = u64::from(self.settings.most) * 100;
        let dropped = u64::try_from(drops).unwrap_or(most).saturating_mul(100);
        self.left = self.left.saturating_add(by).saturating_add(dropped).min(most);
    }
}

#[cfg(test)]
mod tests;

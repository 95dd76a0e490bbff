//! Patterns of crashes: each raises one alert when it appears and one all-clear when it is over.
//!
//! It appears at its threshold and is over at half of it, so that what swings about the threshold is told once.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::label::Label;
use crate::policy::quarantine::Culprit;

use super::{CrashRecord, Ended, HealthSettings};

/// Alerts that wait to be told at most; the oldest are forgotten.
const MOST_WAITING: usize = 256;
/// Workers and programs that are watched for creeping memory and for slowness.
const MOST_WATCHED: usize = 1_000;
/// It is looked whether a pattern is over after this time at the soonest.
const LOOKS_APART: Duration = Duration::from_secs(1);
/// Attempts after which it is known how long a program usually takes.
const USUAL_AFTER: u32 = 20;

/// What wants attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Too many crashes.
    CrashRate,
    /// Too many memory faults.
    MemoryFaults,
    /// The same fault at the same place again and again.
    SamePlace,
    /// One input that kills worker after worker.
    OneInput,
    /// A worker whose memory grows from task to task, and is close to its cap.
    MemoryCreep,
    /// A program that takes much longer than it used to.
    SlowDown,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CrashRate,
        Self::MemoryFaults,
        Self::SamePlace,
        Self::OneInput,
        Self::MemoryCreep,
        Self::SlowDown,
    ];

    /// The word used in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CrashRate => "crash-rate",
            Self::MemoryFaults => "memory-faults",
            Self::SamePlace => "same-place",
            Self::OneInput => "one-input",
            Self::MemoryCreep => "memory-creep",
            Self::SlowDown => "slow-down",
        }
    }
}

/// A pattern appeared, or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Which one.
    pub pattern: Pattern,
    /// Whether it appeared; otherwise it is over.
    pub raised: bool,
    /// How much of it there is.
    pub count: usize,
}

/// What is raised, and what is needed to see it. Nothing here is counted anew for each crash: a storm has many.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    raised: Vec<Pattern>,
    waiting: VecDeque<Alert>,
    /// The crashes of the last while, oldest first, and how often each thing is among them.
    recent: VecDeque<Trait>,
    faults: usize,
    places: HashMap<u64, usize>,
    inputs: HashMap<Culprit, usize>,
    /// When it was last looked whether something is over.
    looked: Option<Instant>,
    /// For each worker: the most memory of its last attempt, and for how many it has grown in a row.
    creeping: HashMap<u64, Creep>,
    close: usize,
    programs: HashMap<Arc<str>, Pace>,
    slow: usize,
}

#[derive(Clone, Debug)]
struct Trait {
    at: Instant,
    is_fault: bool,
    place: u64,
    input: Culprit,
}

#[derive(Clone, Copy, Debug, Default)]
struct Creep {
    last: u64,
    grown: u32,
    close: bool,
}

/// How long attempts take: over a long time, and of late.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    attempts: u32,
    usual: f64,
    late: f64,
}

impl Patterns {
    pub(super) fn take_alerts(&mut self) -> impl Iterator<Item = Alert> + '_ {
        self.waiting.drain(..)
    }

    pub(super) fn raised(&self) -> impl Iterator<Item = Pattern> + '_ {
        self.raised.iter().copied()
    }

    /// Takes in how long an attempt took and how much memory it held.
    pub(super) fn ended(&mut self, settings: &HealthSettings, ended: &Ended<'_>) {
        let (peak, cap) = ended.memory;
        if self.creeping.len() >= MOST_WATCHED {
            (self.creeping, self.close) = (HashMap::new(), 0);
        }
        let creep = self.creeping.entry(ended.worker).or_default();
        self.close -= usize::from(creep.close);
        creep.grow(peak, cap, settings.creep);
        if HealthSettings::CRASHES.contains(ended.label) {
            *creep = Creep::default();
        }
        self.close += usize::from(creep.close);
        if self.programs.len() >= MOST_WATCHED {
            (self.programs, self.slow) = (HashMap::new(), 0);
        }
        let pace = self.programs.entry(Arc::clone(ended.program)).or_default();
        self.slow -= usize::from(pace.is_slow(settings.slow_down));
        pace.add(ended.took);
        self.slow += usize::from(pace.is_slow(settings.slow_down));
        self.set(Pattern::MemoryCreep, self.close, 1);
        self.set(Pattern::SlowDown, self.slow, 1);
    }

    /// A worker is there no more, and its memory with it.
    pub(super) fn worker_ended(&mut self, worker: u64) {
        let gone = self.creeping.remove(&worker);
        self.close -= usize::from(gone.is_some_and(|creep| creep.close));
        self.set(Pattern::MemoryCreep, self.close, 1);
    }

    /// Takes in a crash: only what it adds to can appear by it.
    pub(super) fn crashed(&mut self, settings: &HealthSettings, record: &CrashRecord) {
        self.forget(settings, record.at);
        let (place, input) = (record.signature, record.culprit.clone());
        let is_fault = record.label == Label::CrashedMemoryFault;
        self.faults += usize::from(is_fault);
        let at_place = add(&mut self.places, place);
        let of_input = add(&mut self.inputs, input.clone());
        self.recent.push_back(Trait { at: record.at, is_fault, place, input });
        if self.recent.len() > settings.keep.max(1) {
            self.drop_oldest();
        }
        self.raise(Pattern::CrashRate, self.recent.len(), settings.crash_rate + 1);
        self.raise(Pattern::MemoryFaults, self.faults, settings.memory_faults + 1);
        self.raise(Pattern::SamePlace, at_place, settings.same_place);
        self.raise(Pattern::OneInput, of_input, settings.one_input);
        self.look(settings, record.at);
    }

    /// Looks whether something is over.
    pub(super) fn tick(&mut self, settings: &HealthSettings, now: Instant) {
        self.forget(settings, now);
        self.look(settings, now);
    }

    fn look(&mut self, settings: &HealthSettings, now: Instant) {
        let soon = |looked: Instant| now.saturating_duration_since(looked) < LOOKS_APART;
        if self.raised.is_empty() || self.looked.is_some_and(soon) {
            return;
        }
        self.looked = Some(now);
        let place = self.places.values().copied().max().unwrap_or(0);
        let input = self.inputs.values().copied().max().unwrap_or(0);
        self.set(Pattern::CrashRate, self.recent.len(), settings.crash_rate + 1);
        self.set(Pattern::MemoryFaults, self.faults, settings.memory_faults + 1);
        self.set(Pattern::SamePlace, place, settings.same_place);
        self.set(Pattern::OneInput, input, settings.one_input);
    }

    fn forget(&mut self, settings: &HealthSettings, now: Instant) {
        let is_old =
            |crash: &Trait| now.saturating_duration_since(crash.at) >= settings.pattern_window;
        while self.recent.front().is_some_and(is_old) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.faults -= usize::from(oldest.is_fault);
            take(&mut self.places, &oldest.place);
            take(&mut self.inputs, &oldest.input);
        }
    }

    fn raise(&mut self, pattern: Pattern, count: usize, threshold: usize) {
        if !self.raised.contains(&pattern) {
            self.set(pattern, count, threshold);
        }
    }

    fn set(&mut self, pattern: Pattern, count: usize, threshold: usize) {
        let is_raised = self.raised.contains(&pattern);
        let raised = if is_raised { count > threshold / 2 } else { count >= threshold.max(1) };
        if raised == is_raised {
            return;
        }
        if raised {
            self.raised.push(pattern);
        } else {
            self.raised.retain(|other| *other != pattern);
        }
        if self.waiting.len() == MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Alert { pattern, raised, count });
    }
}

impl Creep {
    fn grow(&mut self, peak: u64, cap: u64, times: u32) {
        self.grown = if peak > self.last && self.last > 0 { self.grown + 1 } else { 0 };
        self.last = peak;
        self.close = self.grown >= times && peak >= cap - cap / 10;
    }
}

impl Pace {
    fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.attempts = self.attempts.saturating_add(1);
        // What is usual moves slowly, so that it doesn't get used to slowness before anybody is told.
        let weight = |most: u32| 1.0 / f64::from(self.attempts.min(most));
        self.usual += (took - self.usual) * weight(1_000);
        self.late += (took - self.late) * weight(USUAL_AFTER);
    }

    fn is_slow(&self, times: f64) -> bool {
        self.attempts > USUAL_AFTER && self.late > self.usual * times
    }
}

fn add<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) -> usize {
    let count = counts.entry(key).or_insert(0);
    *count += 1;
    *count
}

fn take<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

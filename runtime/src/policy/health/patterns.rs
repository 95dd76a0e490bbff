//! Patterns of crashes: each raises one alert when it appears and one all-clear when it is over, for each subject that it is
//! seen of.
//!
//! It appears at its threshold and is over at half of it, so that what swings about the threshold is told once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::label::Label;
use crate::policy::quarantine::Culprit;

use super::{CrashRecord, Ended, HealthSettings};

/// Alerts that wait to be told at most; the oldest are forgotten.
const MOST_WAITING: usize = 4_096;
/// Alerts that are raised at most. Beyond them only those about everything are.
const MOST_RAISED: usize = 1_000;
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

/// What a pattern is about: the same pattern of two of these is two alerts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// All that is watched together.
    Everything,
    /// A place where tasks die, by the digest in their records ([`CrashRecord::signature`]).
    Place(u64),
    /// An input.
    Input(Culprit),
    /// A worker.
    Worker(u64),
    /// A program.
    Program(Arc<str>),
    /// A device.
    Device(Arc<str>),
}

impl Subject {
    /// What it is, in one word: of these there are only so many.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Place(_) => "place",
            Self::Input(_) => "input",
            Self::Worker(_) => "worker",
            Self::Program(_) => "program",
            Self::Device(_) => "device",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Everything => Ok(()),
            Self::Place(digest) => write!(f, " {digest:016x}"),
            Self::Input(Culprit { kind, digest }) => {
                write!(f, " {:016x} of {kind}", u128::from_be_bytes(*digest) >> 64)
            }
            Self::Worker(worker) => write!(f, " {worker}"),
            Self::Program(name) | Self::Device(name) => write!(f, " {name}"),
        }
    }
}

/// A pattern appeared, or is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Which one.
    pub pattern: Pattern,
    /// Of what.
    pub subject: Subject,
    /// Whether it appeared; otherwise it is over.
    pub raised: bool,
    /// How much of it there is: crashes, or for creeping and slowness 1.
    pub count: usize,
}

type Of = (Pattern, Subject);

/// What is raised, and what is needed to see it. Nothing here is counted anew for each crash: a storm has many.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    raised: BTreeSet<Of>,
    waiting: VecDeque<Alert>,
    /// The crashes of the last while, oldest first, and how often each thing is among them.
    recent: VecDeque<(Instant, Vec<Of>)>,
    counts: HashMap<Of, usize>,
    /// When it was last looked whether something is over.
    looked: Option<Instant>,
    /// For each worker: the most memory of its last attempt, and for how many it has grown in a row.
    creeping: HashMap<u64, Creep>,
    programs: HashMap<Arc<str>, Pace>,
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

    pub(super) fn raised(&self) -> impl ExactSizeIterator<Item = &Of> + '_ {
        self.raised.iter()
    }

    /// Takes in how long an attempt took and how much memory it held.
    pub(super) fn ended(&mut self, settings: &HealthSettings, ended: &Ended<'_>) {
        let (peak, cap) = ended.memory;
        if self.creeping.len() >= MOST_WATCHED && !self.creeping.contains_key(&ended.worker) {
            self.creeping = HashMap::new();
            self.clear_all(Pattern::MemoryCreep);
        }
        let creep = self.creeping.entry(ended.worker).or_default();
        creep.grow(peak, cap, settings.creep);
        if HealthSettings::CRASHES.contains(ended.label) {
            *creep = Creep::default();
        }
        let close = usize::from(creep.close);
        if self.programs.len() >= MOST_WATCHED && !self.programs.contains_key(ended.program) {
            self.programs = HashMap::new();
            self.clear_all(Pattern::SlowDown);
        }
        let pace = self.programs.entry(Arc::clone(ended.program)).or_default();
        pace.add(ended.took);
        let slow = usize::from(pace.is_slow(settings.slow_down));
        self.set((Pattern::MemoryCreep, Subject::Worker(ended.worker)), close, 1);
        self.set((Pattern::SlowDown, Subject::Program(Arc::clone(ended.program))), slow, 1);
    }

    /// A worker is there no more, and its memory with it.
    pub(super) fn worker_ended(&mut self, worker: u64) {
        self.creeping.remove(&worker);
        self.set((Pattern::MemoryCreep, Subject::Worker(worker)), 0, 1);
    }

    /// Takes in a crash: only what it adds to can appear by it.
    pub(super) fn crashed(&mut self, settings: &HealthSettings, record: &CrashRecord) {
        self.forget(settings, record.at);
        let adds_to = adds_to(record);
        if self.recent.len() >= settings.keep.max(1) {
            self.drop_oldest();
        }
        for of in &adds_to {
            let count = self.counts.entry(of.clone()).or_insert(0);
            *count += 1;
            let count = *count;
            if !self.raised.contains(of) {
                self.set(of.clone(), count, threshold(settings, of.0));
            }
        }
        self.recent.push_back((record.at, adds_to));
        self.look(settings, record.at);
    }

    /// Looks whether something is over.
    pub(super) fn tick(&mut self, settings: &HealthSettings, now: Instant) {
        self.forget(settings, now);
        self.look(settings, now);
    }

    /// Nobody looks any more: whatever is raised is over.
    pub(super) fn end(&mut self) {
        for of in std::mem::take(&mut self.raised) {
            let (pattern, subject) = of;
            self.waiting.push_back(Alert { pattern, subject, raised: false, count: 0 });
        }
    }

    fn look(&mut self, settings: &HealthSettings, now: Instant) {
        let soon = |looked: Instant| now.saturating_duration_since(looked) < LOOKS_APART;
        if self.raised.is_empty() || self.looked.is_some_and(soon) {
            return;
        }
        self.looked = Some(now);
        let of_crashes = |of: &&Of| !matches!(of.0, Pattern::MemoryCreep | Pattern::SlowDown);
        let raised: Vec<Of> = self.raised.iter().filter(of_crashes).cloned().collect();
        for of in raised {
            let count = self.counts.get(&of).copied().unwrap_or(0);
            let threshold = threshold(settings, of.0);
            self.set(of, count, threshold);
        }
    }

    fn forget(&mut self, settings: &HealthSettings, now: Instant) {
        let is_old =
            |(at, _): &(Instant, _)| now.saturating_duration_since(*at) >= settings.pattern_window;
        while self.recent.front().is_some_and(is_old) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        for of in self.recent.pop_front().into_iter().flat_map(|(_, added_to)| added_to) {
            if let Some(count) = self.counts.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&of);
                }
            }
        }
    }

    fn clear_all(&mut self, pattern: Pattern) {
        let all: Vec<Of> = self.raised.iter().filter(|of| of.0 == pattern).cloned().collect();
        all.into_iter().for_each(|of| self.set(of, 0, 1));
    }

    fn set(&mut self, of: Of, count: usize, threshold: usize) {
        let is_raised = self.raised.contains(&of);
        let raised = if is_raised { count > threshold / 2 } else { count >= threshold.max(1) };
        let has_room = self.raised.len() < MOST_RAISED || of.1 == Subject::Everything;
        if raised == is_raised || (raised && !has_room) {
            return;
        }
        let (pattern, subject) = of.clone();
        match raised {
            true => self.raised.insert(of),
            false => self.raised.remove(&of),
        };
        if self.waiting.len() == MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Alert { pattern, subject, raised, count });
    }
}

/// Everything that a crash is counted for.
fn adds_to(record: &CrashRecord) -> Vec<Of> {
    let device = || record.device.clone().map(Subject::Device);
    let is_fault = record.label == Label::CrashedMemoryFault;
    let all = |pattern| [Some(Subject::Everything), device()].map(|it| Some((pattern, it?)));
    let faults = is_fault.then(|| all(Pattern::MemoryFaults)).into_iter().flatten();
    let place = (Pattern::SamePlace, Subject::Place(record.signature));
    let input = (Pattern::OneInput, Subject::Input(record.culprit.clone()));
    all(Pattern::CrashRate).into_iter().chain(faults).flatten().chain([place, input]).collect()
}

/// How much of a pattern is too much.
fn threshold(settings: &HealthSettings, pattern: Pattern) -> usize {
    match pattern {
        Pattern::CrashRate => settings.crash_rate + 1,
        Pattern::MemoryFaults => settings.memory_faults + 1,
        Pattern::SamePlace => settings.same_place,
        Pattern::OneInput => settings.one_input,
        Pattern::MemoryCreep | Pattern::SlowDown => 1,
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

//! Poison: an input that kills worker after worker is refused, and nobody beside it is blamed.
//!
//! Only the task that ran when a worker died is counted, by its kind and a digest of its input: so it is known again
//! in a retry and in a resubmission. One death is bad luck. After the second it is a suspect and runs alone on a worker
//! of its own; after the third it is poison and refused, for a while or until somebody lets it go. Where many workers
//! die of different tasks at the same moment, the host has stumbled, and each task is excused for it once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::label::Label;
use crate::policy::later;

/// When a task is poison, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineSettings {
    /// After so many deaths it runs alone.
    pub suspect_after: u32,
    /// After so many deaths it is refused.
    pub poison_after: u32,
    /// Deaths are remembered, and poison is refused, for this long.
    pub keep_for: Duration,
    /// Tasks remembered at most; the oldest are forgotten.
    pub most: usize,
    /// So many workers that die of different tasks within [`together`](Self::together) are the host's fault.
    pub cluster: u32,
    /// How close to each other those deaths are.
    pub together: Duration,
}

impl Default for QuarantineSettings {
    fn default() -> Self {
        Self {
            suspect_after: 2,
            poison_after: 3,
            keep_for: Duration::from_secs(3_600),
            most: 1_000,
            cluster: 8,
            together: Duration::from_secs(1),
        }
    }
}

/// Which task: what kind of work, on which input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Culprit {
    /// The kind of work: a program and its entry, or the caller's own word.
    pub kind: Arc<str>,
    /// A digest of the input.
    pub digest: [u8; 16],
}

/// One death of a worker, with the task that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// When.
    pub at: Instant,
    /// The worker: no two that ever lived have the same number.
    pub worker: u64,
    /// How the task ended.
    pub label: Label,
}

/// How a task may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Anywhere.
    Clear,
    /// Alone, on a worker that nobody else uses after it.
    Suspect,
    /// Not at all.
    Poison,
}

/// A task that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The deaths it caused.
    pub deaths: Vec<Death>,
    /// When it is let go by itself.
    pub until: Instant,
}

#[derive(Clone, Debug)]
struct Case {
    deaths: Vec<Death>,
    excused: bool,
}

/// The tasks that killed a worker.
#[derive(Clone, Debug)]
pub struct Quarantine {
    settings: QuarantineSettings,
    cases: HashMap<Culprit, Case>,
    /// The deaths of the last moment.
    together: VecDeque<(Instant, Culprit)>,
}

impl Quarantine {
    /// An empty one.
    pub fn new(settings: QuarantineSettings) -> Self {
        Self { settings, cases: HashMap::new(), together: VecDeque::new() }
    }

    /// How a task may run, or why not.
    pub fn admit(&mut self, culprit: &Culprit, now: Instant) -> Result<Standing, Quarantined> {
        let keep_for = self.settings.keep_for;
        let Some(case) = self.cases.get(culprit) else { return Ok(Standing::Clear) };
        if is_over(case, keep_for, now) {
            self.cases.remove(culprit);
            return Ok(Standing::Clear);
        }
        match self.standing(case) {
            Standing::Poison => {
                let last = case.deaths.last().map_or(now, |death| death.at);
                Err(Quarantined { deaths: case.deaths.clone(), until: later(last, keep_for) })
            }
            standing => Ok(standing),
        }
    }

    /// A worker died while it ran this task. Says how the task stands now.
    pub fn died(&mut self, culprit: &Culprit, death: Death) -> Standing {
        let now = death.at;
        if self.is_cluster(culprit, now) {
            self.excuse_all(now);
            if self.cases.get(culprit).is_none_or(|case| !case.excused) {
                self.make_room(culprit, now);
                self.cases.entry(culprit.clone()).or_insert_with(Case::new).excused = true;
                return self.cases.get(culprit).map_or(Standing::Clear, |case| self.standing(case));
            }
        }
        self.make_room(culprit, now);
        let keep_for = self.settings.keep_for;
        let case = self.cases.entry(culprit.clone()).or_insert_with(Case::new);
        if is_over(case, keep_for, now) {
            *case = Case::new();
        }
        if case.deaths.len() < self.settings.poison_after.max(1) as usize {
            case.deaths.push(death);
        }
        let case = self.cases.get(culprit);
        case.map_or(Standing::Clear, |case| self.standing(case))
    }

    /// Lets a task go by hand. Says whether it was known.
    pub fn release(&mut self, culprit: &Culprit) -> bool {
        self.cases.remove(culprit).is_some()
    }

    /// Every task that is refused at this time.
    pub fn list(&self, now: Instant) -> Vec<(Culprit, Quarantined)> {
        let keep_for = self.settings.keep_for;
        let is_poison =
            |case: &Case| !is_over(case, keep_for, now) && self.standing(case) == Standing::Poison;
        let mut list: Vec<(Culprit, Quarantined)> = self
            .cases
            .iter()
            .filter(|(_, case)| is_poison(case))
            .map(|(culprit, case)| {
                let last = case.deaths.last().map_or(now, |death| death.at);
                let deaths = case.deaths.clone();
                (culprit.clone(), Quarantined { deaths, until: later(last, keep_for) })
            })
            .collect();
        list.sort_by(|(one, _), (other, _)| one.cmp(other));
        list
    }

    fn standing(&self, case: &Case) -> Standing {
        let deaths = case.deaths.len() as u32;
        if deaths >= self.settings.poison_after.max(1) {
            Standing::Poison
        } else if deaths >= self.settings.suspect_after.max(1) {
            Standing::Suspect
        } else {
            Standing::Clear
        }
    }

    /// Whether this death makes so many of different tasks at once that no single task is to blame.
    fn is_cluster(&mut self, culprit: &Culprit, now: Instant) -> bool {
        let together = self.settings.together;
        self.together.retain(|(at, other)| {
            now.saturating_duration_since(*at) < together && other != culprit
        });
        self.together.push_back((now, culprit.clone()));
        while self.together.len() > self.settings.cluster.max(1) as usize {
            self.together.pop_front();
        }
        self.together.len() as u32 >= self.settings.cluster.max(2)
    }

    /// Takes back what the others of the cluster were blamed for.
    fn excuse_all(&mut self, now: Instant) {
        let together = self.settings.together;
        for (_, culprit) in &self.together {
            if let Some(case) = self.cases.get_mut(culprit)
                && !case.excused
            {
                let recent = |death: &Death| now.saturating_duration_since(death.at) < together;
                if case.deaths.last().is_some_and(recent) {
                    case.deaths.pop();
                    case.excused = true;
                }
            }
        }
    }

    fn make_room(&mut self, culprit: &Culprit, now: Instant) {
        if self.cases.len() < self.settings.most.max(1) || self.cases.contains_key(culprit) {
            return;
        }
        let keep_for = self.settings.keep_for;
        self.cases.retain(|_, case| !case.deaths.is_empty() && !is_over(case, keep_for, now));
        while self.cases.len() >= self.settings.most.max(1) {
            let last = |case: &Case| case.deaths.last().map(|death| death.at);
            let oldest = self.cases.iter().min_by_key(|(_, case)| last(case));
            let Some(oldest) = oldest.map(|(culprit, _)| culprit.clone()) else { break };
            self.cases.remove(&oldest);
        }
    }
}

impl Case {
    fn new() -> Self {
        Self { deaths: Vec::new(), excused: false }
    }
}

fn is_over(case: &Case, keep_for: Duration, now: Instant) -> bool {
    let last = case.deaths.last();
    last.is_some_and(|death| now.saturating_duration_since(death.at) >= keep_for)
}

#[cfg(test)]
mod tests;

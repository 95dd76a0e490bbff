//! Health: what died lately, how each worker, program and device is, and which patterns want attention.
//!
//! The memory of it is fixed: a ring of records, bounded tables, and counts beyond them. Levels come from what happened
//! lately, so they recover by themselves. A pattern raises one alert for each subject (a place, an input, a device) when it appears
//! there, and one all-clear when it is over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::label::Label;
use crate::policy::keyed::Keyed;
use crate::policy::quarantine::Culprit;
use crate::policy::signs::Sign;
use crate::task::TaskId;

mod patterns;
mod settings;

pub use patterns::{Alert, Pattern, Subject};
pub use settings::{HealthSettings, Level};

/// One death of a worker, or of a task in a cell of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct CrashRecord {
    /// When.
    pub at: Instant,
    /// The task that ran.
    pub task: TaskId,
    /// Which attempt at it.
    pub attempt: u32,
    /// The worker: no two that ever lived have the same number.
    pub worker: u64,
    /// The program.
    pub program: Arc<str>,
    /// The device, where the task has one.
    pub device: Option<Arc<str>>,
    /// How it ended.
    pub label: Label,
    /// How far its guest was.
    pub phase: Phase,
    /// The end of what it wrote to stderr, a kibibyte at most.
    pub stderr: String,
    /// A digest of the evidence: the same fault at the same place has the same one.
    pub signature: u64,
    /// The task's kind and input.
    pub culprit: Culprit,
}

/// How far a guest was when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It was being warmed up, to be forked for tasks.
    WarmUp,
    /// It had its task.
    Task,
    /// It had given its result already.
    AfterResult,
}

impl Phase {
    /// The word used in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Task => "task",
            Self::AfterResult => "after-result",
        }
    }
}

/// One attempt that ended, well or not.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    /// When.
    pub at: Instant,
    /// The worker.
    pub worker: u64,
    /// The program.
    pub program: &'a Arc<str>,
    /// The device, where the task has one.
    pub device: Option<&'a Arc<str>>,
    /// The kind of work.
    pub kind: &'a Arc<str>,
    /// What it says about its device: the guest by its own words, or the user's signs.
    pub sign: Option<Sign>,
    /// How it ended.
    pub label: Label,
    /// How long it took.
    pub took: Duration,
    /// The most memory it held, and the cap.
    pub memory: (u64, u64),
}

/// What is counted for a worker, a program, a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// When it was first heard of.
    pub started: Instant,
    /// Attempts that ended.
    pub requests: u64,
    /// Those that crashed.
    pub crashes: u64,
    /// Those that ran out of memory: the task's, or the device's as the guest says.
    pub out_of_memory: u64,
    /// When something last ended well.
    pub last_healthy: Option<Instant>,
    /// When something last ended.
    pub last_active: Option<Instant>,
}

/// Which records are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this device only.
    pub device: Option<Arc<str>>,
    /// Of this program only.
    pub program: Option<Arc<str>>,
    /// Of this worker only.
    pub worker: Option<u64>,
    /// With this verdict only.
    pub label: Option<Label>,
    /// From this time on.
    pub since: Option<Instant>,
}

/// How everything is.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The worst that is true.
    pub level: Level,
    /// Why it is not the best: devices and patterns, by name.
    pub reasons: Vec<String>,
    /// Workers that live.
    pub workers: usize,
    /// Those whose last task did not crash.
    pub healthy_workers: usize,
    /// The level of each device, by name.
    pub devices: Vec<(Arc<str>, Level, Stats)>,
    /// Crashes in the last five minutes.
    pub recent_crashes: usize,
}

/// Patterns that are told by their names, where somebody asks how everything is.
const MOST_REASONS: usize = 32;

/// Everything that is known about who died.
#[derive(Clone, Debug)]
pub struct Health {
    settings: HealthSettings,
    /// Newest at the end.
    crashes: VecDeque<CrashRecord>,
    workers: Keyed<u64, Stats>,
    programs: Keyed<Arc<str>, Stats>,
    devices: Keyed<Arc<str>, Stats>,
    kinds: Keyed<Arc<str>, Stats>,
    patterns: patterns::Patterns,
}

impl Health {
    /// Of something that has not begun.
    pub fn new(settings: HealthSettings) -> Self {
        let most = settings.most_keys;
        Self {
            settings,
            crashes: VecDeque::new(),
            workers: Keyed::new(most),
            programs: Keyed::new(most),
            devices: Keyed::new(most),
            kinds: Keyed::new(most),
            patterns: patterns::Patterns::default(),
        }
    }

    /// A worker is there.
    pub fn worker_started(&mut self, worker: u64, now: Instant) {
        self.workers.entry(&worker, now, || Stats::new(now), |_| false);
    }

    /// A worker is there no more.
    pub fn worker_ended(&mut self, worker: u64) {
        self.workers.remove(&worker);
        self.patterns.worker_ended(worker);
    }

    /// An attempt ended. If it crashed, [`crashed`](Self::crashed) is told, too.
    pub fn ended(&mut self, ended: &Ended<'_>) {
        let (now, make) = (ended.at, || Stats::new(ended.at));
        if let Some(stats) = self.workers.get_mut(&ended.worker) {
            stats.count(ended, false);
        }
        self.programs.entry(ended.program, now, make, |_| false).count(ended, false);
        self.kinds.entry(ended.kind, now, make, |_| false).count(ended, false);
        if let Some(device) = ended.device {
            let failed = ended.sign == Some(Sign::Failed);
            self.devices.entry(device, now, make, |_| false).count(ended, failed);
        }
        self.patterns.ended(&self.settings, ended);
        self.patterns.tick(&self.settings, now);
    }

    /// Something died.
    pub fn crashed(&mut self, record: CrashRecord) {
        let now = record.at;
        self.forget(now);
        self.patterns.crashed(&self.settings, &record);
        self.remember(record);
    }

    fn remember(&mut self, record: CrashRecord) {
        if self.crashes.len() >= self.settings.keep.max(1) {
            self.crashes.pop_front();
        }
        self.crashes.push_back(record);
    }

    /// Takes in what an earlier one remembered, oldest first: nobody is alarmed by that once more.
    pub fn restore(&mut self, records: Vec<CrashRecord>) {
        for record in records {
            if let Some(device) = &record.device {
                // Its level is that of its crashes, and nothing else is known of it.
                self.devices.entry(device, record.at, || Stats::new(record.at), |_| false);
            }
            self.remember(record);
        }
    }

    /// Nothing more is watched: every alert that is raised has its all-clear.
    pub fn end(&mut self) {
        self.patterns.end();
    }

    /// Lets time pass: what is over is cleared.
    pub fn tick(&mut self, now: Instant) {
        self.forget(now);
        self.patterns.tick(&self.settings, now);
    }

    /// Alerts and all-clears since it was last asked, in order: each is told once.
    pub fn take_alerts(&mut self) -> impl Iterator<Item = Alert> + '_ {
        self.patterns.take_alerts()
    }

    /// How everything is.
    pub fn status(&mut self, now: Instant) -> Status {
        self.tick(now);
        let long = self.settings.device_window;
        let mut devices: Vec<(Arc<str>, Level, Stats)> = Vec::new();
        let counts: Vec<(Arc<str>, Stats)> =
            self.devices.iter_mut().map(|(name, stats)| (Arc::clone(name), *stats)).collect();
        for (name, stats) in counts {
            let of = |record: &&CrashRecord| record.device.as_ref() == Some(&name);
            let crashes = self.since(now, long).filter(of).count();
            devices.push((name, self.settings.level_of(crashes), stats));
        }
        devices.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let worst = devices.iter().map(|(_, level, _)| *level).max().unwrap_or(Level::Healthy);
        let lately = self.since(now, self.settings.critical_window).count();
        let critical = lately > self.settings.critical_above;
        let mut reasons: Vec<String> = devices
            .iter()
            .filter(|(_, level, _)| *level != Level::Healthy)
            .map(|(name, level, _)| format!("device {name} is {}", level.name()))
            .collect();
        reasons.extend(critical.then(|| format!("{lately} crashes lately")));
        reasons.extend(self.patterns_raised());
        let mut workers = (0, 0);
        for (_, stats) in self.workers.iter_mut() {
            workers.0 += 1;
            workers.1 += usize::from(stats.last_active == stats.last_healthy);
        }
        Status {
            level: if critical { Level::Critical } else { worst },
            reasons,
            workers: workers.0,
            healthy_workers: workers.1,
            devices,
            recent_crashes: self.since(now, long).count(),
        }
    }

    /// What is raised, in words. What is about everything comes first, and of much there are only some.
    fn patterns_raised(&self) -> Vec<String> {
        let all = self.patterns.raised();
        let more = all.len().saturating_sub(MOST_REASONS);
        let (broad, narrow): (Vec<_>, Vec<_>) =
            all.partition(|(_, subject)| *subject == Subject::Everything);
        let words = broad.into_iter().chain(narrow).take(MOST_REASONS).map(|(pattern, subject)| {
            match subject {
                Subject::Everything => pattern.name().to_owned(),
                subject => format!("{} of {subject}", pattern.name()),
            }
        });
        words.chain((more > 0).then(|| format!("{more} patterns more"))).collect()
    }

    /// The records that fit, newest first.
    pub fn history(&mut self, filter: &Filter, most: usize, now: Instant) -> Vec<CrashRecord> {
        self.forget(now);
        self.crashes.iter().rev().filter(|record| filter.fits(record)).take(most).cloned().collect()
    }

    /// What is counted for a worker that lives.
    pub fn worker(&mut self, worker: u64) -> Option<Stats> {
        self.workers.get_mut(&worker).copied()
    }

    /// What is counted for a program.
    pub fn program(&mut self, program: &Arc<str>) -> Option<Stats> {
        self.programs.get_mut(program).copied()
    }

    /// What is counted for a kind of work, and how well that goes.
    pub fn kind(&mut self, kind: &Arc<str>, now: Instant) -> Option<(Level, Stats)> {
        self.forget(now);
        let stats = *self.kinds.get_mut(kind)?;
        let of = |record: &&CrashRecord| record.culprit.kind == *kind;
        let crashes = self.since(now, self.settings.device_window).filter(of).count();
        Some((self.settings.level_of(crashes), stats))
    }

    fn since(&self, now: Instant, window: Duration) -> impl Iterator<Item = &CrashRecord> {
        let recent = move |record: &&CrashRecord| now.saturating_duration_since(record.at) < window;
        self.crashes.iter().rev().take_while(recent)
    }

    fn forget(&mut self, now: Instant) {
        let keep_for = self.settings.keep_for;
        let is_old = |record: &CrashRecord| now.saturating_duration_since(record.at) >= keep_for;
        while self.crashes.front().is_some_and(is_old) {
            self.crashes.pop_front();
        }
    }
}

impl Stats {
    fn new(now: Instant) -> Self {
        Self {
            started: now,
            requests: 0,
            crashes: 0,
            out_of_memory: 0,
            last_healthy: None,
            last_active: None,
        }
    }

    fn count(&mut self, ended: &Ended<'_>, failed: bool) {
        let crashed = failed || HealthSettings::CRASHES.contains(ended.label);
        self.requests += 1;
        self.crashes += u64::from(crashed);
        let own = ended.label == Label::CrashedOutOfMemory;
        self.out_of_memory += u64::from(own || ended.sign == Some(Sign::OutOfMemory));
        self.last_active = Some(ended.at);
        if !crashed {
            self.last_healthy = Some(ended.at);
        }
    }
}

impl Filter {
    fn fits(&self, record: &CrashRecord) -> bool {
        self.device.as_ref().is_none_or(|device| record.device.as_ref() == Some(device))
            && self.program.as_ref().is_none_or(|program| record.program == *program)
            && self.worker.is_none_or(|worker| record.worker == worker)
            && self.label.is_none_or(|label| record.label == label)
            && self.since.is_none_or(|since| record.at >= since)
    }
}

#[cfg(test)]
mod tests;

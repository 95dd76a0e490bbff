//! The desk: every policy of an executor behind a lock of its own. Ask, act, tell; nothing is told under a lock.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::order::Order;
use crate::policy::breaker::{Breaker, BreakerSettings, Change, Mode, Permit};
use crate::policy::health::{CrashRecord, Ended, Health, HealthSettings};
use crate::policy::hedge::Times;
use crate::policy::keyed::Keyed;
use crate::policy::quarantine::{Culprit, Death, Quarantine, Standing};
use crate::policy::retry::{BudgetSettings, Decision, RetryBudget, Tried};
use crate::policy::signs::Sign;
use crate::policy::weight::Weight;
use crate::rejection::Rejection;
use crate::report::Report;
use crate::telemetry::{Happening, Telemetry};

use super::ledger::Ledger;
use super::settings::ExecutorSettings;

/// Breakers that are kept at most: the closed one that was not asked for longest goes first.
const MOST_BREAKERS: usize = 1_000;

/// Whose breaker is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    name: Arc<str>,
    /// Whether its task says more about it than its verdict: by its own words, or by signs of the user's.
    is_device: bool,
}

/// Whose breakers a task has to ask, each once: those of its program, of its caller's own key and of its device.
pub(super) fn keys(program: &Arc<str>, order: &Order) -> Vec<Key> {
    let (own, device) = (order.breaker.as_ref(), order.device.as_ref());
    let all = [(Some(program), false), (own, false), (device, true)];
    let mut keys: Vec<Key> = Vec::with_capacity(3);
    for (name, is_device) in all.into_iter().filter_map(|(name, it)| Some((name?, it))) {
        // Of two with one name there is one breaker, which hears of a task once.
        match keys.iter_mut().find(|key| key.name == *name) {
            Some(known) => known.is_device |= is_device,
            None => keys.push(Key { name: Arc::clone(name), is_device }),
        }
    }
    keys
}

struct Breakers {
    settings: Arc<BreakerSettings>,
    kept: Mutex<Keyed<Arc<str>, Breaker>>,
}

/// Kinds of tasks whose times are remembered at most.
const MOST_KINDS: usize = 1_000;

/// Everything an executor decides by.
pub(super) struct Desk {
    pub(super) settings: ExecutorSettings,
    pub(super) telemetry: Telemetry,
    pub(super) chance: Chance,
    breakers: Option<Breakers>,
    quarantine: Option<Mutex<Quarantine>>,
    budget: Mutex<Option<RetryBudget>>,
    health: Option<Mutex<Health>>,
    /// Where crashes are written down, and whether that was in vain last.
    ledger: Option<(Ledger, AtomicBool)>,
    /// The functions that may be called twice, as the guest said last.
    marked: Mutex<HashSet<String>>,
    /// How long tasks took, by their kind; only where it is asked.
    times: Option<Mutex<Keyed<Arc<str>, Times>>>,
}

/// Leave to try once, of every breaker that was asked. Dropped without a result, it changes nothing.
pub(super) struct Admission<'a> {
    desk: &'a Desk,
    permits: Vec<(Key, Permit)>,
}

impl Desk {
    pub(super) fn new(settings: ExecutorSettings, program: &Arc<str>) -> Self {
        let now = Instant::now();
        let on = settings.enabled;
        let mut health = settings.health.filter(|_| on).map(Health::new);
        let ledger = health.as_mut().and_then(|health| take_up(&settings, program, health));
        Self {
            telemetry: settings.pool.telemetry.clone(),
            chance: Chance::new(),
            breakers: settings.breaker.filter(|_| on).map(|breaker| Breakers {
                settings: Arc::new(breaker),
                kept: Mutex::new(Keyed::new(MOST_BREAKERS)),
            }),
            quarantine: settings
                .quarantine
                .filter(|_| on)
                .map(|of| Mutex::new(Quarantine::new(of))),
            budget: Mutex::new(
                settings
                    .retry
                    .map(|retry| retry.budget)
                    .or(settings.hedge.map(|_| BudgetSettings::default()))
                    .filter(|_| on)
                    .map(|budget| RetryBudget::new(budget, now)),
            ),
            health: health.map(Mutex::new),
            ledger: ledger.map(|ledger| (ledger, AtomicBool::new(false))),
            times: settings.hedge.filter(|_| on).map(|_| Mutex::new(Keyed::new(MOST_KINDS))),
            marked: Mutex::default(),
            settings,
        }
    }

    /// Asks the breaker of each key; all of them have to agree.
    pub(super) fn admit(
        &self,
        keys: &[Key],
        longest: Duration,
        now: Instant,
    ) -> Result<Admission<'_>, Rejection> {
        let mut admission = Admission { desk: self, permits: Vec::new() };
        for key in keys {
            let answer =
                self.with_breaker(&key.name, now, |it| it.admit(longest, now, self.chance.next()));
            match answer {
                None => return Ok(admission),
                Some(Ok(permit)) => admission.permits.push((key.clone(), permit)),
                Some(Err(refused)) => {
                    return Err(Rejection::CircuitOpen {
                        key: Arc::clone(&key.name),
                        state: refused.mode.name(),
                        retry_after: refused.retry_after,
                    });
                }
            }
        }
        Ok(admission)
    }

    pub(super) fn set_breaker(&self, key: &Arc<str>, mode: Mode) -> bool {
        let now = Instant::now();
        let set = |breaker: &mut Breaker| breaker.set(mode, now, self.chance.next());
        self.with_breaker(key, now, set).is_some()
    }

    /// The state of a breaker, and when time alone changes it next.
    pub(super) fn breaker(&self, key: &Arc<str>) -> Option<(Mode, Option<Instant>)> {
        let now = Instant::now();
        self.with_breaker(key, now, |breaker| {
            breaker.tick(now, self.chance.next());
            (breaker.mode(), breaker.next_change())
        })
    }

    fn with_breaker<T>(
        &self,
        key: &Arc<str>,
        now: Instant,
        act: impl FnOnce(&mut Breaker) -> T,
    ) -> Option<T> {
        let Breakers { settings, kept } = self.breakers.as_ref()?;
        let (done, changes) = {
            let mut breakers = lock(kept);
            let make = || Breaker::new(Arc::clone(settings), now);
            let breaker = breakers.entry(key, now, make, |breaker| breaker.mode() == Mode::Closed);
            let done = act(breaker);
            (done, breaker.take_changes().collect::<Vec<Change>>())
        };
        for change in changes {
            self.telemetry.tell(&Happening::BreakerChanged { key: Arc::clone(key), change });
        }
        Some(done)
    }

    /// How a task may run, or why it may not.
    pub(super) fn standing(&self, culprit: &Culprit, now: Instant) -> Result<Standing, Rejection> {
        let Some(quarantine) = &self.quarantine else { return Ok(Standing::Clear) };
        lock(quarantine).admit(culprit, now).map_err(|poison| Rejection::Quarantined {
            deaths: poison.deaths.len(),
            retry_after: poison.until.saturating_duration_since(now),
        })
    }

    pub(super) fn killed(&self, culprit: &Culprit, death: Death) {
        let Some(quarantine) = &self.quarantine else { return };
        if lock(quarantine).died(culprit, death) == Standing::Poison {
            let deaths = self.settings.quarantine.map_or(0, |settings| settings.poison_after);
            let culprit = culprit.clone();
            self.telemetry.tell(&Happening::QuarantineAdded { culprit, deaths });
        }
    }

    pub(super) fn quarantine(&self) -> Option<MutexGuard<'_, Quarantine>> {
        self.quarantine.as_ref().map(lock)
    }

    pub(super) fn deposit(&self, now: Instant) {
        if let Some(budget) = &mut *lock(&self.budget) {
            budget.deposit(now);
        }
    }

    /// What follows an attempt.
    pub(super) fn decide(&self, tried: &Tried, now: Instant) -> Option<Decision> {
        let settings = self.settings.retry?;
        let mut budget = lock(&self.budget);
        Some(settings.decide(tried, budget.as_mut()?, now, self.chance.next()))
    }

    /// Whether there may be one copy more.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        lock(&self.budget).as_mut().is_some_and(|budget| budget.withdraw(now))
    }

    /// A task of this kind ended well.
    pub(super) fn took(&self, kind: &Arc<str>, took: Duration, now: Instant) {
        if let Some(times) = &self.times {
            lock(times).entry(kind, now, Times::default, |_| false).record(took);
        }
    }

    /// When a task of this kind is late, if that is known.
    pub(super) fn late_after(&self, kind: &Arc<str>, now: Instant) -> Option<Duration> {
        let (settings, times) = (self.settings.hedge?, self.times.as_ref()?);
        lock(times).entry(kind, now, Times::default, |_| false).late_after(&settings)
    }

    /// Takes in what a guest said about its functions when it was started.
    pub(super) fn heard_marks(&self, report: &Report) {
        let said = &report.facts.idempotent;
        if said.is_empty() {
            return;
        }
        let mut marked = lock(&self.marked);
        if said.len() != marked.len() || !said.iter().all(|name| marked.contains(name)) {
            *marked = said.iter().cloned().collect();
        }
    }

    pub(super) fn is_marked(&self, function: &str) -> bool {
        lock(&self.marked).contains(function)
    }

    pub(super) fn with_health<T>(&self, act: impl FnOnce(&mut Health) -> T) -> Option<T> {
        let health = self.health.as_ref()?;
        let (done, alerts) = {
            let mut health = lock(health);
            let done = act(&mut health);
            (done, health.take_alerts().collect::<Vec<_>>())
        };
        for alert in alerts {
            self.telemetry.tell(&Happening::Health(alert));
        }
        Some(done)
    }

    pub(super) fn ended(&self, ended: &Ended<'_>, crash: impl FnOnce() -> CrashRecord) {
        if self.health.is_none() {
            return;
        }
        let failed = ended.sign == Some(Sign::Failed);
        let crashed = failed || HealthSettings::CRASHES.contains(ended.label);
        let record = crashed.then(crash);
        self.write_down(record.as_ref());
        self.with_health(|health| {
            health.ended(ended);
            record.into_iter().for_each(|record| health.crashed(record));
        });
    }

    fn write_down(&self, record: Option<&CrashRecord>) {
        let (Some((ledger, was_lost)), Some(record)) = (&self.ledger, record) else { return };
        match ledger.add(record) {
            Ok(()) => was_lost.store(false, Ordering::Relaxed),
            Err(_) if was_lost.swap(true, Ordering::Relaxed) => {}
            Err(error) => self.telemetry.tell(&Happening::HistoryLost { why: error.to_string() }),
        }
    }

    /// Takes in what the pool tells about its workers.
    pub(super) fn hear(&self, happening: &Happening) {
        let is_kept = self.settings.pool.keep.is_some();
        let now = Instant::now();
        match happening {
            Happening::WorkerStarted { worker } => {
                self.with_health(|health| health.worker_started(*worker, now));
            }
            Happening::WorkerCrashed { worker, .. } if !is_kept => {
                // Its next cell is open already: the worker lives.
                let _ = worker;
            }
            Happening::WorkerCrashed { worker, .. }
            | Happening::WorkerRecycled { worker, .. }
            | Happening::WorkerAbandoned { worker } => {
                self.with_health(|health| health.worker_ended(*worker));
            }
            _ => {}
        }
        self.telemetry.tell(happening);
    }
}

impl Admission<'_> {
    /// Says what came of it: for its device, and for everybody else who was asked.
    pub(super) fn record(
        mut self,
        weight: Weight,
        of_device: Weight,
        took: Duration,
        now: Instant,
    ) {
        for (key, permit) in std::mem::take(&mut self.permits) {
            let weight = if key.is_device { of_device } else { weight };
            let random = self.desk.chance.next();
            let told = |breaker: &mut Breaker| breaker.record(permit, weight, took, now, random);
            self.desk.with_breaker(&key.name, now, told);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.with_health(Health::end);
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        for (key, permit) in std::mem::take(&mut self.permits) {
            let now = Instant::now();
            self.desk.with_breaker(&key.name, now, |breaker| breaker.give_back(permit));
        }
    }
}

/// The file for crashes, if there is to be one; what it knows already is taken in.
fn take_up(settings: &ExecutorSettings, program: &Arc<str>, health: &mut Health) -> Option<Ledger> {
    let path = settings.history.as_ref()?;
    let opened = Ledger::open(path).and_then(|ledger| {
        let known = ledger.read(program, &settings.health.unwrap_or_default())?;
        Ok((ledger, known))
    });
    match opened {
        Ok((ledger, known)) => {
            health.restore(known);
            Some(ledger)
        }
        Err(error) => {
            let why = format!("`{}`: {error}", path.display());
            settings.pool.telemetry.tell(&Happening::HistoryLost { why });
            None
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Policies change by whole steps; a panic elsewhere leaves none of them half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What is under a pool's lock, and each change of it that more than one of its threads makes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::isolation::{Cell, StopHandle};
use crate::order::Order;
use crate::policy::restart::{Restart, Restarts};
use crate::rejection::Rejection;
use crate::report::Report;
use crate::telemetry::Happening;

use super::news::News;
use super::places::FAR;
use super::queue::{Key, Queue};
use super::settings::PoolSettings;
use super::shared::Shared;
use super::slots::{Place, Slot};
use super::spares::Spares;
use super::ticket::{Done, Promise};
use super::waiting::Waiting;

/// Everything under the lock.
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(super) queue: Queue<Waiting>,
    /// Tasks that came upon a guest that was gone, and how often each has; before all others.
    pub(super) returned: VecDeque<(Key, Waiting, u8)>,
    /// When tasks wait no longer.
    pub(super) deadlines: BTreeSet<(Instant, Key)>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) restarts: Restarts,
    pub(super) spares: Spares,
    /// Grows when others are replaced with a worker that died: guests that began to be made before go with it, too.
    pub(super) epoch: u64,
    /// Guests that are no more of use, at places that have nobody to clear them away: whoever comes next does it.
    pub(super) spent: Vec<Box<dyn Cell>>,
    pub(super) finished: u64,
    pub(crate) abandoned: u64,
    /// When it was made.
    pub(super) born: Instant,
    pub(super) next_worker: u64,
    /// Callers that wait for room.
    pub(super) blocked: usize,
    /// The same without a thread: each is woken in its turn.
    pub(super) at_door: BTreeMap<u64, Waker>,
    /// Whom the supervisor wakes, and when.
    pub(super) alarms: BTreeMap<(Instant, u64), Waker>,
    pub(super) next_waiter: u64,
    /// Places whose worker waits for a task, and those whose worker has something else to do but no task: each with a
    /// cell that may be lent.
    pub(super) idle: Vec<usize>,
    pub(super) away: Vec<usize>,
    /// The worker to be called when the lock is given back.
    pub(super) called: Option<usize>,
    /// Whether only those tasks begin that somebody waits for, and who they are.
    pub(super) holds_back: bool,
    pub(super) hurried: BTreeSet<Key>,
    /// Whether one more begins, so that there is room for somebody.
    pub(super) makes_room: bool,
    /// When the supervisor looks again by itself.
    pub(crate) watched_at: Option<Instant>,
    /// Whether there is no thread for the supervisor.
    pub(crate) is_unwatched: bool,
    /// What is to be given once the lock is free.
    pub(super) outbox: Outbox,
    pub(super) news: News,
    pub(super) threads: Vec<(Place, JoinHandle<()>)>,
}

/// How far a pool is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    Draining,
    Closed,
}

pub(super) enum Out {
    Report(Arc<Promise>, Box<Done>),
    Wake(Waker),
}

/// Most often it is one thing, for which nothing is allocated.
#[derive(Default)]
pub(super) struct Outbox {
    first: Option<Out>,
    more: Vec<Out>,
}

impl Outbox {
    pub(super) fn push(&mut self, out: Out) {
        match &self.first {
            None => self.first = Some(out),
            Some(_) => self.more.push(out),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = Out> {
        self.first.into_iter().chain(self.more)
    }
}

impl State {
    pub(super) fn new(settings: &PoolSettings) -> Self {
        let workers = settings.workers.max(1);
        Self {
            phase: Phase::Open,
            queue: Queue::new(settings.queue.max(1), settings.queue_bytes),
            returned: VecDeque::new(),
            deadlines: BTreeSet::new(),
            slots: (0..workers).map(|_| Slot::new()).collect(),
            restarts: Restarts::new(settings.restart),
            spares: Spares::new(settings.spares, settings.restart),
            epoch: 0,
            spent: Vec::new(),
            finished: 0,
            abandoned: 0,
            born: Instant::now(),
            next_worker: 0,
            blocked: 0,
            at_door: BTreeMap::new(),
            alarms: BTreeMap::new(),
            next_waiter: 0,
            idle: Vec::new(),
            away: Vec::new(),
            holds_back: false,
            called: None,
            hurried: BTreeSet::new(),
            makes_room: false,
            watched_at: None,
            is_unwatched: false,
            outbox: Outbox::default(),
            news: News::default(),
            threads: Vec::new(),
        }
    }

    pub(super) fn admits(
        &mut self,
        order: &Order,
        bytes: u64,
        now: Instant,
    ) -> Result<(), Rejection> {
        match self.phase {
            Phase::Open => {}
            Phase::Draining => return Err(Rejection::Draining),
            Phase::Closed => return Err(Rejection::ShutDown),
        }
        if order.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Rejection::DeadlinePassed);
        }
        if self.is_lost() {
            return Err(Rejection::NoWorkers);
        }
        self.queue.admits(bytes)
    }

    /// Whether there is no worker, and never will be by itself.
    pub(super) fn is_lost(&self) -> bool {
        self.slots.iter().all(|slot| slot.restart == Some(Restart::Never))
    }

    /// Whether there are guests to be cleared away, and no worker will ever come by.
    pub(crate) fn is_left_alone(&self) -> bool {
        !self.spent.is_empty() && self.is_lost()
    }

    /// Whether the thread of a place has nothing left to do.
    pub(super) fn is_over(&self, place: Place) -> bool {
        self.phase != Phase::Open || self.slots[place.slot].generation != place.generation
    }

    /// Whether threads of workers are there yet, beside the caller's own.
    pub(super) fn has_threads(&self) -> bool {
        let own = std::thread::current().id();
        let is_here = |place: &Place| self.slots[place.slot].generation == place.generation;
        let mut threads = self.threads.iter().filter(|(place, _)| is_here(place));
        threads.any(|(_, thread)| !thread.is_finished() && thread.thread().id() != own)
    }

    /// Whether a place has a thread of its own.
    pub(super) fn has_thread(&self, slot: usize) -> bool {
        let generation = self.slots[slot].generation;
        let is_of = |place: &Place| (place.slot, place.generation) == (slot, generation);
        self.threads.iter().any(|(place, thread)| is_of(place) && !thread.is_finished())
    }

    /// The threads of all workers that were not given up.
    pub(super) fn take_threads(&mut self) -> Vec<JoinHandle<()>> {
        let threads = std::mem::take(&mut self.threads).into_iter();
        let is_here = |place: &Place| self.slots[place.slot].generation == place.generation;
        threads.filter(|(place, _)| is_here(place)).map(|(_, thread)| thread).collect()
    }

    pub(super) fn number_worker(&mut self) -> u64 {
        self.next_worker += 1;
        self.next_worker
    }

    /// Has a report given, of a task that ran on this worker or on none.
    pub(super) fn answer(
        &mut self,
        shared: &Shared,
        promise: Arc<Promise>,
        report: Report,
        worker: Option<u64>,
        order: &Order,
    ) {
        let done = Done { report, worker, hold: None, hooks: None };
        self.keep(shared, promise, Box::new(done), order);
    }

    /// Puts a report into the outbox: the only way a promise is kept.
    pub(super) fn keep(
        &mut self,
        shared: &Shared,
        promise: Arc<Promise>,
        mut done: Box<Done>,
        order: &Order,
    ) {
        done.hooks.clone_from(&order.hooks);
        done.hold = Some(self.count_unread(shared, &done.report));
        self.finished += 1;
        let (worker, report) = (done.worker, &done.report);
        let (label, took) = (report.verdict.label(), report.usage.wall);
        self.tell(shared, || Happening::TaskFinished {
            task: report.task.id.clone(),
            worker,
            label,
            took,
        });
        self.outbox.push(Out::Report(promise, done));
    }

    pub(crate) fn tell(&mut self, shared: &Shared, happening: impl FnOnce() -> Happening) {
        if shared.settings.telemetry.is_heard() {
            self.news.add(happening());
        }
    }

    /// Nanoseconds of its life.
    pub(super) fn age(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether a task waits for a worker.
    pub(super) fn has_waiting(&self) -> bool {
        let is_one_due = !self.holds_back || self.lets_one_begin();
        let queued = if is_one_due { self.queue.waiting() } else { self.hurried.len() };
        !self.returned.is_empty() || queued > 0
    }

    /// The next task that may begin, and how often it came back.
    pub(super) fn next(&mut self) -> Option<(Key, Waiting, u8)> {
        if !self.holds_back || !self.returned.is_empty() {
            return self.next_of_all();
        }
        while let Some(key) = self.hurried.pop_first() {
            if let Some(waiting) = self.take_out(&key) {
                return Some((key, waiting, 0));
            }
        }
        if self.lets_one_begin() {
            self.makes_room = false;
            return self.next_of_all();
        }
        None
    }

    /// Takes the next task out of the queue, and says how often it came back.
    pub(super) fn next_of_all(&mut self) -> Option<(Key, Waiting, u8)> {
        let first = self.returned.pop_front();
        let (key, waiting, returns) = match first {
            Some(returned) => returned,
            None => self.queue.pop().map(|(key, waiting)| (key, waiting, 0))?,
        };
        if let Some(until) = waiting.until() {
            self.deadlines.remove(&(until, key.clone()));
        }
        Some((key, waiting, returns))
    }

    /// Takes one task out of the queue, wherever it stands.
    pub(super) fn take_out(&mut self, key: &Key) -> Option<Waiting> {
        let returned = self.returned.iter().position(|(of, ..)| of == key);
        let waiting = match returned.and_then(|at| self.returned.remove(at)) {
            Some((_, waiting, _)) => waiting,
            None => self.queue.remove(key)?,
        };
        if let Some(until) = waiting.until() {
            self.deadlines.remove(&(until, key.clone()));
        }
        Some(waiting)
    }

    /// There is room in the queue.
    pub(super) fn let_in(&mut self, shared: &Shared) {
        if self.blocked > 0 {
            shared.room.notify_all();
        }
        self.wake_one_at_door();
    }

    pub(crate) fn reject(&mut self, shared: &Shared, waiting: Waiting, why: &Rejection) {
        let (order, promise) = waiting.into_parts();
        let report = shared.source.unrun(&order, why.to_evidence());
        self.answer(shared, promise, report, None, &order);
        self.let_in(shared);
    }

    pub(super) fn reject_waiting(&mut self, shared: &Shared, why: &Rejection) -> usize {
        let mut count = 0;
        while let Some((_, waiting, _)) = self.next_of_all() {
            self.reject(shared, waiting, why);
            count += 1;
        }
        count
    }

    /// Those that have waited for too long have their report; says when the next one will.
    pub(crate) fn expire(&mut self, shared: &Shared, now: Instant) -> Option<Instant> {
        while let Some((deadline, key)) = self.deadlines.first().cloned() {
            if deadline > now {
                return Some(deadline);
            }
            self.deadlines.pop_first();
            if let Some(waiting) = self.take_out(&key) {
                let why = waiting.why_late(now, shared.settings.queue_time);
                self.reject(shared, waiting, &why);
            }
        }
        None
    }

    /// Has the supervisor look at this time, or earlier. Most tasks are over long before, and don't wake it.
    pub(super) fn watch_at(&mut self, shared: &Shared, at: Instant) {
        if self.watched_at.is_none_or(|watched| at < watched) {
            self.watched_at = Some(at);
            match self.is_unwatched {
                true => shared.wake_all(),
                false => shared.watch.notify_one(),
            }
        }
    }

    /// The tasks that run and are none of these.
    pub(super) fn running_besides(&self, others: &[Key]) -> Vec<Key> {
        let running = self.slots.iter().filter_map(|slot| slot.running.as_ref());
        running.map(|running| &running.key).filter(|key| !others.contains(key)).cloned().collect()
    }

    /// The handles of tasks that run and are to stop. From now on they are watched for it.
    pub(super) fn stop_running(
        &mut self,
        shared: &Shared,
        which: impl Fn(&Key) -> bool,
    ) -> Vec<StopHandle> {
        let due = Instant::now() + shared.settings.patience;
        let running = self.slots.iter_mut().filter_map(|slot| slot.running.as_mut());
        let mut first = None;
        let stopped = running
            .filter(|running| which(&running.key))
            .map(|running| {
                // Its wall keeps both times, and all others.
                let left = running.limits.grace.min(running.limits.wall);
                let due = due.checked_add(left).unwrap_or(due + FAR);
                first = first.into_iter().chain([due]).min();
                (running.asked, running.due) = (true, due);
                running.stop.clone()
            })
            .collect();
        first.into_iter().for_each(|due| self.watch_at(shared, due));
        stopped
    }
}

//! What becomes of the places of workers: a task for one that is idle, a worker for one that is empty.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::evidence::StopReason;
use crate::isolation::{Cell, LoadError, StopHandle};
use crate::label::Label;
use crate::limits::Limits;
use crate::order::Order;
use crate::policy::restart::Strategy;
use crate::policy::weight::Weight;
use crate::rejection::Rejection;
use crate::telemetry::Happening;

use super::queue::Key;
use super::settings::WorkerState;
use super::shared::Shared;
use super::slots::{Aging, Place, Running, Slot};
use super::source::vanished;
use super::state::{Phase, State};
use super::ticket::{Done, Promise};
use super::waiting::Waiting;

/// A task whose turn it is, and how often it came back.
pub(super) struct Next {
    pub(super) key: Key,
    pub(super) order: Order,
    pub(super) promise: Arc<Promise>,
    pub(super) returns: u8,
}

/// A task that runs from now on, and what it takes.
pub(super) struct Begun {
    pub(super) order: Arc<Order>,
    pub(super) limits: Limits,
    pub(super) stop: StopHandle,
    /// A guest that is there already, for this task alone.
    pub(super) spare: Option<Box<dyn Cell>>,
    /// Where its guest has begun with it already: when, and how much of others' words there may be.
    pub(super) taken_up: Option<(Instant, u64)>,
}

impl State {
    /// The next task for a worker that is idle.
    pub(super) fn take(&mut self, shared: &Shared, place: Place, now: Instant) -> Option<Begun> {
        loop {
            let (key, waiting, returns) = self.next()?;
            if waiting.until().is_some_and(|until| until <= now) {
                let why = waiting.why_late(now, shared.settings.queue_time);
                self.reject(shared, waiting, &why);
                continue;
            }
            self.let_in(shared);
            let (order, promise) = waiting.into_parts();
            return Some(self.begin(shared, place, Next { key, order, promise, returns }, now));
        }
    }

    /// A worker, or whoever stands in for it, runs this task from now on.
    pub(super) fn begin(
        &mut self,
        shared: &Shared,
        place: Place,
        Next { key, order, promise, returns }: Next,
        now: Instant,
    ) -> Begun {
        let mut limits = shared.source.limits(&order, now);
        if let Some(grace) = shared.settings.grace.filter(|_| order.task.limits.is_none()) {
            limits.grace = grace;
        }
        let since = promise.since;
        let (order, stop) = (Arc::new(order), StopHandle::new());
        let due = now.checked_add(limits.wall.saturating_add(shared.settings.patience));
        // A wall time beyond all clocks is never late.
        let due = due.unwrap_or(now + FAR);
        let slot = &mut self.slots[place.slot];
        // A caller who has its cell may make a task of what he does there after a drain has begun.
        if slot.state() != WorkerState::Draining {
            slot.turn(WorkerState::Busy);
        }
        slot.device.clone_from(&order.device);
        slot.running = Some(Running {
            order: Arc::clone(&order),
            promise,
            key,
            limits: limits.clone(),
            stop: stop.clone(),
            began: now,
            due,
            returns,
            asked: false,
            cancelled: None,
        });
        let (worker, task) = (slot.worker.unwrap_or_default(), order.task.id.clone());
        self.watch_at(shared, due);
        let waited = Duration::from_nanos(self.age(now).saturating_sub(since));
        self.tell(shared, || Happening::TaskStarted { task, worker, waited });
        let spare = match shared.settings.keep {
            Some(_) => None,
            None => self.spares.take_for(&order.task.entry, &limits).map(|ready| ready.cell),
        };
        Begun { order, limits, stop, spare, taken_up: None }
    }

    /// A place has a cell, which may be kept for so long.
    pub(super) fn is_ready(&mut self, shared: &Shared, place: Place, age: Aging) {
        let now = Instant::now();
        let numbered = self.slots[place.slot].worker;
        let worker = numbered.unwrap_or_else(|| self.number_worker());
        let slot = &mut self.slots[place.slot];
        (slot.age, slot.goes_with) = (age, None);
        if slot.state() != WorkerState::Starting {
            slot.turn(WorkerState::Starting);
        }
        slot.turn(WorkerState::Idle);
        slot.worker = Some(worker);
        (slot.restart, slot.has_failed) = (None, false);
        let empty = slot.empty_since.take();
        self.restarts.ready(&mut slot.past, now);
        if numbered.is_none() {
            slot.started = Some(now);
            self.tell(shared, || Happening::WorkerStarted { worker });
        }
        if let Some(since) = empty {
            let after = now.saturating_duration_since(since);
            self.tell(shared, || Happening::WorkerRestarted { worker, after });
        }
    }

    /// Gives a task back that no guest has read: it is the next one, for whichever worker comes first. Not for ever: there
    /// may be a reason that nobody knows. One that is about to be stopped has its report instead.
    pub(super) fn give_back(&mut self, shared: &Shared, place: Place, has_cell: bool) -> bool {
        let slot = &mut self.slots[place.slot];
        let is_open = self.phase == Phase::Open && slot.generation == place.generation;
        let again = |running: &mut Running| {
            let is_new = running.returns < MOST_RETURNS && running.stop.reason().is_none();
            is_open && (running.asked || is_new)
        };
        let (Some(running), worker) = (slot.running.take_if(again), slot.worker) else {
            return false;
        };
        if running.asked {
            // Whoever told it so has told nobody, as no guest has read it.
            let evidence = vanished(running.cancelled.or(Some(StopReason::WallTime)));
            let report = shared.source.report(&running.order, running.limits, evidence);
            self.answer(shared, running.promise, report, worker, &running.order);
        } else {
            self.put_back(shared, running, worker.unwrap_or_default());
        }
        if shared.settings.keep.is_some() {
            self.buried(shared, place);
        } else {
            self.slots[place.slot].turn(after(has_cell));
        }
        true
    }

    fn put_back(&mut self, shared: &Shared, running: Running, worker: u64) {
        let Running { order, promise, key, returns, .. } = running;
        let order = Arc::unwrap_or_clone(order);
        let (task, over) = (order.task.id.clone(), shared.over(&order, Instant::now()));
        let waiting = Waiting::new(order, promise, over);
        if let Some(until) = waiting.until() {
            self.deadlines.insert((until, key.clone()));
            self.watch_at(shared, until);
        }
        self.returned.push_back((key, waiting, returns + 1));
        self.tell(shared, || Happening::TaskReturned { task, worker });
        self.call_one(shared);
    }

    /// A task is about to be told to stop: were it given back first, nobody would know of that.
    pub(super) fn note_cancel(&mut self, key: &Key, reason: StopReason) {
        let running = self.slots.iter_mut().filter_map(|slot| slot.running.as_mut());
        for running in running.filter(|running| running.key == *key) {
            running.cancelled = running.cancelled.or(Some(reason));
        }
    }

    /// Takes the report of a task. Says whether the worker is still wanted.
    pub(super) fn finish(
        &mut self,
        shared: &Shared,
        place: Place,
        mut done: Box<Done>,
        has_cell: bool,
    ) -> bool {
        let slot = &mut self.slots[place.slot];
        if slot.generation != place.generation {
            // It was given up, and somebody else has reported its task.
            return false;
        }
        slot.tasks += 1;
        let (running, worker, label) =
            (slot.running.take(), slot.worker, done.report.verdict.label());
        let broke = Weight::of(label, Weight::FAILURES) == Weight::Failure;
        let crashed = broke.then(|| done.report.task.id.clone());
        done.worker = worker;
        let was_stopped = done.report.facts.stopped_by_us.is_some();
        let is_alone = running.as_ref().is_some_and(|running| running.order.alone);
        let why = match (was_stopped, is_alone) {
            (true, _) => "its task was stopped",
            (false, true) => "its task was to be alone with it",
            (false, false) => "it has left",
        };
        if let Some(Running { promise, order, .. }) = running {
            self.keep(shared, promise, done, &order);
        }
        if let (Some(worker), Some(task)) = (worker, crashed) {
            let task = Some(task);
            self.tell(shared, || Happening::WorkerCrashed { worker, task, label });
        }
        let is_kept = shared.settings.keep.is_some();
        if broke && is_kept && !has_cell {
            self.died(shared, place);
        } else {
            // A fresh cell has done what it was for; so has a guest that left in order, or was told to.
            let slot = &mut self.slots[place.slot];
            slot.turn(after(has_cell));
            if is_kept
                && !has_cell
                && let Some(worker) = slot.worker.take()
            {
                self.tell(shared, || Happening::WorkerRecycled { worker, why: why.to_owned() });
            }
        }
        true
    }

    /// The wall has panicked where nobody expects it: that is the end of the worker, and of the task it ran.
    pub(super) fn stumbled(&mut self, shared: &Shared, place: Place) {
        let slot = &mut self.slots[place.slot];
        if slot.state() == WorkerState::Ended {
            return;
        }
        slot.spent.extend(slot.cell.take());
        let (running, worker) = (slot.running.take(), slot.worker);
        let (mut task, mut label) = (None, Label::CrashedUnknown);
        if let Some(running) = running {
            let evidence = vanished(running.stop.reason());
            let report = shared.source.report(&running.order, running.limits, evidence);
            (task, label) = (Some(report.task.id.clone()), report.verdict.label());
            self.answer(shared, running.promise, report, worker, &running.order);
        }
        if self.slots[place.slot].state() != WorkerState::Crashed {
            if let Some(worker) = worker {
                self.tell(shared, || Happening::WorkerCrashed { worker, task, label });
            }
            self.died(shared, place);
        }
    }

    /// A guest that was kept has ended while it had no task.
    pub(super) fn buried(&mut self, shared: &Shared, place: Place) {
        if let Some(worker) = self.slots[place.slot].worker {
            let label = Label::CrashedUnknown;
            self.tell(shared, || Happening::WorkerCrashed { worker, task: None, label });
        }
        self.died(shared, place);
    }

    /// A guest that was kept is dead, or its thread was given up.
    pub(crate) fn died(&mut self, shared: &Shared, place: Place) {
        let (now, random) = (Instant::now(), shared.chance.next());
        let slot = &mut self.slots[place.slot];
        slot.turn(WorkerState::Crashed);
        let dead = slot.worker.take();
        let went = slot.goes_with.take().is_some();
        slot.empty_since = Some(now);
        slot.restart = Some(self.restarts.died(&mut slot.past, now, random));
        if !went {
            // What shared with it is replaced already, or will be, and its successors share nothing with it.
            self.take_along(shared, place.slot, dead);
        }
        if self.is_lost() {
            self.reject_waiting(shared, &Rejection::NoWorkers);
        }
    }

    /// Has those replaced that go with one that died: each when it has no task, which is no death of it, and each that is
    /// being made as soon as it is there. Whoever begins later goes on.
    fn take_along(&mut self, shared: &Shared, slot: usize, dead: Option<u64>) {
        let Some(dead) = dead.filter(|_| shared.settings.goes_together()) else { return };
        let goes = match shared.settings.restart.strategy {
            Strategy::OneForOne => return,
            Strategy::RestForOne => |worker: u64, dead: u64| worker > dead,
            Strategy::OneForAll => |_: u64, _: u64| true,
        };
        let others = self.slots.iter_mut().enumerate().filter(|(at, _)| *at != slot);
        for (_, other) in others.filter(|(_, it)| it.worker.is_some_and(|it| goes(it, dead))) {
            other.goes_with.get_or_insert(dead);
        }
        self.epoch += 1;
        // Nobody has used these, but they may share with the others what this one broke.
        let spares = self.spares.give_up();
        self.slots[slot].spent.extend(spares);
        self.look_after_guests(shared);
    }

    /// No cell could be opened. Says who is to be told, which is done without the lock: what was seen may be much. After some of these in a row, those who wait are told what was said; at once if it took the
    /// whole wall time and nobody else may come to have them, for they are not to wait for that once more.
    pub(super) fn failed_to_start(
        &mut self,
        shared: &Shared,
        place: Place,
        error: &LoadError,
    ) -> Vec<Waiting> {
        let (now, random) = (Instant::now(), shared.chance.next());
        let slot = &mut self.slots[place.slot];
        slot.turn(WorkerState::Crashed);
        let (restart, tell) = self.restarts.failed_to_start(&mut slot.past, now, random);
        (slot.restart, slot.has_failed) = (Some(restart), true);
        slot.empty_since.get_or_insert(now);
        self.tell(shared, || Happening::WorkerFailedToStart { why: error.to_string() });
        let took_all = error.stop_reason() == Some(StopReason::WallTime);
        let tell = tell || took_all && !self.slots.iter().any(Slot::may_serve);
        let mut told = Vec::new();
        while tell && let Some((_, waiting, _)) = self.next_of_all() {
            told.push(waiting);
            self.let_in(shared);
        }
        told
    }

    /// The thread of a place neither answers nor dies: its task is reported, and somebody else takes its place.
    pub(crate) fn give_up(&mut self, shared: &Arc<Shared>, slot: usize) {
        let place = &mut self.slots[slot];
        let (Some(running), worker) = (place.running.take(), place.worker) else { return };
        place.generation += 1;
        // Whoever has its cell keeps it, and whoever waited for that has nothing left to wait for.
        (place.is_lent, place.rest) = (false, None);
        shared.bells[slot].notify_all();
        let reason = running.stop.reason().or(Some(StopReason::WallTime));
        let evidence = vanished(reason);
        let report = shared.source.report(&running.order, running.limits, evidence);
        self.answer(shared, running.promise, report, worker, &running.order);
        self.abandoned += 1;
        if let Some(worker) = worker {
            self.tell(shared, || Happening::WorkerAbandoned { worker });
        }
        let generation = self.slots[slot].generation;
        self.died(shared, Place { slot, generation });
        shared.start_worker(self, slot);
        shared.notify_calm(self);
    }
}

/// What a worker is after a task that was not its end: there is a cell for the next one, or it gets one.
const fn after(has_cell: bool) -> WorkerState {
    if has_cell { WorkerState::Idle } else { WorkerState::Starting }
}

/// So often a task may come upon a guest that is gone.
const MOST_RETURNS: u8 = 3;

/// Longer than any task runs.
pub(super) const FAR: Duration = Duration::from_secs(365 * 24 * 3_600);

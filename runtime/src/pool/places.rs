//! What becomes of the places of workers: a task for one that is idle, a worker for one that is empty.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::evidence::StopReason;
use crate::isolation::{LoadError, StopHandle};
use crate::label::Label;
use crate::rejection::Rejection;
use crate::task::Entry;
use crate::telemetry::Happening;

use super::settings::WorkerState;
use super::shared::Shared;
use super::slots::{Place, Running, Waiting};
use super::source::vanished;
use super::state::{Phase, State};
use super::worker::Turn;

impl State {
    /// The next task for a worker that is idle.
    pub(super) fn take(&mut self, shared: &Shared, place: Place, now: Instant) -> Option<Turn> {
        loop {
            let (key, waiting, returns) = self.next()?;
            if waiting.order.deadline.is_some_and(|deadline| deadline <= now) {
                self.reject(shared, waiting, &Rejection::DeadlinePassed);
                continue;
            }
            self.let_in(shared);
            let limits = shared.source.limits(&waiting.order, now);
            let since = waiting.promise.since;
            let (order, stop) = (Arc::new(waiting.order), StopHandle::new());
            let due = now.checked_add(limits.wall.saturating_add(shared.settings.patience));
            // A wall time beyond all clocks is never late.
            let due = due.unwrap_or(now + FAR);
            let slot = &mut self.slots[place.slot];
            slot.turn(WorkerState::Busy);
            slot.running = Some(Running {
                order: Arc::clone(&order),
                promise: waiting.promise,
                key,
                limits: limits.clone(),
                stop: stop.clone(),
                began: now,
                due,
                returns,
                asked: false,
            });
            let (worker, task) = (slot.worker.unwrap_or_default(), order.task.id.clone());
            self.watch_at(shared, due);
            let waited = Duration::from_nanos(self.age(now).saturating_sub(since));
            self.tell(shared, || Happening::TaskStarted { task, worker, waited });
            let is_call = matches!(order.task.entry, Entry::Invoke { .. });
            let takes_spare = shared.settings.keep.is_none() && is_call;
            let spare = if takes_spare { self.spares.take() } else { None };
            return Some(Turn::Run { order, limits, stop, spare });
        }
    }

    pub(super) fn is_ready(&mut self, shared: &Shared, place: Place) {
        let now = Instant::now();
        let numbered = self.slots[place.slot].worker;
        let worker = numbered.unwrap_or_else(|| self.number_worker());
        let slot = &mut self.slots[place.slot];
        if slot.state() != WorkerState::Starting {
            slot.turn(WorkerState::Starting);
        }
        slot.turn(WorkerState::Idle);
        slot.worker = Some(worker);
        slot.restart = None;
        let empty = slot.empty_since.take();
        self.restarts.ready(&mut slot.past, now);
        if numbered.is_none() {
            self.tell(shared, || Happening::WorkerStarted { worker });
        }
        if let Some(since) = empty {
            let after = now.saturating_duration_since(since);
            self.tell(shared, || Happening::WorkerRestarted { worker, after });
        }
    }

    /// Gives a task back that no guest has read: it is the next one, for whichever worker comes first. Not for ever: there
    /// may be a reason that nobody knows.
    pub(super) fn give_back(&mut self, shared: &Shared, place: Place) -> bool {
        let slot = &mut self.slots[place.slot];
        let is_open = self.phase == Phase::Open && slot.generation == place.generation;
        let again = |running: &mut Running| {
            is_open && running.returns < MOST_RETURNS && running.stop.reason().is_none()
        };
        let (Some(running), worker) = (slot.running.take_if(again), slot.worker) else {
            return false;
        };
        let Running { order, promise, key, returns, .. } = running;
        let order = Arc::unwrap_or_clone(order);
        if let Some(deadline) = order.deadline {
            self.deadlines.insert((deadline, key.clone()));
            self.watch_at(shared, deadline);
        }
        let task = order.task.id.clone();
        self.returned.push_back((key, Waiting { order, promise }, returns + 1));
        let worker = worker.unwrap_or_default();
        self.tell(shared, || Happening::TaskReturned { task, worker });
        if self.idle > 0 {
            shared.work.notify_one();
        }
        true
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
        slot.worker = None;
        slot.empty_since = Some(now);
        slot.restart = Some(self.restarts.died(&mut slot.past, now, random));
        if self.is_lost() {
            self.reject_waiting(shared, &Rejection::NoWorkers);
        }
    }

    /// No cell could be opened. After some of these in a row, those who wait are told what was said.
    pub(super) fn failed_to_start(&mut self, shared: &Shared, place: Place, error: &LoadError) {
        let (now, random) = (Instant::now(), shared.chance.next());
        let slot = &mut self.slots[place.slot];
        slot.turn(WorkerState::Crashed);
        let (restart, tell) = self.restarts.failed_to_start(&mut slot.past, now, random);
        slot.restart = Some(restart);
        slot.empty_since.get_or_insert(now);
        self.tell(shared, || Happening::WorkerFailedToStart { why: error.to_string() });
        while tell && let Some((_, waiting, _)) = self.next() {
            let report = shared.source.unrun(&waiting.order, error.clone().into_evidence());
            self.answer(shared, waiting.promise, report, None);
            self.let_in(shared);
        }
    }

    /// The thread of a place neither answers nor dies: its task is reported, and somebody else takes its place.
    pub(crate) fn give_up(&mut self, shared: &Arc<Shared>, slot: usize) {
        let place = &mut self.slots[slot];
        let (Some(running), worker) = (place.running.take(), place.worker) else { return };
        place.generation += 1;
        let reason = running.stop.reason().or(Some(StopReason::WallTime));
        let evidence = vanished(reason);
        let report = shared.source.report(&running.order, running.limits, evidence);
        self.answer(shared, running.promise, report, worker);
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

/// So often a task may come upon a guest that is gone.
const MOST_RETURNS: u8 = 3;

/// Longer than any task runs.
const FAR: Duration = Duration::from_secs(365 * 24 * 3_600);

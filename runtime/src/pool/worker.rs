//! A worker: a thread with a cell. It gets a cell, takes a task, runs it, says how it ended, and begins again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::evidence::StopReason;
use crate::isolation::{Cell, LoadError, StopHandle, Vitals};
use crate::limits::Limits;
use crate::order::Order;
use crate::policy::restart::Restart;
use crate::policy::weight::Weight;
use crate::rejection::Rejection;
use crate::report::Report;
use crate::telemetry::Happening;

use super::settings::WorkerState;
use super::shared::Shared;
use super::slots::{Place, Running};
use super::source::vanished;
use super::state::State;

/// What a worker does next.
enum Turn {
    Run {
        order: Arc<Order>,
        limits: Limits,
        stop: StopHandle,
    },
    /// Its cell is used up.
    Recycle(String),
    /// It has time to make a spare.
    MakeSpare,
    End,
}

/// The life of a worker's thread. A wall that panics where nobody expects it (its cell is dropped, or asked how it is)
/// costs this worker and the task it ran, and the next one stands in the same place.
pub(super) fn work(shared: &Arc<Shared>, place: Place) {
    while catch_unwind(AssertUnwindSafe(|| live(shared, place))).is_err() {
        shared.stumbled(place);
    }
}

fn live(shared: &Arc<Shared>, place: Place) {
    let mut held: Option<Box<dyn Cell>> = None;
    loop {
        let mut cell = match held.take() {
            Some(cell) => cell,
            None => match shared.obtain(place) {
                Some(cell) => cell,
                None => return,
            },
        };
        match shared.next_turn(place, &*cell) {
            Turn::Run { order, limits, stop } => {
                let report = shared.run(&mut cell, &order, &limits, &stop);
                let goes_on = shared.settings.keep.is_some() && cell.is_usable() && !order.alone;
                if !shared.finish(place, report, goes_on) {
                    return;
                }
                // What a cell holds is given back while others go on.
                held = goes_on.then_some(cell);
            }
            Turn::Recycle(why) => shared.recycled(place, why),
            Turn::MakeSpare => {
                shared.make_spare();
                held = Some(cell);
            }
            Turn::End => return,
        }
    }
}

impl Shared {
    /// A cell for a place: a spare, or a new one as soon as there may be one. None if the worker's time is over.
    fn obtain(&self, place: Place) -> Option<Box<dyn Cell>> {
        let mut state = self.lock();
        loop {
            if state.is_over(place) {
                self.end(state, place);
                return None;
            }
            if let Some(spare) = state.spares.pop() {
                state.is_ready(self, place);
                self.release(state);
                return Some(spare);
            }
            match state.slots[place.slot].restart {
                Some(Restart::Never) => {
                    state = self.pause(state, &self.rest, None);
                    continue;
                }
                Some(Restart::At(at)) if at > Instant::now() => {
                    state = self.pause(state, &self.rest, Some(at));
                    continue;
                }
                Some(Restart::At(_)) | None => {}
            }
            state.slots[place.slot].turn(WorkerState::Starting);
            self.release(state);
            let opened = self.source.open(self.settings.keep.is_some());
            state = self.lock();
            if state.is_over(place) {
                continue;
            }
            match opened {
                Ok(cell) => {
                    state.is_ready(self, place);
                    self.release(state);
                    return Some(cell);
                }
                Err(error) => state.failed_to_start(self, place, &error),
            }
        }
    }

    fn next_turn(&self, place: Place, cell: &dyn Cell) -> Turn {
        let mut state = self.lock();
        loop {
            if state.is_over(place) {
                self.end(state, place);
                return Turn::End;
            }
            let now = Instant::now();
            if let Some(why) = self.used_up(cell) {
                self.release(state);
                return Turn::Recycle(why);
            }
            if let Some(turn) = state.take(self, place, now) {
                self.release(state);
                return turn;
            }
            let wanted = self.settings.keep.map_or(0, |_| self.settings.spares);
            if state.spares.len() < wanted && state.next_spare.is_none_or(|at| at <= now) {
                self.release(state);
                return Turn::MakeSpare;
            }
            let until = self
                .settings
                .keep
                .and_then(|reuse| now.checked_add(reuse.max_age.saturating_sub(cell.vitals().age)));
            state.idle += 1;
            state = self.pause(state, &self.work, until);
            state.idle -= 1;
        }
    }

    /// Runs a task in the worker's own cell.
    fn run(
        &self,
        cell: &mut Box<dyn Cell>,
        order: &Order,
        limits: &Limits,
        stop: &StopHandle,
    ) -> Report {
        if self.settings.keep.is_some() && order.alone && cell.vitals().tasks_run > 0 {
            // It brings a past that this task shall not see.
            match self.source.open(true) {
                Ok(fresh) => *cell = fresh,
                Err(error) => return self.source.unrun(order, error.into_evidence()),
            }
        }
        // Nobody pays for it who has no subscriber.
        let task =
            tracing::info_span!("task", id = %order.task.id, program = %self.source.program.name());
        task.in_scope(|| self.source.run(&mut **cell, order, limits, stop))
    }

    /// Takes the report of a task. Says whether the worker is still wanted.
    fn finish(&self, place: Place, report: Report, goes_on: bool) -> bool {
        let mut state = self.lock();
        let slot = &mut state.slots[place.slot];
        if slot.generation != place.generation {
            // It was given up, and somebody else has reported its task.
            self.release(state);
            return false;
        }
        slot.tasks += 1;
        let (running, worker, label) = (slot.running.take(), slot.worker, report.verdict.label());
        let task = report.task.id.clone();
        if let Some(Running { promise, .. }) = running {
            state.answer(self, promise, report, worker);
        }
        let broke = Weight::of(label, Weight::FAILURES) == Weight::Failure;
        if broke && let Some(worker) = worker {
            let task = Some(task);
            state.tell(self, || Happening::WorkerCrashed { worker, task, label });
        }
        if goes_on {
            state.slots[place.slot].turn(WorkerState::Idle);
        } else if broke && self.settings.keep.is_some() {
            state.died(self, place);
        } else {
            // A fresh cell has done what it was for; so has a guest that left in order, or was told to.
            state.slots[place.slot].turn(WorkerState::Starting);
            if self.settings.keep.is_some() {
                state.slots[place.slot].worker = None;
            }
        }
        self.notify_calm(&state);
        self.release(state);
        true
    }

    fn stumbled(&self, place: Place) {
        let mut state = self.lock();
        let slot = &mut state.slots[place.slot];
        if slot.generation == place.generation && slot.state() != WorkerState::Ended {
            let (running, worker) = (slot.running.take(), slot.worker);
            if let Some(running) = running {
                let evidence = vanished(running.stop.reason());
                let report = self.source.report(&running.order, running.limits, evidence);
                state.answer(self, running.promise, report, worker);
            }
            if state.slots[place.slot].state() != WorkerState::Crashed {
                state.died(self, place);
            }
            self.notify_calm(&state);
        }
        self.release(state);
    }

    fn recycled(&self, place: Place, why: String) {
        let mut state = self.lock();
        if !state.is_over(place) {
            let slot = &mut state.slots[place.slot];
            slot.turn(WorkerState::Starting);
            if let Some(worker) = slot.worker.take() {
                state.tell(self, || Happening::WorkerRecycled { worker, why });
            }
        }
        self.release(state);
    }

    fn make_spare(&self) {
        let opened = self.source.open(true);
        let mut state = self.lock();
        match opened {
            Ok(cell) if state.spares.len() < self.settings.spares => state.spares.push(cell),
            // Another worker was faster.
            Ok(_) => {}
            Err(_) => state.next_spare = Instant::now().checked_add(self.settings.restart.most),
        }
        self.release(state);
    }

    fn used_up(&self, cell: &dyn Cell) -> Option<String> {
        let Vitals { resident_bytes, tasks_run, age } = cell.vitals();
        self.settings.keep?.used_up(tasks_run, age, resident_bytes)
    }

    fn end(&self, mut state: std::sync::MutexGuard<'_, State>, place: Place) {
        let slot = &mut state.slots[place.slot];
        if slot.generation == place.generation {
            slot.turn(WorkerState::Ended);
        }
        self.release(state);
    }
}

impl State {
    /// The next task for a worker that is idle.
    fn take(&mut self, shared: &Shared, place: Place, now: Instant) -> Option<Turn> {
        loop {
            let (key, waiting) = self.next()?;
            if waiting.order.deadline.is_some_and(|deadline| deadline <= now) {
                self.reject(shared, waiting, &Rejection::DeadlinePassed);
                continue;
            }
            self.let_in(shared);
            let limits = shared.source.limits(&waiting.order, now);
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
                asked: false,
            });
            let (worker, task) = (slot.worker.unwrap_or_default(), order.task.id.clone());
            self.watch_at(shared, due);
            let waited = Duration::from_nanos(self.age(now).saturating_sub(waiting.since));
            self.tell(shared, || Happening::TaskStarted { task, worker, waited });
            return Some(Turn::Run { order, limits, stop });
        }
    }

    fn is_ready(&mut self, shared: &Shared, place: Place) {
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
    fn failed_to_start(&mut self, shared: &Shared, place: Place, error: &LoadError) {
        let (now, random) = (Instant::now(), shared.chance.next());
        let slot = &mut self.slots[place.slot];
        slot.turn(WorkerState::Crashed);
        let (restart, tell) = self.restarts.failed_to_start(&mut slot.past, now, random);
        slot.restart = Some(restart);
        slot.empty_since.get_or_insert(now);
        self.tell(shared, || Happening::WorkerFailedToStart { why: error.to_string() });
        while tell && let Some((_, waiting)) = self.next() {
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

/// Longer than any task runs.
const FAR: Duration = Duration::from_secs(365 * 24 * 3_600);

//! A worker: a thread with a cell. It gets a cell, takes a task, runs it, says how it ended, and begins again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::isolation::{Cell, StopHandle, Vitals};
use crate::limits::Limits;
use crate::order::Order;
use crate::policy::restart::Restart;
use crate::policy::weight::Weight;
use crate::report::Report;
use crate::telemetry::Happening;

use super::settings::WorkerState;
use super::shared::Shared;
use super::slots::{Place, Running};
use super::source::vanished;
use super::state::State;

/// What a worker does next.
pub(super) enum Turn {
    Run {
        order: Arc<Order>,
        limits: Limits,
        stop: StopHandle,
        /// A guest that is there already, for this task alone.
        spare: Option<Box<dyn Cell>>,
    },
    /// Its cell is used up.
    Recycle(String),
    /// Its guest has ended while it had no task.
    Bury,
    /// It has time to clear up what guests have left behind.
    ClearUp,
    /// It has time to make a spare.
    MakeSpare,
    End,
}

/// So many cells that are no more of use may wait to be cleared up.
const MOST_REMAINS: usize = 4;

/// The life of a worker's thread. A wall that panics where nobody expects it (its cell is dropped, or asked how it is)
/// costs this worker and the task it ran, and the next one stands in the same place.
pub(super) fn work(shared: &Arc<Shared>, place: Place) {
    while catch_unwind(AssertUnwindSafe(|| live(shared, place))).is_err() {
        shared.stumbled(place);
    }
}

fn live(shared: &Arc<Shared>, place: Place) {
    let mut held: Option<Box<dyn Cell>> = None;
    // What a cell holds is given back when there is time: the next task may be here already.
    let mut remains = Remains::default();
    loop {
        let mut cell = match held.take() {
            Some(cell) => cell,
            None => match shared.obtain(place) {
                Some(cell) => cell,
                None => return,
            },
        };
        match shared.next_turn(place, &*cell, remains.0.len()) {
            Turn::Run { order, limits, stop, spare } => {
                if let Some(spare) = spare.and_then(|spare| shared.still_ready(spare)) {
                    cell = spare;
                }
                let (report, is_unread) = shared.run(&mut cell, &order, &limits, &stop);
                let goes_on = shared.settings.keep.is_some() && cell.is_usable() && !order.alone;
                drop(order);
                if is_unread && shared.give_back(place) {
                    remains.0.push(cell);
                    continue;
                }
                if !shared.finish(place, report, goes_on) {
                    return;
                }
                if goes_on {
                    held = Some(cell);
                } else {
                    remains.0.push(cell);
                }
            }
            Turn::Recycle(why) => shared.recycled(place, why),
            Turn::Bury => shared.bury(place),
            Turn::ClearUp => {
                remains.clear();
                held = Some(cell);
            }
            Turn::MakeSpare => {
                shared.make_spare();
                held = Some(cell);
            }
            Turn::End => return,
        }
    }
}

/// Cells that are no more of use. A wall may panic over each of them, and that is the end of nothing else.
#[derive(Default)]
struct Remains(Vec<Box<dyn Cell>>);

impl Remains {
    fn clear(&mut self) {
        for cell in self.0.drain(..) {
            // Its message is on stderr, and there is nobody whom it concerns.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(cell)));
        }
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Shared {
    /// A cell for a place: a spare, or a new one as soon as there may be one. None if the worker's time is over.
    fn obtain(self: &Arc<Self>, place: Place) -> Option<Box<dyn Cell>> {
        let mut state = self.lock();
        loop {
            if state.is_over(place) {
                self.end(&mut state, place);
                self.release(state);
                return None;
            }
            if self.settings.keep.is_some()
                && let Some(spare) = state.spares.take()
            {
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
                    if self.settings.keep.is_some() {
                        cell.when_ended(self.look_again());
                    }
                    return Some(cell);
                }
                Err(error) => state.failed_to_start(self, place, &error),
            }
        }
    }

    fn next_turn(&self, place: Place, cell: &dyn Cell, remains: usize) -> Turn {
        if remains == MOST_REMAINS {
            return Turn::ClearUp;
        }
        loop {
            let vitals = cell.vitals();
            let used_up = self.used_up(vitals);
            let has_ended = self.settings.keep.is_some() && !cell.is_usable();
            let mut state = self.lock();
            let now = Instant::now();
            let turn = if state.is_over(place) {
                self.end(&mut state, place);
                Some(Turn::End)
            } else if has_ended && vitals.tasks_run > 0 {
                Some(Turn::Bury)
            } else if let Some(why) = used_up {
                Some(Turn::Recycle(why))
            } else if let Some(turn) = state.take(self, place, now) {
                Some(turn)
            } else if has_ended {
                // With a task for it, it would have begun anew and said why it ended.
                Some(Turn::Bury)
            } else if remains > 0 {
                Some(Turn::ClearUp)
            } else {
                None
            };
            if let Some(turn) = turn {
                self.release(state);
                return turn;
            }
            let ended = state.spares.take_ended(now, self.chance.next());
            if !ended.is_empty() {
                self.release(state);
                drop(ended);
                continue;
            }
            let spare_at = state.spares.due(now);
            if spare_at.is_some_and(|at| at <= now) {
                state.spares.begin();
                self.release(state);
                return Turn::MakeSpare;
            }
            let old_at = self
                .settings
                .keep
                .and_then(|reuse| now.checked_add(reuse.max_age.saturating_sub(vitals.age)));
            let until = [old_at, spare_at].into_iter().flatten().min();
            state.idle += 1;
            state = self.pause(state, &self.work, until);
            state.idle -= 1;
            self.release(state);
        }
    }

    /// Runs a task in the worker's own cell.
    fn run(
        &self,
        cell: &mut Box<dyn Cell>,
        order: &Order,
        limits: &Limits,
        stop: &StopHandle,
    ) -> (Report, bool) {
        if self.settings.keep.is_some() && order.alone && cell.vitals().tasks_run > 0 {
            // It brings a past that this task shall not see.
            match self.source.open(true) {
                Ok(fresh) => *cell = fresh,
                Err(error) => return (self.source.unrun(order, error.into_evidence()), false),
            }
        }
        // Nobody pays for it who has no subscriber.
        let task =
            tracing::info_span!("task", id = %order.task.id, program = %self.source.program.name());
        let silence = self.settings.keep.and_then(|reuse| reuse.max_silence);
        task.in_scope(|| self.source.run(&mut **cell, order, limits, silence, stop))
    }

    /// Gives a task back whose guest was gone before it had it: no task's crash, but an end of a guest all the same.
    fn give_back(&self, place: Place) -> bool {
        let mut state = self.lock();
        let is_given = state.give_back(self, place);
        if is_given && self.settings.keep.is_some() {
            state.buried(self, place);
        } else if is_given {
            state.slots[place.slot].turn(WorkerState::Starting);
        }
        self.release(state);
        is_given
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

    fn make_spare(self: &Arc<Self>) {
        let opened = self.source.open_spare(self.settings.keep.is_some());
        if let Ok(cell) = &opened {
            cell.when_ended(self.look_again());
        }
        let mut state = self.lock();
        let made = state.spares.made(opened, Instant::now(), self.chance.next());
        if let Err(error) = &made {
            state.tell(self, || Happening::WorkerFailedToStart { why: error.to_string() });
        }
        self.release(state);
        drop(made);
    }

    /// A spare whose guest is still there.
    fn still_ready(&self, spare: Box<dyn Cell>) -> Option<Box<dyn Cell>> {
        if spare.is_usable() {
            return Some(spare);
        }
        self.lock().spares.ended(Instant::now(), self.chance.next());
        None
    }

    /// The guest of a worker has ended while nobody ran it.
    fn bury(&self, place: Place) {
        let mut state = self.lock();
        if !state.is_over(place) {
            state.buried(self, place);
        }
        self.release(state);
    }

    fn used_up(&self, vitals: Vitals) -> Option<String> {
        let Vitals { resident_bytes, tasks_run, age } = vitals;
        self.settings.keep?.used_up(tasks_run, age, resident_bytes)
    }

    fn end(&self, state: &mut State, place: Place) {
        let slot = &mut state.slots[place.slot];
        if slot.generation == place.generation {
            slot.turn(WorkerState::Ended);
        }
    }
}

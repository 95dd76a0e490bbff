//! A worker: a thread with a cell. It gets a cell, takes a task, runs it, says how it ended, and begins again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, MutexGuard};
use std::time::Instant;

use crate::isolation::{Cell, LoadError, StopHandle};
use crate::order::Order;
use crate::policy::restart::Restart;
use crate::report::Report;
use crate::telemetry::Happening;

use super::places::Begun;
use super::remains::Remains;
use super::settings::WorkerState;
use super::shared::Shared;
use super::slots::{Aging, Place};
use super::source::Try;
use super::state::State;
use super::ticket::Done;
use super::waiting::Waiting;

/// What a worker does next.
enum Turn {
    Run(Box<dyn Cell>, Begun),
    /// Its cell is used up.
    Recycle(Box<dyn Cell>, String),
    /// Its guest has ended while it had no task.
    Bury(Box<dyn Cell>),
    /// It had no task, and has something to look at now.
    Again,
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
    // What a cell holds is given back when there is time: the next task may be here already.
    let mut remains = Remains::default();
    loop {
        let cell = match held.take() {
            Some(cell) => cell,
            None => match shared.obtain(place, &mut remains) {
                Some(cell) => cell,
                None => return,
            },
        };
        match shared.next_turn(place, cell, &mut remains) {
            Turn::Run(cell, begun) => {
                let Ran { done, is_unread, left, spent } = shared.serve(cell, begun);
                held = left;
                remains.extend(spent);
                if is_unread && shared.give_back(place, held.is_some()) {
                    continue;
                }
                if !shared.finish(place, done, held.is_some()) {
                    return;
                }
            }
            Turn::Recycle(_cell, why) => shared.recycled(place, why),
            Turn::Bury(_cell) => shared.bury(place),
            Turn::Again => {}
            Turn::End => return,
        }
    }
}

/// How a task ran, and what there is after it.
pub(super) struct Ran {
    /// Its report, not yet with its worker.
    pub(super) done: Box<Done>,
    /// Whether its guest was gone before it had it.
    pub(super) is_unread: bool,
    /// The cell for the next task, if there is one already.
    pub(super) left: Option<Box<dyn Cell>>,
    /// The one that is no more of use.
    pub(super) spent: Option<Box<dyn Cell>>,
}

impl Shared {
    /// A cell for a place: the one that it had, a spare, or a new one as soon as there may be one. None if the worker's time
    /// is over.
    fn obtain(self: &Arc<Self>, place: Place, remains: &mut Remains) -> Option<Box<dyn Cell>> {
        let mut state = self.lock();
        loop {
            if state.is_lent(place) {
                // It comes back: whoever gives it up makes this one's time over.
                state = self.pause_cleared(state, &self.bells[place.slot], None, remains);
                continue;
            }
            if let Some(cell) = state.take_back(place, remains) {
                self.release(state);
                return Some(cell);
            }
            if state.is_over(place) {
                self.end(&mut state, place);
                self.release(state);
                return None;
            }
            if self.settings.keep.is_some()
                && let Some(spare) = state.spare_for(place, Instant::now())
            {
                state.is_ready(self, place, spare.age);
                self.release(state);
                return Some(spare.cell);
            }
            match state.slots[place.slot].restart {
                Some(Restart::Never) => {
                    state = self.pause_cleared(state, &self.rest, None, remains);
                    continue;
                }
                Some(Restart::At(at)) if at > Instant::now() => {
                    state = self.pause_cleared(state, &self.rest, Some(at), remains);
                    continue;
                }
                Some(Restart::At(_)) | None => {}
            }
            match self.open_for(state, place, remains) {
                Ok(cell) => return Some(cell),
                Err(locked) => state = locked,
            }
        }
    }

    /// Opens a new cell for a place. Gives the lock back where that was in vain.
    fn open_for<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        place: Place,
        remains: &mut Remains,
    ) -> Result<Box<dyn Cell>, MutexGuard<'a, State>> {
        state.slots[place.slot].turn(WorkerState::Starting);
        let (stop, epoch) = (state.spares.stop().clone(), state.epoch);
        self.release(state);
        if self.settings.goes_together() {
            // They live, and may hold what its successor needs.
            remains.clear();
        }
        let opened = self.source.open(self.settings.keep, &stop);
        let opened = opened.map(|cell| (self.aging(&*cell), cell));
        state = self.lock();
        match opened {
            Ok((_, cell)) if state.is_over(place) || state.epoch != epoch => {
                // Somebody died meanwhile with whom it goes.
                remains.extend([cell]);
                Err(state)
            }
            Ok((age, cell)) => {
                state.is_ready(self, place, age);
                self.release(state);
                if self.settings.keep.is_some() {
                    cell.when_ended(self.look_again());
                }
                Ok(cell)
            }
            Err(_) if state.is_over(place) => Err(state),
            Err(error) => {
                let waiting = state.failed_to_start(self, place, &error);
                if waiting.is_empty() {
                    return Err(state);
                }
                self.release(state);
                Err(self.tell_waiting(waiting, error))
            }
        }
    }

    /// Those who waited for a guest are told why there is none.
    fn tell_waiting(&self, waiting: Vec<Waiting>, error: LoadError) -> MutexGuard<'_, State> {
        let (orders, promises): (Vec<Order>, Vec<_>) =
            waiting.into_iter().map(Waiting::into_parts).unzip();
        let reports = self.source.unready(&orders, error);
        let mut state = self.lock();
        for ((order, promise), report) in orders.iter().zip(promises).zip(reports) {
            state.answer(self, promise, report, None, order);
        }
        state
    }

    /// Waits with nothing left to clear up; after clearing, whoever waits has to look again.
    fn pause_cleared<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        condvar: &Condvar,
        until: Option<Instant>,
        remains: &mut Remains,
    ) -> MutexGuard<'a, State> {
        if remains.is_empty() {
            return self.pause(state, condvar, until);
        }
        self.release(state);
        remains.clear();
        self.lock()
    }

    /// How a guest that is ready gets old from now on.
    pub(super) fn aging(&self, cell: &dyn Cell) -> Aging {
        let settings = &self.settings;
        let keep =
            settings.keep.map(|reuse| reuse.spread(settings.keep_spread, self.chance.next()));
        Aging { keep, boot: cell.vitals().age }
    }

    fn next_turn(
        self: &Arc<Self>,
        place: Place,
        cell: Box<dyn Cell>,
        remains: &mut Remains,
    ) -> Turn {
        if remains.are_many_or_late() {
            remains.clear();
        }
        let vitals = cell.vitals();
        let has_ended = self.settings.keep.is_some() && !cell.is_usable();
        let mut state = self.lock();
        state.keep_watch(self, None);
        let now = Instant::now();
        state.slots[place.slot].resident = vitals.resident_bytes;
        let used_up = state.slots[place.slot].used_up(vitals);
        let turn = if state.is_over(place) {
            self.end(&mut state, place);
            Turn::End
        } else if has_ended && vitals.tasks_run > 0 {
            Turn::Bury(cell)
        } else if let Some(why) = used_up {
            Turn::Recycle(cell, why)
        } else if let Some(begun) = state.take(self, place, now) {
            Turn::Run(cell, begun)
        } else if has_ended {
            // With a task for it, it would have begun anew and said why it ended.
            Turn::Bury(cell)
        } else {
            let slot = &mut state.slots[place.slot];
            slot.old_at = slot.age.left(vitals.age).and_then(|left| now.checked_add(left));
            slot.cell = Some(cell);
            self.rest(state, place, remains);
            return Turn::Again;
        };
        self.release(state);
        turn
    }

    /// Runs a task in a cell, in the spare that it is to have, or in one that is started under its limits.
    pub(super) fn serve(&self, cell: Box<dyn Cell>, begun: Begun) -> Ran {
        let Begun { order, limits, stop, spare, taken_up } = begun;
        let other = match spare.and_then(|spare| self.still_ready(spare)) {
            // What its guest has begun with is nobody else's.
            _ if taken_up.is_some() => None,
            // What is kept is kept for those who come under the usual limits.
            None if self.settings.keep.is_some() && !cell.suits(&limits) => {
                self.source.open(None, &stop).ok()
            }
            spare => spare,
        };
        let (mut used, own) = match other {
            Some(other) => (other, Some(cell)),
            None => (cell, None),
        };
        let silence = self.settings.keep.and_then(|reuse| reuse.max_silence);
        let tried = Try { order: &order, limits: &limits, silence, begun: taken_up };
        let (report, is_unread) = self.run(&mut used, &tried, &stop);
        let done = Box::new(Done { report, worker: None, hold: None, hooks: None });
        // One that was made for this task is for no other, though it may not have been used: the task was refused.
        let is_kept = self.settings.keep.is_some() && own.is_none();
        let goes_on = is_kept && used.is_usable() && !order.alone;
        let (left, spent) = if goes_on { (Some(used), None) } else { (own, Some(used)) };
        if let Some(end) = spent.as_ref().and_then(|spent| spent.lingers()) {
            self.end_soon(end);
        }
        Ran { done, is_unread, left, spent }
    }

    /// Runs a task in the worker's own cell.
    fn run(&self, cell: &mut Box<dyn Cell>, tried: &Try<'_>, stop: &StopHandle) -> (Report, bool) {
        let order = tried.order;
        if self.settings.keep.is_some() && order.alone && cell.vitals().tasks_run > 0 {
            // It brings a past that this task shall not see.
            match self.source.open(self.settings.keep, stop) {
                Ok(fresh) => *cell = fresh,
                Err(error) => {
                    let mut reports = self.source.unready(std::slice::from_ref(order), error);
                    return (reports.remove(0), false);
                }
            }
        }
        // Nobody pays for it who has no subscriber.
        let task =
            tracing::info_span!("task", id = %order.task.id, program = %self.source.program.name());
        task.in_scope(|| self.source.run(&mut **cell, tried, stop))
    }

    /// Gives a task back whose guest was gone before it had it: no task's crash, but an end of a guest all the same.
    fn give_back(&self, place: Place, has_cell: bool) -> bool {
        let mut state = self.lock();
        let is_given = state.give_back(self, place, has_cell);
        self.release(state);
        is_given
    }

    /// Takes the report of a task. Says whether the worker is still wanted.
    fn finish(&self, place: Place, done: Box<Done>, has_cell: bool) -> bool {
        let mut state = self.lock();
        let is_wanted = state.finish(self, place, done, has_cell);
        self.notify_calm(&state);
        self.release(state);
        is_wanted
    }

    fn stumbled(&self, place: Place) {
        let mut state = self.lock();
        let slot = &mut state.slots[place.slot];
        let is_here = slot.generation == place.generation;
        if is_here {
            state.leave_rest(place.slot);
        }
        // A caller who has its cell knows better.
        if is_here && !state.slots[place.slot].is_lent {
            state.stumbled(self, place);
            self.notify_calm(&state);
        }
        state.hand_on(self);
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
        state.hand_on(self);
        self.release(state);
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
        state.hand_on(self);
        self.release(state);
    }

    fn end(&self, state: &mut State, place: Place) {
        let slot = &mut state.slots[place.slot];
        if slot.generation == place.generation {
            slot.turn(WorkerState::Ended);
        }
    }
}

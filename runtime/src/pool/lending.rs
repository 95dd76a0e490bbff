//! A task on its caller's own thread: where somebody waits for its report at once and a worker is idle, nothing is handed
//! over.
//!
//! The caller stands in for the worker, whose place is busy meanwhile: the task is told of, limited, stopped, drained,
//! counted and reported as any other, and the worker takes its cell back, or what has become of it. A task that is late by
//! the pool's patience is given up as everywhere; but then it is the caller who comes back when the wall lets him. So it is
//! done only behind walls that keep time ([`Image::keeps_time`](crate::isolation::Image::keeps_time)).

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::isolation::{Cell, StopHandle};
use crate::order::Order;
use crate::telemetry::Happening;

use super::places::{Begun, Next};
use super::shared::Shared;
use super::slots::Place;
use super::state::State;
use super::ticket::{Done, Promise, Ticket, wait_for_ever};
use super::worker::Ran;

impl Shared {
    /// Runs a task here and now, and stops it when `stop` says so. Gives it back where it has to wait in the queue.
    pub(super) fn run_here(
        self: &Arc<Self>,
        order: Order,
        stop: Option<&StopHandle>,
    ) -> ControlFlow<Done, Order> {
        let now = Instant::now();
        let is_late = order.deadline.is_some_and(|deadline| deadline <= now);
        if is_late || !self.source.image.keeps_time() {
            return ControlFlow::Continue(order);
        }
        let mut state = self.lock();
        let Some((place, cell)) = state.lend() else {
            self.release(state);
            return ControlFlow::Continue(order);
        };
        let promise = Arc::new(Promise::new(state.age(now)));
        let task = order.task.id.clone();
        state.tell(self, || Happening::TaskQueued { task: task.clone(), waiting: 1 });
        let key = state.queue.aside(order.priority, &order.caller);
        let next = Next { key: key.clone(), order, promise: Arc::clone(&promise), returns: 0 };
        let begun = state.begin(self, place, next, now);
        self.release(state);
        let ticket = Ticket { task, key, promise, pool: Arc::downgrade(self) };
        let _stopped_with = stop.map(|stop| ticket.stopped_with(stop));
        self.stand_in(place, cell, begun);
        // It is there: from here, from the supervisor who gave it up, or soon from another worker if no guest has read it.
        ControlFlow::Break(wait_for_ever(|waker| ticket.poll_done(waker)))
    }

    /// Runs a task in the cell that was lent for it.
    pub(super) fn stand_in(&self, place: Place, cell: Box<dyn Cell>, begun: Begun) {
        let stood_in = catch_unwind(AssertUnwindSafe(|| self.serve_here(place, cell, begun)));
        if stood_in.is_err() {
            self.stood_in_badly(place);
        }
    }

    fn serve_here(&self, place: Place, cell: Box<dyn Cell>, begun: Begun) {
        let Ran { done, is_unread, mut left, spent } = self.serve(cell, begun);
        if left.is_none() && self.settings.keep.is_none() {
            // Its worker tries again, and says why where there is none.
            left = self.source.open(None, &StopHandle::new()).ok();
        }
        let has_cell = left.is_some();
        let vitals = left.as_ref().map(|cell| cell.vitals());
        let mut state = self.lock();
        state.slots[place.slot].resident = vitals.map_or(0, |vitals| vitals.resident_bytes);
        let is_given = is_unread && state.give_back(self, place, has_cell);
        if is_given || state.finish(self, place, done, has_cell) {
            let slot = &mut state.slots[place.slot];
            slot.is_called |= vitals.is_some_and(|vitals| slot.used_up(vitals).is_some());
            slot.spent.extend(spent);
            self.hand_back(&mut state, place, left);
        }
        self.notify_calm(&state);
        self.release(state);
    }

    /// Gives the worker back what is left, before anything is told: whoever hears of it may want the worker at once.
    fn hand_back(&self, state: &mut State, place: Place, left: Option<Box<dyn Cell>>) {
        let is_wanted = left.is_none() && self.settings.keep.is_some() && !state.is_over(place);
        state.slots[place.slot].cell = left;
        let now = Instant::now();
        if is_wanted && let Some(spare) = state.spare_for(place, now) {
            state.is_ready(self, place, spare.age);
            let slot = &mut state.slots[place.slot];
            // If it has ended by now, whoever was called for that has found it nowhere.
            slot.is_called |= !spare.cell.is_usable();
            (slot.cell, slot.old_at) = (Some(spare.cell), spare.old_at);
        }
        state.is_back(self, place, now);
    }

    /// The wall has panicked: the worker ends as if that had been on its own thread.
    pub(super) fn stood_in_badly(&self, place: Place) {
        let mut state = self.lock();
        if state.slots[place.slot].generation == place.generation {
            state.stumbled(self, place);
            state.is_back(self, place, Instant::now());
            self.notify_calm(&state);
        }
        self.release(state);
    }
}

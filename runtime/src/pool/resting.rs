//! What a worker does without a task: it clears up, has spares made, and waits. Its cell stands where a caller may borrow it
//! meanwhile.
//!
//! ```text
//!              a task waits, or there is something to look at
//!   working <-------------------------------------------------- waiting at its bell: called for a task, or lent from
//!      |                                                            |         ^
//!      | no task                    something to clear up           v         | done
//!      +----------------------------------------------------------> away: not called, but lent from
//! ```

use std::sync::{Arc, Condvar, MutexGuard};
use std::time::{Duration, Instant};

use crate::isolation::Cell;

use super::remains::{CALM, Remains};
use super::shared::Shared;
use super::slots::{Place, Rest};
use super::state::{Phase, State};

/// Room in the queue that nobody needs is given back after so long without a task.
const KEEP_ROOM: Duration = Duration::from_secs(1);

impl Shared {
    /// Uses the time until there is a task, or something to look at: the cell has ended, is used up or too old.
    pub(super) fn rest<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        place: Place,
        remains: &mut Remains,
    ) {
        let began = Instant::now();
        let give_back_at = began + KEEP_ROOM;
        remains.put_off(began);
        while state.may_rest(place) {
            remains.extend(state.spent.drain(..));
            let slot = &mut state.slots[place.slot];
            remains.extend(slot.spent.drain(..));
            slot.back.take().into_iter().for_each(|at| remains.put_off(at));
            let now = Instant::now();
            remains.extend(state.spares.take_spent(now, self.chance.next()));
            let (clear_at, spare_at) = (remains.clear_at(), state.spare_due(self, now));
            if clear_at.is_some_and(|at| at <= now) {
                state.rests(place.slot, Rest::Away);
                self.release(state);
                remains.clear();
            } else if spare_at.is_some_and(|at| at <= now) {
                state.start_spare(self);
                continue;
            } else if state.queue.has_empty() && give_back_at <= now {
                let empty = state.queue.take_empty();
                state.rests(place.slot, Rest::Away);
                self.release(state);
                drop(empty);
            } else {
                let room_at = state.queue.has_empty().then_some(give_back_at);
                // A caller may have put another guest here.
                let old_at = state.slots[place.slot].old_at;
                let until =
                    [old_at, spare_at, clear_at, state.spares.old_at()].into_iter().flatten().min();
                if until.is_some_and(|at| at <= now) {
                    break;
                }
                state.rests(place.slot, Rest::Waiting);
                let until = until.into_iter().chain(room_at).min();
                state.slots[place.slot].wakes_at = until;
                state = self.pause(state, &self.bells[place.slot], until);
                state.slots[place.slot].wakes_at = None;
                continue;
            }
            state = self.lock();
        }
        if state.slots[place.slot].generation == place.generation {
            state.leave_rest(place.slot);
        }
        self.release(state);
    }
}

impl State {
    /// Whether there is nothing that the worker of a place has to do.
    fn may_rest(&self, place: Place) -> bool {
        let slot = &self.slots[place.slot];
        let has_cell = slot.cell.is_some() || slot.is_lent;
        !self.is_over(place) && has_cell && !slot.is_called && !self.has_waiting()
    }

    fn rests(&mut self, slot: usize, rest: Rest) {
        if self.slots[slot].rest != Some(rest) {
            self.leave_rest(slot);
            self.slots[slot].rest = Some(rest);
        }
        self.offer(slot);
    }

    /// Has the cell of a place that rests be one that can be lent.
    fn offer(&mut self, slot: usize) {
        let Some(rest) = self.slots[slot].rest.filter(|_| !self.slots[slot].is_lent) else {
            return;
        };
        let offered = if rest == Rest::Waiting { &mut self.idle } else { &mut self.away };
        if !offered.contains(&slot) {
            offered.push(slot);
        }
    }

    pub(super) fn leave_rest(&mut self, slot: usize) {
        self.slots[slot].rest = None;
        self.idle.retain(|idle| *idle != slot);
        self.away.retain(|away| *away != slot);
    }

    /// Calls a worker that waits for a task, if there is one: the one that has waited for the shortest time, whose memory is
    /// the nearest. If that one can't take it, it [hands the call on](Self::hand_on).
    pub(super) fn call_one(&mut self, shared: &Shared) {
        if let Some(slot) = self.idle.pop() {
            shared.bells[slot].notify_all();
        }
    }

    /// A worker leaves that may have been called for a task: somebody else is called.
    pub(super) fn hand_on(&mut self, shared: &Shared) {
        if self.has_waiting() {
            self.call_one(shared);
        }
    }

    /// Each worker looks after its guest, now or when it has no task, and nobody is called or lent a cell before.
    pub(super) fn look_after_guests(&mut self, shared: &Shared) {
        (0..self.slots.len()).for_each(|slot| self.look_after(shared, slot));
    }

    /// A guest has ended, here or among the spares. Whoever has one that stands there well has nothing to look after; of one
    /// that somebody has at the moment it is found out when he gives it back.
    pub(super) fn look_after_the_ended(&mut self, shared: &Shared) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].cell.as_ref().is_none_or(|cell| !cell.is_usable()) {
                self.look_after(shared, slot);
            }
        }
        if self.spares.has_ended() {
            // Whoever rests takes them out.
            shared.bells.iter().for_each(Condvar::notify_all);
        }
    }

    fn look_after(&mut self, shared: &Shared, slot: usize) {
        self.idle.retain(|idle| *idle != slot);
        self.away.retain(|away| *away != slot);
        self.slots[slot].is_called = true;
        // Where a caller has its guest, the worker has nothing to look at before that comes back.
        if !self.slots[slot].is_lent {
            shared.bells[slot].notify_all();
        }
    }

    /// Lends the cell of a worker without a task to a caller, who runs his own task in it.
    pub(super) fn lend(&mut self) -> Option<(Place, Box<dyn Cell>)> {
        if self.phase != Phase::Open || self.has_waiting() {
            return None;
        }
        let slot = self.idle.pop().or_else(|| self.away.pop())?;
        let lent = &mut self.slots[slot];
        let cell = lent.cell.take()?;
        lent.is_lent = true;
        Some((Place { slot, generation: lent.generation }, cell))
    }

    pub(super) fn is_lent(&self, place: Place) -> bool {
        let slot = &self.slots[place.slot];
        slot.generation == place.generation && slot.is_lent
    }

    /// The cell of a place for its worker, and what callers have used up.
    pub(super) fn take_back(
        &mut self,
        place: Place,
        remains: &mut Remains,
    ) -> Option<Box<dyn Cell>> {
        remains.extend(self.spent.drain(..));
        let slot = &mut self.slots[place.slot];
        if slot.generation != place.generation {
            return None;
        }
        slot.is_called = false;
        remains.extend(slot.spent.drain(..));
        slot.cell.take()
    }

    /// A caller is done with a place, whose cell is there again, or is not. Its worker goes on resting where it can.
    pub(super) fn is_back(&mut self, shared: &Shared, place: Place, now: Instant) {
        let soon = now + CALM;
        let are_spares_due = self.spare_due(shared, now).is_some_and(|at| at <= soon);
        let slot = &mut self.slots[place.slot];
        (slot.is_lent, slot.back) = (false, Some(now));
        // It may have been the guest before this one that has ended.
        if slot.is_called && slot.cell.as_ref().is_some_and(|cell| slot.is_well(&**cell)) {
            slot.is_called = false;
        }
        let has_chores =
            (are_spares_due || !slot.spent.is_empty()) && slot.wakes_at.is_none_or(|at| at > soon);
        let rest = self.slots[place.slot].rest;
        let rests_on = rest.is_some() && self.may_rest(place);
        if rests_on {
            self.offer(place.slot);
        }
        if !rests_on || (has_chores && rest == Some(Rest::Waiting)) {
            // Woken before the lock is free, it would take its caller's processor to wait for that.
            self.called = Some(place.slot);
        }
    }
}

//! A call on its caller's own thread, of which nothing is wanted but its value.
//!
//! Where a worker is idle whose guest is kept, and its wall has a shorter way for such a call, the caller borrows its cell
//! and no task is made of it. One that takes longer, or comes to another end, becomes a task that its guest has begun with
//! already: from there on it is limited, stopped, drained and reported like any other. Until then it takes some milliseconds
//! at most, and nobody needs to be able to stop it.
//!
//! Where somebody wants to be told of tasks, each call is one.

use std::cell::Cell as Taken;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use sandtrap_protocol::{Codec, LANE_MOST, typed_into};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{CallError, result_of};
use crate::isolation::{Brief, Cell, Quick, Shortcut, Vitals, admit};
use crate::order::Order;
use crate::payload::{Payload, read};
use crate::report::Report;
use crate::reuse::Reuse;
use crate::task::Task;

use super::Pool;
use super::places::Next;
use super::settings::WorkerState;
use super::shared::Shared;
use super::slots::{Aging, Place};
use super::source::vanished;
use super::ticket::{Promise, Ticket};

thread_local! {
    /// Where the input of a call is written.
    static WORDS: Taken<Vec<u8>> = const { Taken::new(Vec::new()) };
}

impl Pool {
    /// Calls a function of the guest, and gives what it returns. Blocks until then.
    ///
    /// Where guests are kept ([`PoolSettings::keep`](super::PoolSettings::keep)) and one of them is idle, a call that returns soon costs
    /// little more than that of a guest of one's own ([`Kept::call`](crate::Kept::call)): no report is made for it. Every
    /// other one is a task, and waits for its turn with the others. Whoever wants to know more than the value makes a task of it
    /// himself ([`run`](Self::run)).
    pub fn call<In, Out>(&self, function: &str, input: &In) -> Result<Out, CallError>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned + 'static,
    {
        if let Some(shortcut) = self.shared.shortcut() {
            let mut words = WORDS.take();
            words.resize(LANE_MOST, 0);
            // What is written and read in the caller's words is done while nothing is borrowed.
            let called = typed_into(input, &mut words)
                .map(|input| self.shared.call_here(shortcut, function, input));
            WORDS.set(words);
            match called {
                Some(Called::Returned(value)) => {
                    return read(Codec::Typed, &value).map_err(CallError::Value);
                }
                Some(Called::Ended(report)) => return result_of(*report),
                Some(Called::NotHere) | None => {}
            }
        }
        let task = Task::invoke(function, input).map_err(CallError::Value)?;
        result_of(self.run(task))
    }
}

/// What became of a call.
enum Called {
    /// It returned this, typed.
    Returned(Vec<u8>),
    /// It became a task.
    Ended(Box<Report>),
    /// It was not made.
    NotHere,
}

impl Shared {
    /// The shorter way, where nobody wants to be told of what goes it.
    fn shortcut(&self) -> Option<Shortcut> {
        let is_told = self.settings.telemetry.is_heard()
            || self.source.listener.is_some()
            || tracing::enabled!(tracing::Level::INFO);
        self.source.shortcut.filter(|_| self.settings.keep.is_some() && !is_told)
    }

    fn call_here(self: &Arc<Self>, shortcut: Shortcut, function: &str, input: &[u8]) -> Called {
        let mut state = self.lock();
        let Some((place, mut cell)) = state.lend() else {
            self.release(state);
            return Called::NotHere;
        };
        let slot = &mut state.slots[place.slot];
        slot.turn(WorkerState::Busy);
        // Who goes with one that has died goes now.
        let age = slot.age;
        let keep = age.keep.filter(|_| slot.goes_with.is_none());
        self.release(state);
        let called = catch_unwind(AssertUnwindSafe(|| match keep {
            Some(keep) if (shortcut.is_there)(&*cell) => {
                self.go(shortcut, &mut *cell, (keep, age), function, input)
            }
            _ => ControlFlow::Break(Called::NotHere),
        }));
        let order = || {
            let input = Payload::new(Codec::Typed, input.to_vec());
            Order::new(Task::invoke_with(function, input))
        };
        match called {
            Ok(ControlFlow::Break(called)) => {
                self.is_called(place, cell, &called);
                called
            }
            Ok(ControlFlow::Continue(began)) => {
                let begun = (began, shortcut.unheard);
                Called::Ended(Box::new(self.go_on_with(place, cell, order(), begun)))
            }
            Err(_) => {
                self.stood_in_badly(place);
                // Its guest may have had it: it is not for another one.
                Called::Ended(Box::new(self.source.unrun(&order(), vanished(None))))
            }
        }
    }

    /// Calls it, or begins to.
    fn go(
        &self,
        shortcut: Shortcut,
        cell: &mut dyn Cell,
        (keep, aging): (Reuse, Aging),
        function: &str,
        input: &[u8],
    ) -> ControlFlow<Called, Instant> {
        let limits = &self.usual;
        let admits = |Vitals { resident_bytes, tasks_run, age }: Vitals| {
            let age = aging.since_ready(age);
            let is_of_use = keep.used_up(tasks_run, age, resident_bytes).is_none();
            is_of_use && admit(&self.source.program, limits).is_ok()
        };
        let brief = Brief {
            function,
            input,
            limits,
            silence: keep.max_silence,
            most_tasks: keep.max_tasks,
            admits: &admits,
        };
        match (shortcut.call)(cell, &brief) {
            // It is read when others may have the cell.
            Quick::Returned(value) => ControlFlow::Break(Called::Returned(value.to_vec())),
            Quick::Begun(began) => ControlFlow::Continue(began),
            Quick::NotHere => ControlFlow::Break(Called::NotHere),
        }
    }

    /// Gives the worker its cell back.
    fn is_called(&self, place: Place, cell: Box<dyn Cell>, called: &Called) {
        let was_made = matches!(called, Called::Returned(_));
        // Who is called is looked at now and then, and found to be used up here.
        let vitals = (!was_made).then(|| cell.vitals());
        let mut state = self.lock();
        state.finished += u64::from(was_made);
        let slot = &mut state.slots[place.slot];
        slot.tasks += u64::from(was_made);
        slot.is_called |= vitals.is_some_and(|vitals| slot.used_up(vitals).is_some());
        slot.turn(WorkerState::Idle);
        slot.cell = Some(cell);
        state.is_back(self, place, Instant::now());
        self.notify_calm(&state);
        self.release(state);
    }

    /// Runs a task that its guest has begun with.
    #[cold]
    fn go_on_with(
        self: &Arc<Self>,
        place: Place,
        cell: Box<dyn Cell>,
        order: Order,
        taken_up: (Instant, u64),
    ) -> Report {
        let now = Instant::now();
        let mut state = self.lock();
        let promise = Arc::new(Promise::new(state.age(now)));
        let (task, key) = (order.task.id.clone(), state.queue.aside(order.priority, &order.caller));
        let next = Next { key: key.clone(), order, promise: Arc::clone(&promise), returns: 0 };
        let mut begun = state.begin(self, place, next, now);
        begun.taken_up = Some(taken_up);
        // Who ends the pool may wait for it to be one that can be stopped.
        self.notify_calm(&state);
        self.release(state);
        let ticket = Ticket { task, key, promise, pool: Arc::downgrade(self) };
        self.stand_in(place, cell, begun);
        ticket.wait()
    }
}

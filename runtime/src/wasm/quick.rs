//! Calls of a guest that is kept, again and again: what is the same in each of them is done once.
//!
//! The first call of a function goes the long way, like any task. After it the guest is there, its function is known by
//! its type, an alarm stands, and a call is a look at the clock and two words to the alarm. Whatever is out of
//! the ordinary (another thread, a stack that is used up, a guest that is gone) goes the long way again,
//! which says what is the matter.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use wasmtime::{TypedFunc, ValType};

use crate::channel::{Stream, Streams};
use crate::event::Event;
use crate::evidence::Evidence;
use crate::isolation::{Attempt, Deaf, LoadError, StopHandle};
use crate::limits::Limits;

use super::cell::{Kept, Ties, WasmCell};
use super::clock;
use super::image::Code;
use super::lend;
use super::numbers::Passed;
use super::running::host_panic;
use super::stage;
use super::standing::Standing;

/// How a call ended.
pub(crate) enum Again<Out> {
    Returned(Out),
    /// The guest is gone.
    Ended(Box<Evidence>),
    /// Nothing was called: it takes the long way.
    NotHere,
}

impl WasmCell {
    /// Refuses a function that is not there, or has not these types.
    pub(crate) fn check_function<In: Passed, Out: Passed>(
        &self,
        name: &str,
    ) -> Result<(), LoadError> {
        match &self.image.code {
            Code::Module(code) => {
                let types: (Vec<ValType>, Vec<ValType>) = (In::types(), Out::types());
                code.doors.check_types(&code.module, name, &types.0, &types.1)
            }
            Code::Component(_) => Err(super::entrance::no_numbers()),
        }
    }

    /// Ends the guest, whatever it does.
    pub(crate) fn stop_handle(&self) -> StopHandle {
        self.kept.as_ref().map(|kept| kept.stop.clone()).unwrap_or_default()
    }

    /// The function, for calls from this thread under these limits. `None` if each has to go the long way.
    pub(crate) fn ready<In: Passed, Out: Passed>(
        &mut self,
        name: &str,
        limits: &Limits,
    ) -> Option<TypedFunc<In, Out>> {
        let Code::Module(code) = &self.image.code else { return None };
        let Kept { guest, ties, stop, standing, alarm, .. } = self.kept.as_mut()?;
        let (guest, ties) = (guest.as_mut()?, ties.as_ref()?);
        // What a guest says over its channel is heard the long way.
        if code.doors.has_channel() || !stage::has_stack(self.image.engine.configuration.stack) {
            return None;
        }
        if !standing.as_ref().is_some_and(Standing::is_here) {
            let (seat, engine) = (stage::seat().ok()?, &self.image.engine.engine);
            let made = Standing::new(seat, limits, stop, &ties.signal, engine).ok()?;
            let mut named = alarm.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if named.replace(made.id()).is_none() {
                let (signal, engine, alarm) =
                    (Arc::clone(&ties.signal), engine.clone(), Arc::clone(alarm));
                stop.on_stop_ever(move || {
                    signal.fire();
                    engine.increment_epoch();
                    let named = *alarm.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    named.into_iter().for_each(clock::hurry);
                });
            }
            *standing = Some(made);
        }
        guest.function(name)
    }

    /// Calls it.
    pub(crate) fn again<In: Passed, Out: Passed>(
        &mut self,
        function: &TypedFunc<In, Out>,
        input: In,
        attempt: &Attempt<'_>,
    ) -> Again<Out> {
        let configuration = &self.image.engine.configuration;
        let Some(Kept { guest: Some(guest), ties: Some(ties), standing: Some(standing), .. }) =
            &mut self.kept
        else {
            return Again::NotHere;
        };
        let Ties { signal, outlet, .. } = ties;
        if !standing.is_here() || signal.is_fired() || !stage::has_stack(configuration.stack) {
            return Again::NotHere;
        }
        self.tasks_run += 1;
        let mut streams: Option<Streams> = None;
        let mut hear = |event: Event<'_>| {
            let streams = streams.get_or_insert_with(|| Streams::new(attempt));
            match event {
                Event::Stdout(bytes) => drop(streams.take(Stream::Stdout, bytes, &mut Deaf)),
                Event::Stderr(bytes) => drop(streams.take(Stream::Stderr, bytes, &mut Deaf)),
                Event::Started { .. }
                | Event::Log { .. }
                | Event::Progress { .. }
                | Event::Emitted { .. } => {}
            }
        };
        outlet.refill(attempt.limits);
        let prepared = guest.prepare_again(attempt.limits, configuration.counts_fuel);
        standing.arm(attempt.began);
        // Whoever stops it from here on moves the epoch on after it was looked at.
        let called = prepared.and_then(|()| signal.check().map_err(Into::into)).map(|()| {
            let call = || guest.call_again(function, input);
            panic::catch_unwind(AssertUnwindSafe(|| lend::lend(&mut hear, call)))
        });
        standing.disarm();
        let outcome = match called {
            Ok(Ok(Ok(output))) => return Again::Returned(output),
            Ok(Ok(Err(error))) | Err(error) => guest.end(error, &self.image, attempt.limits),
            Ok(Err(payload)) => host_panic(payload.as_ref()),
        };
        let cpu = standing.used(attempt.began.elapsed());
        let streams = streams.unwrap_or_else(|| Streams::new(attempt));
        Again::Ended(Box::new(self.bury(
            super::guest::Outcome { cpu, ..outcome },
            streams,
            attempt,
        )))
    }
}

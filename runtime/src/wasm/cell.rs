//! One attempt from the caller's side: start it, listen until it ends, and gather the evidence.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use crate::channel::Streams;
use crate::evidence::{Ending, Evidence, Source, Step, StopReason, TrapCause, Usage};
use crate::isolation::{Attempt, Cell, Ear, LoadError, StopHandle, Vitals};
use crate::limits::Limits;
use crate::quantity::ByteSize;
use crate::task::Entry;

use super::clock::{self, Deadline, Watch};
use super::entrance::Entrance;
use super::guest::{self, Outcome, Remains, Run};
use super::image::Prepared;
use super::lend;
use super::room::Room;
use super::signal::Signal;
use super::sinks::{MOST_ON_THEIR_WAY, Outlet, Said, Way};
use super::stage::Stage;
use super::stdin::{self, Input};
use super::threads::Threads;

/// Room for one guest. It is used once.
pub(super) struct WasmCell {
    image: Arc<Prepared>,
    threads: Arc<Threads>,
    opened: Instant,
    tasks_run: u64,
}

impl WasmCell {
    pub(super) fn new(image: Arc<Prepared>, threads: Arc<Threads>) -> Self {
        Self { image, threads, opened: Instant::now(), tasks_run: 0 }
    }

    /// Everything that can be refused before a guest exists.
    fn admit(&self, attempt: &Attempt<'_>) -> Result<(Entrance, stdin::Source), LoadError> {
        check_limits(&self.image, attempt.limits)?;
        let entrance = self.image.code.enter(attempt.entry)?;
        let source = match attempt.entry {
            Entry::Command { stdin, .. } => stdin::Source::open(stdin).map_err(|error| {
                LoadError::at(Step::Accept, format!("{stdin} cannot be opened as stdin: {error}"))
                    .with_errno(error.raw_os_error())
            })?,
            Entry::Call { .. } => stdin::Source::nothing(),
        };
        Ok((entrance, source))
    }

    fn attempt(
        &self,
        attempt: &Attempt<'_>,
        stop: &StopHandle,
        ear: &mut dyn Ear,
    ) -> Result<Evidence, LoadError> {
        let (entrance, source) = self.admit(attempt)?;
        let room = Room::take(self.image.code.memories_and_tables())
            .ok_or_else(|| LoadError::at(Step::Reserve, Room::why_none()))?;
        let stack = self.image.engine.configuration.stack;
        let stage = Stage::find(&self.threads, stack).map_err(no_thread)?;
        let count = stage.count(attempt.began);
        let signal = Arc::new(Signal::new(Arc::clone(stage.bell())));
        let deadline = Deadline {
            stop: stop.clone(),
            signal: Arc::clone(&signal),
            engine: self.image.engine.engine.clone(),
            wall: attempt.began.checked_add(attempt.limits.wall),
            cpu: count.end(attempt.limits.cpu),
        };
        let first = deadline.next(attempt.began, Some(attempt.limits.cpu));
        let watch = clock::watch(first, Arc::new(deadline)).map_err(no_thread)?;
        let (engine, alarm, fired) =
            (self.image.engine.engine.clone(), watch.id(), Arc::clone(&signal));
        let _stops = stop.on_stop(move || {
            fired.fire();
            engine.increment_epoch();
            clock::hurry(alarm);
        });
        let run = |way| Run {
            image: Arc::clone(&self.image),
            entrance,
            limits: attempt.limits.clone(),
            input: Input::new(source, Arc::clone(stage.bell())),
            outlet: Arc::new(Outlet::new(way, &signal, attempt.limits, stop)),
            signal: Arc::clone(&signal),
            stop: stop.clone(),
            _room: room,
        };
        let mut streams = Streams::new(attempt);
        let outcome = match &stage {
            Stage::Here(_) => {
                let outcome = self.here(run(Way::Here), watch, &mut streams, stop, ear);
                Outcome { cpu: count.used(&signal), ..outcome }
            }
            Stage::Lent(lease) => {
                let (speaker, listener) = mpsc::sync_channel(MOST_ON_THEIR_WAY);
                let run = run(Way::Channel(speaker.clone()));
                let _abandoned = StopOnPanic(stop);
                let cpu = move |signal: &Signal| count.used(signal);
                lease.run(move || perform(run, &speaker, watch, cpu));
                listen(&listener, &mut streams, ear)
            }
        };
        Ok(self.evidence(outcome, streams, attempt, stop))
    }

    /// Runs the guest on this thread. The clock looks after it until it has ended, and not longer.
    fn here(
        &self,
        run: Run,
        watch: Watch,
        streams: &mut Streams,
        stop: &StopHandle,
        ear: &mut dyn Ear,
    ) -> Outcome {
        let signal = Arc::clone(&run.signal);
        let mut panicked = None;
        let mut hear = |stream, bytes: &[u8]| {
            if panicked.is_some() {
                return;
            }
            // The guest's side counts against the same limit and ends the guest at it.
            let begin = Instant::now();
            let heard = AssertUnwindSafe(|| streams.take(stream, bytes, &mut *ear));
            // Nothing unwinds through the guest: it ends first, and then the panic goes on.
            if let Err(payload) = panic::catch_unwind(heard) {
                panicked = Some(payload);
                stop.stop(StopReason::Cancelled);
            }
            signal.was_elsewhere(begin.elapsed());
        };
        let (outcome, remains) = lend::lend(&mut hear, || survive(run));
        drop(watch);
        if let Some(payload) = panicked {
            panic::resume_unwind(payload);
        }
        if let Some(remains) = remains {
            self.threads.clear_away(remains, outcome.peak_memory);
        }
        outcome
    }

    fn evidence(
        &self,
        outcome: Outcome,
        streams: Streams,
        attempt: &Attempt<'_>,
        stop: &StopHandle,
    ) -> Evidence {
        let mut usage = Usage {
            wall: attempt.began.elapsed(),
            cpu: outcome.cpu,
            peak_memory: outcome.peak_memory,
            fuel: outcome.fuel,
            ..Usage::default()
        };
        let mut output = streams.finish(&mut usage);
        output.values = outcome.values;
        Evidence {
            testimony: outcome.testimony,
            stopped_by_us: stop.reason(),
            refused_memory: outcome.refused_memory,
            usage,
            output,
            trace: outcome.trace,
            guards: self.image.guards.clone(),
            ..Evidence::of(Source::Trap, outcome.ending)
        }
    }
}

impl Cell for WasmCell {
    fn run(&mut self, attempt: &Attempt<'_>, stop: &StopHandle, ear: &mut dyn Ear) -> Evidence {
        self.tasks_run += 1;
        self.attempt(attempt, stop, ear)
            .unwrap_or_else(|refused| Evidence::never_started(refused.into_refusal()))
    }

    fn is_usable(&self) -> bool {
        self.tasks_run == 0
    }

    fn vitals(&self) -> Vitals {
        // Between attempts there is no instance, so nothing is held.
        Vitals { resident_bytes: 0, tasks_run: self.tasks_run, age: self.opened.elapsed() }
    }
}

fn check_limits(image: &Prepared, limits: &Limits) -> Result<(), LoadError> {
    let needs = ByteSize::bytes(image.code.least_memory());
    if needs > limits.memory {
        let detail =
            format!("it needs {needs} of memory at the start; the limit is {}", limits.memory);
        return Err(LoadError::at(Step::FitLimits, detail));
    }
    if limits.fuel.is_some() && !image.engine.configuration.counts_fuel {
        let detail = "the task limits fuel, but the program was loaded without counting it; \
                      load it with a fuel limit";
        return Err(LoadError::at(Step::Accept, detail));
    }
    Ok(())
}

fn no_thread(error: std::io::Error) -> LoadError {
    LoadError::at(Step::Reserve, format!("no thread can be started for the guest: {error}"))
        .with_errno(error.raw_os_error())
}

/// Ends the guest if the ear panics: then it has nobody to run for.
struct StopOnPanic<'a>(&'a StopHandle);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(StopReason::Cancelled);
        }
    }
}

/// Runs a guest to its end, whatever happens.
fn survive(run: Run) -> (Outcome, Option<Remains>) {
    match panic::catch_unwind(AssertUnwindSafe(|| guest::run(run))) {
        Ok(ended) => ended,
        // A host function that panics is our own mistake, and must not become the caller's.
        Err(payload) => {
            let words = format!("host panic: {}", words_of(payload.as_ref()));
            (Outcome::of(Ending::Trapped(TrapCause::Other(words))), None)
        }
    }
}

/// On a thread of ours: runs the guest and says how it ended. The clock looks after it until then, even if
/// the caller has gone; not longer, or it might stop what is over.
fn perform(run: Run, speaker: &SyncSender<Said>, watch: Watch, cpu: impl Fn(&Signal) -> Duration) {
    let signal = Arc::clone(&run.signal);
    let (outcome, remains) = survive(run);
    drop(watch);
    // Nobody listens any more if the ear has panicked; then nobody wants to know.
    let _ = speaker.send(Said::Ended(Box::new(Outcome { cpu: cpu(&signal), ..outcome })));
    drop(remains);
}

fn words_of(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// On the caller's thread: hears what the guest writes until it has ended.
fn listen(listener: &Receiver<Said>, streams: &mut Streams, ear: &mut dyn Ear) -> Outcome {
    loop {
        match listener.recv() {
            Ok(Said::Wrote(stream, bytes)) => {
                // The guest's side counts against the same limit and ends the guest at it.
                let _: Option<StopReason> = streams.take(stream, &bytes, ear);
            }
            Ok(Said::Ended(outcome)) => return *outcome,
            Err(_) => return Outcome::of(Ending::Vanished),
        }
    }
}

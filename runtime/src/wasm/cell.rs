//! One attempt from the caller's side: start it, listen until it ends, and gather the evidence.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::channel::{Desk, Outbox, Streams, Turn, Warning, Witness};
use crate::evidence::{Ending, Evidence, Source, Step, Usage};
use crate::isolation::{Attempt, Cell, Ear, LoadError, Notice, StopHandle, Vitals};
use crate::limits::Limits;
use crate::quantity::ByteSize;
use crate::task::Entry;

use super::clock::{self, AlarmId, Deadline};
use super::entrance::Entrance;
use super::guest::{Guest, Outcome, Run};
use super::image::Prepared;
use super::results::Spare;
use super::room::Room;
use super::running::{StopOnPanic, here, listen, perform};
use super::signal::Signal;
use super::sinks::{MOST_ON_THEIR_WAY, Outlet, Way};
use super::stage::Stage;
use super::standing::Standing;
use super::stdin::{self, Input};
use super::threads::Threads;

/// Room for one guest: for one task, or for all tasks of a guest that is kept.
pub(crate) struct WasmCell {
    pub(super) image: Arc<Prepared>,
    threads: Arc<Threads>,
    opened: Instant,
    pub(super) tasks_run: u64,
    /// `None` if it is used once.
    pub(super) kept: Option<Kept>,
}

/// What a guest that is kept is held by.
#[derive(Default)]
pub(super) struct Kept {
    /// Ends the guest, in whatever task it is: each task's own handle is tied to it.
    pub(super) stop: StopHandle,
    /// What the parts of the guest hold on to, from its first task on.
    pub(super) ties: Option<Ties>,
    pub(super) guest: Option<Guest>,
    /// The alarm of calls that follow each other, once there were some.
    pub(super) standing: Option<Standing>,
    /// Its name, for whoever stops such a call.
    pub(super) alarm: Arc<Mutex<Option<AlarmId>>>,
    spare: Spare,
    is_gone: bool,
}

/// What the parts of a guest hold on to as long as they live.
#[derive(Clone)]
pub(super) struct Ties {
    pub(super) signal: Arc<Signal>,
    /// Ends the guest.
    stop: StopHandle,
    pub(super) outlet: Arc<Outlet>,
}

impl WasmCell {
    pub(super) fn new(image: Arc<Prepared>, threads: Arc<Threads>) -> Self {
        Self { image, threads, opened: Instant::now(), tasks_run: 0, kept: None }
    }

    /// One whose guest goes on with the next task.
    pub(super) fn kept(image: Arc<Prepared>, threads: Arc<Threads>) -> Self {
        Self { kept: Some(Kept::default()), ..Self::new(image, threads) }
    }

    /// Everything that can be refused before a guest exists.
    fn admit(&self, attempt: &Attempt<'_>) -> Result<(Entrance, stdin::Source), LoadError> {
        check_limits(&self.image, attempt.limits)?;
        if self.kept.is_some() && matches!(attempt.entry, Entry::Command { .. }) {
            let detail = "a guest that is kept takes calls; a command is over when it has ended";
            return Err(LoadError::at(Step::Accept, detail));
        }
        let entrance = self.image.code.enter(attempt.entry)?;
        if self.kept.is_some() && matches!(entrance, Entrance::Serve { again: None, .. }) {
            let detail = "the guest can't be kept: its module lacks the export `sandtrap_serve`, by which it \
                          is entered again";
            return Err(LoadError::at(Step::Accept, detail));
        }
        let source = match attempt.entry {
            Entry::Command { stdin, .. } => stdin::Source::open(stdin).map_err(|error| {
                LoadError::at(Step::Accept, format!("{stdin} cannot be opened as stdin: {error}"))
                    .with_errno(error.raw_os_error())
            })?,
            Entry::Call { .. } | Entry::Invoke { .. } => stdin::Source::nothing(),
        };
        Ok((entrance, source))
    }

    /// Room for a guest that is not there yet.
    fn room(&self) -> Result<Option<Room>, LoadError> {
        if self.kept.as_ref().is_some_and(|kept| kept.guest.is_some()) {
            return Ok(None);
        }
        let room = Room::take(self.image.code.memories_and_tables());
        room.map(Some).ok_or_else(|| LoadError::at(Step::Reserve, Room::why_none()))
    }

    /// What the guest's parts hold on to: made for it, or there from its last task.
    fn ties(&mut self, way: Way, attempt: &Attempt<'_>, stop: &StopHandle, stage: &Stage) -> Ties {
        let limits = attempt.limits;
        if let Some(Kept { ties: Some(ties), .. }) = &self.kept {
            ties.signal.move_to(stage.bell());
            ties.outlet.renew(way, limits);
            return ties.clone();
        }
        let signal = Arc::new(Signal::new(Arc::clone(stage.bell())));
        let stop = match &self.kept {
            Some(kept) => kept.stop.clone(),
            None => stop.clone(),
        };
        let outlet = Arc::new(Outlet::new(way, &signal, limits, &stop));
        let ties = Ties { signal, stop, outlet };
        if let Some(kept) = &mut self.kept {
            kept.ties = Some(ties.clone());
        }
        ties
    }

    /// By what its guest is told to end, if it has time for that, and listens.
    fn notice(&self, attempt: &Attempt<'_>) -> Option<Notice> {
        let listens =
            self.image.code.has_channel() && matches!(attempt.entry, Entry::Invoke { .. });
        (listens && !attempt.limits.grace.is_zero()).then(Notice::default)
    }

    fn attempt(
        &mut self,
        attempt: &Attempt<'_>,
        callers: &StopHandle,
        ear: &mut dyn Ear,
    ) -> Result<Evidence, LoadError> {
        attempt.check_silence(self.image.code.has_channel())?;
        let (entrance, source) = self.admit(attempt)?;
        let turn = match &self.kept {
            None => Turn::Only,
            Some(kept) => Turn::OneOfMany(if kept.guest.is_some() { self.tasks_run } else { 1 }),
        };
        // A component hears its call, and answers it, in another way.
        let (outbox, witness) = match self.image.code.has_channel() {
            true => {
                let granted = &self.image.granted.functions;
                (Outbox::of(attempt, turn, granted)?, Witness::of(attempt, turn))
            }
            false => (Outbox::default(), Witness::default()),
        };
        let room = self.room()?;
        let stack = self.image.engine.configuration.stack;
        let stage = Stage::find(&self.threads, stack).map_err(no_thread)?;
        let count = stage.count(attempt.began);
        let (speaker, listener) = match &stage {
            Stage::Here(_) => (None, None),
            Stage::Lent(_) => {
                let (speaker, listener) = mpsc::sync_channel(MOST_ON_THEIR_WAY);
                (Some(speaker), Some(listener))
            }
        };
        let way = speaker.clone().map_or(Way::Here, Way::Channel);
        let notice = self.notice(attempt);
        // Whoever asks for an end of one that has time then stops nothing yet.
        let own = notice.is_some().then(StopHandle::new);
        let ties = self.ties(way, attempt, own.as_ref().unwrap_or(callers), &stage);
        let Ties { signal, stop, outlet } = &ties;
        let _tied = (self.kept.is_some() && own.is_none()).then(|| callers.tie(stop));
        let deadline = Deadline {
            stop: stop.clone(),
            signal: Arc::clone(signal),
            engine: self.image.engine.engine.clone(),
            wall: attempt.began.checked_add(attempt.limits.wall),
            cpu: count.end(attempt.limits.cpu),
            silence: attempt.silence,
            grace: notice.clone().map(|notice| (notice, attempt.limits.grace)),
        };
        signal.listen(attempt.silence.is_some());
        let first = deadline.next(attempt.began, Some(attempt.limits.cpu));
        let watch = clock::watch(first, Arc::new(deadline)).map_err(no_thread)?;
        let (engine, alarm, fired) =
            (self.image.engine.engine.clone(), watch.id(), Arc::clone(signal));
        let _stops = stop.on_stop(move || {
            fired.fire();
            engine.increment_epoch();
            clock::hurry(alarm);
        });
        let _told = notice.as_ref().map(|notice| {
            let told = Arc::clone(signal);
            callers.tie_with_notice(stop, notice, move || {
                told.nudge();
                clock::hurry(alarm);
            })
        });
        let asked = Arc::clone(signal);
        let wake = move || asked.nudge();
        let desk = Desk::open(&self.image.granted, attempt, stop, notice.clone(), wake);
        let run = Run {
            image: Arc::clone(&self.image),
            entrance,
            limits: attempt.limits.clone(),
            input: Input::new(source, Arc::clone(stage.bell())).bounded(attempt.limits.stdin, stop),
            outlet: Arc::clone(outlet),
            signal: Arc::clone(signal),
            stop: stop.clone(),
            witness: witness.storing_in(self.image.results_in.clone()),
            outbox,
            desk,
            warning: Warning::of(attempt, turn, notice),
            room,
            spare: self.kept.as_ref().map(|kept| kept.spare.clone()),
        };
        let mut streams = Streams::new(attempt);
        let kept = self.kept.as_mut().and_then(|kept| kept.guest.take());
        let (outcome, mut guest) = match (&stage, speaker.zip(listener)) {
            (Stage::Lent(lease), Some((speaker, listener))) => {
                let _abandoned = StopOnPanic(stop);
                let keeps = self.kept.is_some();
                lease.run(move || perform(run, kept, keeps, &speaker, watch, count));
                listen(&listener, &mut streams, ear)
            }
            _ => {
                let (outcome, guest) = here(run, kept, watch, &mut streams, ear);
                (Outcome { cpu: count.used(signal), ..outcome }, guest)
            }
        };
        let outcome = match unsent(guest.as_mut()) {
            // What it made of a call that it did not get is no matter.
            Some(unsent) => Outcome::of(Ending::NeverStarted(unsent.into_refusal())),
            None => outcome,
        };
        self.put_away(guest, &outcome);
        Ok(self.evidence(outcome, streams, attempt, stop))
    }

    /// Keeps a guest that may go on, and has the others cleared away.
    fn put_away(&mut self, guest: Option<Guest>, outcome: &Outcome) {
        match &mut self.kept {
            Some(kept) if outcome.is_orderly => kept.guest = guest,
            kept => {
                if let Some(kept) = kept {
                    kept.is_gone = true;
                    kept.standing = None;
                }
                if let Some(guest) = guest {
                    self.threads.clear_away(guest, outcome.peak_memory);
                }
            }
        }
    }

    /// The evidence of a call of a kept guest that was its last.
    pub(super) fn bury(
        &mut self,
        outcome: Outcome,
        streams: Streams,
        attempt: &Attempt<'_>,
    ) -> Evidence {
        let kept = self.kept.as_mut();
        let stop = kept.as_ref().map(|kept| kept.stop.clone()).unwrap_or_default();
        let guest = kept.and_then(|kept| kept.guest.take());
        self.put_away(guest, &outcome);
        self.evidence(outcome, streams, attempt, &stop)
    }

    /// How it was doing at that moment.
    pub(crate) fn vitals_at(&self, now: Instant) -> Vitals {
        let guest = self.kept.as_ref().and_then(|kept| kept.guest.as_ref());
        let resident_bytes = guest.map_or(0, Guest::holds);
        let age = now.saturating_duration_since(self.opened);
        Vitals { resident_bytes, tasks_run: self.tasks_run, age }
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
            told_to_end: outcome.told,
            hurried: outcome.told.is_some() && stop.is_urgent(),
            refused_memory: outcome.refused_memory,
            outside: outcome.outside,
            thrown: outcome.thrown,
            core_dump: outcome.core_dump,
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
        if !self.is_usable() {
            let detail =
                "this cell's guest is gone: it ended in disorder, or was used up; open another one";
            return Evidence::never_started(LoadError::at(Step::Accept, detail).into_refusal());
        }
        self.tasks_run += 1;
        self.attempt(attempt, stop, ear)
            .unwrap_or_else(|refused| Evidence::never_started(refused.into_refusal()))
    }

    fn is_usable(&self) -> bool {
        match &self.kept {
            None => self.tasks_run == 0,
            // A stop that came too late for its task is a stop all the same.
            Some(Kept { is_gone, stop, .. }) => !is_gone && stop.reason().is_none(),
        }
    }

    fn vitals(&self) -> Vitals {
        self.vitals_at(Instant::now())
    }
}

/// Why its call could not be sent to it as a whole.
fn unsent(guest: Option<&mut Guest>) -> Option<LoadError> {
    guest?.store.data_mut().outbox.unsent()
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

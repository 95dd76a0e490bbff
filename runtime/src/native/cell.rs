//! A place for a guest: has its process started, served, and ended, and says what was seen.
//!
//! ```text
//!             started in advance              the only task
//!   (empty) ----------------------> ready -----------------------> gone
//!      |                              |  called      ^
//!      | called                       v              | answered in order, and it is to stay
//!      +--------------------------> serving ---------+
//!                                     |
//!                                     +--> gone: any other end of the call
//! ```

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandtrap_protocol::PLACED_FROM;

use crate::channel::{Desk, Outbox, Streams, Turn, Witness};
use crate::event::Event;
use crate::evidence::{Ending, Evidence, Output, Refusal, Source, Step, StopReason};
use crate::isolation::{Attempt, Cell, Ear, LoadError, StopHandle, Vitals, Wake};
use crate::limits::Limits;
use crate::start::Start;
use crate::task::{Capture, Entry, Stdin};

use super::arena::Arena;
use super::gathering::{self, Before};
use super::holdings::Holdings;
use super::host_oom::HostKills;
use super::image::Prepared;
use super::keeper::Role;
use super::lane::OurLane;
use super::process::{Leash, NotStarted, Order, Process};
use super::pump::{Finish, Pump, Talk, Until};
use super::quick::{LOUD, Pace};
use super::{refusals, stdin};

const GONE: &str =
    "this guest is gone: its process has ended, or was not to go on; keep another one";

/// A place for one process.
pub(super) struct NativeCell {
    image: Arc<Prepared>,
    opened: Instant,
    pub(super) tasks_run: u64,
    /// Whether its process goes on with the next call.
    stays: bool,
    pub(super) process: Option<Process>,
    /// Where what it says is read into, call after call.
    pub(super) piece: Vec<u8>,
    /// What is left of one that has ended: its group, which is removed with the cell, when its report is on its way.
    remains: Option<Process>,
    /// For its quick calls.
    pub(super) pace: Pace,
}

/// What there is for an attempt before it begins.
enum Found {
    /// A process that waits for its call.
    Waiting(Box<Process>),
    /// None, or none of use: one is started.
    Nobody,
    /// One with a past that has ended.
    Gone,
}

impl NativeCell {
    /// One whose process is started with its task, and used once.
    pub(super) fn new(image: Arc<Prepared>) -> Self {
        Self {
            image,
            opened: Instant::now(),
            tasks_run: 0,
            stays: false,
            process: None,
            piece: Vec::new(),
            remains: None,
            pace: Pace::default(),
        }
    }

    /// One whose process is there already, under the limits of its program, and waits for a call: for the only one, or
    /// for each.
    pub(super) fn ready(
        image: Arc<Prepared>,
        limits: &Limits,
        stays: bool,
    ) -> Result<Self, Refusal> {
        // Its inputs are not known yet.
        let room = Some(limits.result.as_u64());
        let mut cell = Self { stays, ..Self::new(image) };
        let began = cell.opened;
        let arguments = &cell.image.arguments_of_calls;
        cell.process = match cell.start(arguments, &Stdin::Null, limits, began, Leash::new()?, room)
        {
            Ok(process) => Some(process),
            Err(NotStarted::Stopped) => None,
            Err(NotStarted::Refused(refusal)) => return Err(refusal),
            Err(NotStarted::NotWarm(_)) => return Err(refusals::not_warm()),
        };
        Ok(cell)
    }

    fn start(
        &self,
        arguments: &[OsString],
        stdin: &Stdin,
        limits: &Limits,
        began: Instant,
        leash: Leash,
        input: Option<u64>,
    ) -> Result<Process, NotStarted> {
        let left = limits.wall.saturating_sub(began.elapsed());
        let Some(stdin) = stdin::open(stdin, &leash.bell, left)? else {
            // A pipe that nobody has opened for writing; shells wait there, too.
            leash.stop.stop(StopReason::WallTime);
            return Err(NotStarted::Stopped);
        };
        let deadline = began.checked_add(limits.wall);
        let role = match self.image.start {
            Start::Spawn => Role::Task,
            Start::Fork => Role::Fork,
        };
        let (stays, is_early) = (self.stays, self.tasks_run == 0);
        let order = Order { role, arguments, stdin, limits, deadline, stays, is_early, input };
        Process::start(&self.image, order, leash)
    }

    /// The process that is there for this attempt already, if it can be used.
    fn at_hand(&mut self, attempt: &Attempt<'_>) -> Result<Found, Refusal> {
        let is_call = matches!(attempt.entry, Entry::Invoke { .. });
        if self.stays && !is_call {
            let detail = "a process that is kept takes calls of its functions; a command is over when it has \
                          ended: run it by itself";
            return Err(rejected(detail));
        }
        let (was_called, process) = (self.tasks_run > 0, self.process.take());
        if was_called && !process.as_ref().is_some_and(|process| process.waits(true)) {
            return Ok(Found::Gone);
        }
        let Some(process) = process else { return Ok(Found::Nobody) };
        let misfit = process.misfit(attempt.limits);
        if let Some(limit) = misfit.filter(|_| was_called) {
            self.process = Some(process);
            let detail = format!(
                "the {limit} limit stays with a process, and this one was started with another; keep another \
                 one for it, or leave the limit as it was"
            );
            return Err(rejected(&detail));
        }
        // One that was never called has no state to lose.
        let is_of_use = is_call && misfit.is_none() && (was_called || process.waits(false));
        Ok(if is_of_use { Found::Waiting(Box::new(process)) } else { Found::Nobody })
    }

    fn attempt(
        &mut self,
        attempt: &Attempt<'_>,
        callers: &StopHandle,
        ear: &mut dyn Ear,
    ) -> Result<Evidence, Refusal> {
        let image = Arc::clone(&self.image);
        // Whatever becomes of it, nobody else goes on with it.
        let begun = self.pace.begun.take();
        let (arguments, stdin) = command(attempt, &image.arguments_of_calls)?;
        let found = match begun {
            None => self.at_hand(attempt)?,
            Some(_) => self.process.take().map_or(Found::Gone, |it| Found::Waiting(Box::new(it))),
        };
        let at_hand = match found {
            Found::Waiting(process) => Some(*process),
            Found::Nobody => None,
            Found::Gone => {
                let gone = Evidence::never_started(rejected(GONE));
                return Ok(Evidence { unread: true, ..gone });
            }
        };
        let was_there = at_hand.is_some();
        self.tasks_run += u64::from(begun.is_none());
        let turn = if self.stays { Turn::OneOfMany(self.tasks_run) } else { Turn::Only };
        // What can't be sent is refused before there is a process.
        let sent = match begun {
            None => Outbox::of(attempt, turn).map_err(LoadError::into_refusal)?,
            Some(_) => Outbox::default(),
        };
        let host_kills = HostKills::so_far();
        let leash = match &at_hand {
            Some(process) => process.leash.clone(),
            None => Leash::new()?,
        };
        let _tied = callers.tie(&leash.stop);
        let (mut process, before) = match at_hand {
            Some(mut process) => {
                self.listen_anew(&process, begun.is_some());
                if !self.stays {
                    process.come_near();
                }
                let before = match &begun {
                    None => Before::of(&process),
                    Some(begun) => Before::of_begun(&process, begun.began.elapsed()),
                };
                (process, before)
            }
            None => {
                let stop = leash.stop.clone();
                let (limits, began) = (attempt.limits, attempt.began);
                let is_call = matches!(attempt.entry, Entry::Invoke { .. });
                let input = is_call.then(|| large_input(attempt).len() as u64);
                match self.start(arguments, stdin, limits, began, leash, input) {
                    Ok(process) => (process, Before::default()),
                    Err(NotStarted::Stopped) => return Ok(vanished(&stop)),
                    Err(NotStarted::Refused(refusal)) => return Err(refusal),
                    Err(NotStarted::NotWarm(evidence)) => return Ok(told(*evidence, attempt, ear)),
                }
            }
        };
        let pid = process.launched.pid.unsigned_abs();
        ear.hear(Event::Started { pid });
        let woken = Arc::clone(&process.leash.bell);
        let desk =
            Desk::open(&self.image.granted, attempt, &process.leash.stop, move || woken.ring());
        let outbox = match process.has_placed(large_input(attempt)) {
            true => Outbox::of_placed(attempt, turn).map_err(LoadError::into_refusal)?,
            false => sent,
        };
        let streams = Streams::new(attempt);
        let mut witness = Witness::of(attempt, turn).storing_in(self.image.results_in.clone());
        witness.has_room(process.arena.as_ref().map_or(0, Arena::size));
        if process.offer.is_some() {
            witness.has_offered_lane();
        }
        let piece = std::mem::take(&mut self.piece);
        let talk = Talk::new(streams, witness, outbox, desk, ear, piece);
        let until = if self.stays { Until::Answered } else { Until::Gone };
        let pump = Pump::new(attempt, &process, until, before.cpu).going_on(begun);
        let mut served = pump.run(talk);
        if let Some(unsent) = served.unsent.take() {
            return Err(unsent.into_refusal());
        }
        self.piece = std::mem::take(&mut served.piece);
        let (finish, is_unread) = (served.finish, served.is_unread);
        if finish == Finish::Answered {
            process.settle_lane(served.witness.has_taken_lane());
        }
        let mut evidence = gathering::all(attempt, &process, served, before, host_kills);
        // One that ends at its start, by itself, would do so with every task.
        let was_well = self.tasks_run > 1 || matches!(evidence.ending, Ending::Signalled(_));
        let was_stopped = evidence.stopped_by_us.is_some();
        let has_written = evidence.usage.stdout_bytes + evidence.usage.stderr_bytes > 0;
        self.pace.loud = if has_written { LOUD } else { self.pace.loud.saturating_sub(1) };
        evidence.unread = was_there && was_well && is_unread && !was_stopped;
        self.put_away(process, &evidence, finish, before.cpu);
        Ok(evidence)
    }

    /// Where its calls may be quick, if they may.
    pub(super) fn lane(&self) -> Option<&OurLane> {
        self.process.as_ref()?.lane.as_ref()
    }

    /// From here on its streams are this task's, unless that has begun already: nobody has asked for the words of those
    /// before it.
    fn listen_anew(&mut self, process: &Process, is_begun: bool) {
        if std::mem::take(&mut self.pace.unheard) && !is_begun {
            process.forget_output();
        }
    }

    /// Keeps a process that may go on.
    fn put_away(
        &mut self,
        mut process: Process,
        evidence: &Evidence,
        finish: Finish,
        cpu_before: Duration,
    ) {
        process.launched.presence = None;
        let is_orderly = finish == Finish::Answered
            && evidence.stopped_by_us.is_none()
            && evidence.testimony.lets_go_on();
        if is_orderly {
            process.rest(cpu_before + evidence.usage.cpu);
            self.process = Some(process);
        } else if finish == Finish::Answered {
            // It lives, and shall not any longer.
            drop(process);
        } else {
            // The kernel ends a namespace with its first process, and lets nobody hear of that before it has.
            let nobody_is_left =
                process.standing.own_pids && !matches!(evidence.ending, Ending::Vanished);
            let group = process.group.take().and_then(Arc::into_inner);
            if let Some(group) = group.filter(|_| nobody_is_left) {
                self.image.shelf.put(group);
            }
            self.remains = Some(process);
        }
    }
}

impl Cell for NativeCell {
    fn run(&mut self, attempt: &Attempt<'_>, stop: &StopHandle, ear: &mut dyn Ear) -> Evidence {
        let mut evidence = self.attempt(attempt, stop, ear).unwrap_or_else(Evidence::never_started);
        evidence.usage.wall = attempt.began.elapsed();
        evidence
    }

    fn is_usable(&self) -> bool {
        match &self.process {
            Some(process) => process.waits(self.tasks_run > 0),
            None => !self.stays && self.tasks_run == 0,
        }
    }

    fn when_ended(&self, call: Wake) {
        if let Some(process) = &self.process {
            process.launched.done.call(call);
        }
    }

    fn vitals(&self) -> Vitals {
        let holdings = self.process.as_ref().and_then(|process| process.holdings.as_ref());
        let resident_bytes = holdings.map_or(0, Holdings::resident);
        Vitals { resident_bytes, tasks_run: self.tasks_run, age: self.opened.elapsed() }
    }
}

/// The input, if it is one that need not be sent.
fn large_input<'a>(attempt: &Attempt<'a>) -> &'a [u8] {
    match attempt.entry {
        // What lies in a file is sent from there.
        Entry::Invoke { input, .. } if input.path().is_some() => &[],
        Entry::Invoke { input, .. } if input.bytes().len() >= PLACED_FROM => input.bytes(),
        Entry::Invoke { .. } | Entry::Command { .. } | Entry::Call { .. } => &[],
    }
}

/// The guest that this task was to be a fork of did not become warm. What it wrote is heard after all.
fn told(mut evidence: Evidence, attempt: &Attempt<'_>, ear: &mut dyn Ear) -> Evidence {
    if let Some(pid) = evidence.pid {
        ear.hear(Event::Started { pid });
    }
    let Output { stdout, stderr_tail, .. } = &mut evidence.output;
    ear.hear(Event::Stdout(stdout.as_deref().unwrap_or_default()));
    ear.hear(Event::Stderr(stderr_tail));
    if attempt.stdout == Capture::Discard {
        *stdout = None;
    }
    evidence
}

fn vanished(stop: &StopHandle) -> Evidence {
    let stopped_by_us = stop.reason();
    Evidence { stopped_by_us, ..Evidence::of(Source::Status, Ending::Vanished) }
}

fn rejected(detail: &str) -> Refusal {
    Refusal { step: Step::Accept, errno: None, detail: detail.to_owned() }
}

/// A process can only be entered at its beginning, and its instructions are not counted.
fn command<'a>(
    attempt: &Attempt<'a>,
    of_calls: &'a [OsString],
) -> Result<(&'a [OsString], &'a Stdin), Refusal> {
    if attempt.limits.fuel.is_some() {
        return Err(rejected(
            "fuel counts the instructions of a module; bound a process by its cpu limit instead",
        ));
    }
    match attempt.entry {
        Entry::Command { args, stdin } => Ok((args, stdin)),
        Entry::Invoke { .. } => Ok((of_calls, &Stdin::Null)),
        Entry::Call { .. } => Err(rejected(
            "a process has no exports that could be called; run it as a command instead",
        )),
    }
}

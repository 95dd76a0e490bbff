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
//!
//! One that is started with its task is served to its own end, and so is one that stood ready for a command. One that was started
//! before a call, and a fork of a warm guest, is served to its answer, even if it is the only one: what is left is cleared away behind the report.

mod at_hand;
mod held;
mod words;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Instant;

use crate::channel::{Desk, Outbox, Streams, Turn, Warning, Witness};
use crate::event::Event;
use crate::evidence::{Ending, Evidence, Refusal, StopReason};
use crate::isolation::{Attempt, Cell, Ear, LoadError, Notice, StopHandle, Vitals, Wake};
use crate::limits::Limits;
use crate::start::Start;
use crate::task::{Entry, Stdin};

use super::arena::Arena;
use super::boot::Booted;
use super::feed::Feed;
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
use at_hand::Found;
use held::Held;
use words::{command, large_input, rejected, stopped, told};

const GONE: &str =
    "this guest is gone: its process has ended, or was not to go on; keep another one";

/// A place for one process.
pub(super) struct NativeCell {
    pub(super) image: Arc<Prepared>,
    pub(super) opened: Instant,
    pub(super) tasks_run: u64,
    /// Whether its process goes on with the next call.
    stays: bool,
    pub(super) process: Option<Box<Process>>,
    /// Where what it says is read into, call after call.
    pub(super) piece: Vec<u8>,
    /// One that has ended, or was killed and is about to. What is left of it goes with the cell, when its report is on its
    /// way.
    remains: Option<Box<Process>>,
    /// Whether that one was left alive.
    lingers: bool,
    /// What was heard of it before its first call.
    pub(super) booted: Option<Booted>,
    /// The command for which its process stands ready, if it is not for calls.
    held: Option<Held>,
    /// For its quick calls.
    pub(super) pace: Pace,
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
            lingers: false,
            booted: None,
            held: None,
            pace: Pace::default(),
        }
    }

    /// One whose process is there already, under the limits of its program, and waits for a call: for the only one, or
    /// for each.
    pub(super) fn started(
        image: Arc<Prepared>,
        stays: bool,
        stop: &StopHandle,
    ) -> Result<Self, LoadError> {
        let mut cell = Self::new(image);
        cell.stays = stays;
        let (limits, began) = (&cell.image.limits, cell.opened);
        // Its inputs are not known yet.
        let room = Some(limits.result.as_u64());
        let (arguments, leash) = (&cell.image.arguments_of_calls, Leash::new()?);
        let own = leash.stop.clone();
        let _tied = stop.tie(&own);
        let mut seen = match cell.start(arguments, &Stdin::Null, limits, began, leash, room) {
            Ok((process, _)) => {
                cell.process = Some(process);
                return Ok(cell);
            }
            Err(NotStarted::Refused(refusal)) => return Err(refusal.into()),
            Err(NotStarted::Stopped) => stopped(&own),
            Err(NotStarted::NotWarm(evidence)) => *evidence,
        };
        seen.usage.wall = cell.opened.elapsed();
        Err(LoadError::ended(refusals::not_ready(&seen), seen))
    }

    fn start(
        &self,
        arguments: &[OsString],
        stdin: &Stdin,
        limits: &Limits,
        began: Instant,
        leash: Leash,
        input: Option<u64>,
    ) -> Result<(Box<Process>, Option<Feed>), NotStarted> {
        let left = limits.wall.saturating_sub(began.elapsed());
        let Some((stdin, feed)) = stdin::open(stdin, limits.stdin, &leash.bell, left)? else {
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
        Ok((Box::new(Process::start(&self.image, order, leash)?), feed))
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
            Some(_) => self.process.take().map_or(Found::Gone, Found::Waiting),
        };
        let at_hand = match found {
            Found::Waiting(process) => Some(process),
            Found::Nobody => None,
            Found::Gone => {
                let gone = Evidence::never_started(rejected(GONE));
                return Ok(Evidence { unread: true, ..gone });
            }
        };
        let was_there = at_hand.is_some();
        let booted = self.booted.take().filter(|_| was_there);
        let was_ready = booted.is_some();
        self.tasks_run += u64::from(begun.is_none());
        let is_fork = image.start == Start::Fork;
        let held = self.held.take().filter(|_| was_there);
        let until = match (self.stays, (was_there && held.is_none()) || is_fork) {
            (true, _) => Until::Answered,
            (false, true) => Until::Served,
            (false, false) => Until::Gone,
        };
        let turn = match &booted {
            Some(booted) => booted.turn,
            None if until == Until::Gone => Turn::Only,
            None => Turn::OneOfMany(self.tasks_run),
        };
        let granted = &image.granted.functions;
        // What can't be sent is refused before there is a process.
        let sent = match begun {
            None => Outbox::of(attempt, turn, granted),
            Some(_) => Ok(Outbox::default()),
        };
        let sent = match sent {
            Ok(sent) => sent,
            Err(unsendable) => {
                // Its guest has heard nothing of it, and goes on.
                (self.process, self.booted, self.held) = (at_hand, booted, held);
                self.tasks_run -= 1;
                return Err(unsendable.into_refusal());
            }
        };
        let host_kills = HostKills::so_far();
        let leash = match &at_hand {
            Some(process) => process.leash.clone(),
            None => Leash::new()?,
        };
        // Until there is somebody who could be told anything, there is nobody to give time to.
        let mut tied = callers.tie(&leash.stop);
        let (mut process, before, feed) = match at_hand {
            Some(mut process) => {
                self.listen_anew(&process, begun.is_some());
                if !self.stays {
                    // Its end is its task's from here on, and no news to those who had it stand ready.
                    process.launched.done.hush();
                }
                if !self.stays && process.lane.is_none() {
                    process.come_near();
                }
                let ago = begun.as_ref().map(|begun| begun.began.elapsed());
                let before = Before::of(&process, ago);
                (process, before, None)
            }
            None => {
                let stop = leash.stop.clone();
                let (limits, began) = (attempt.limits, attempt.began);
                let is_call = matches!(attempt.entry, Entry::Invoke { .. });
                let input = is_call.then(|| large_input(attempt).len() as u64);
                match self.start(arguments, stdin, limits, began, leash, input) {
                    Ok((process, feed)) => (process, Before::default(), feed),
                    Err(NotStarted::Stopped) => return Ok(stopped(&stop)),
                    Err(NotStarted::Refused(refusal)) => return Err(refusal),
                    Err(NotStarted::NotWarm(evidence)) => return Ok(told(*evidence, attempt, ear)),
                }
            }
        };
        let notice = (!attempt.limits.grace.is_zero()).then(Notice::default);
        if let Some(notice) = &notice {
            let bell = Arc::clone(&process.leash.bell);
            tied = callers.tie_with_notice(&process.leash.stop, notice, move || bell.ring());
        }
        let _tied = tied;
        ear.hear(Event::Started { pid: process.launched.pid.unsigned_abs() });
        let woken = Arc::clone(&process.leash.bell);
        let wake = move || woken.ring();
        let stop = &process.leash.stop;
        let desk = Desk::open(&image.granted, attempt, stop, notice.clone(), wake);
        let outbox = match process.has_placed(large_input(attempt)) {
            true => Outbox::of_placed(attempt, turn, granted).map_err(LoadError::into_refusal)?,
            false => sent,
        };
        let streams = Streams::new(attempt);
        let mut witness = Witness::of(attempt, turn).storing_in(self.image.results_in.clone());
        if let Some(booted) = booted {
            witness = witness.having_greeted(booted.witness);
        }
        if until == Until::Served && was_there {
            witness.ends_with_answer();
        }
        witness.has_room(process.arena.as_ref().map_or(0, Arena::size));
        if process.offer.is_some() {
            witness.has_offered_lane();
        }
        if let Some(held) = &held {
            held.begin(attempt, &process)?;
        }
        let piece = std::mem::take(&mut self.piece);
        let talk = Talk::new(streams, witness, outbox, desk, ear, piece);
        let warning = Warning::of(attempt, turn, notice);
        let pump = Pump::new(attempt, &process, until, before.cpu).going_on(begun).feeding(feed);
        let pump = pump.warning(warning);
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
        let was_well =
            was_ready || self.tasks_run > 1 || matches!(evidence.ending, Ending::Signalled(_));
        let was_stopped = evidence.stopped_by_us.is_some();
        let has_written = evidence.usage.stdout_bytes + evidence.usage.stderr_bytes > 0;
        self.pace.loud = if has_written { LOUD } else { self.pace.loud.saturating_sub(1) };
        let was_read = match held {
            // It stood in front of its first instruction until it was let begin.
            Some(_) => !evidence.unread,
            None => !(was_there && was_well && is_unread),
        };
        evidence.unread = !was_read && !was_stopped;
        self.put_away(process, &evidence, finish, before, was_ready);
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
        mut process: Box<Process>,
        evidence: &Evidence,
        finish: Finish,
        before: Before,
        was_ready: bool,
    ) {
        process.launched.presence = None;
        let is_orderly = finish == Finish::Answered
            && evidence.stopped_by_us.is_none()
            && evidence.testimony.lets_go_on();
        if is_orderly && self.stays {
            process.rest(before.cpu + evidence.usage.cpu);
            self.process = Some(process);
        } else if is_orderly {
            // Nobody waits for its end, and it shall not take the caller's processor for it. Those that stand ready are used one after
            // another: the end of one would take the processor on which the next one is to wake.
            process.lane.iter().for_each(OurLane::looks_away);
            process.family.let_go();
            self.lingers = was_ready;
            if !was_ready {
                process.family.kill(process.launched.pid);
            }
            self.remains = Some(process);
        } else if finish == Finish::Answered {
            // It lives, and shall not any longer.
            drop(process);
        } else {
            // The kernel ends a namespace with its first process, and lets nobody hear of that before it has.
            let nobody_is_left =
                process.standing.own_pids && !matches!(evidence.ending, Ending::Vanished);
            let group = process.group.take().and_then(Arc::into_inner);
            if let Some(group) = group.filter(|_| nobody_is_left) {
                // It was asked when it had ended.
                let kills = before.oom_kills + evidence.oom_kills;
                drop(self.image.behind.shelf.put(group, kills));
            }
            self.remains = Some(process);
        }
    }
}

impl Drop for NativeCell {
    fn drop(&mut self) {
        self.remains.take().into_iter().for_each(|process| self.image.behind.clear(process));
    }
}

impl Cell for NativeCell {
    fn run(&mut self, attempt: &Attempt<'_>, stop: &StopHandle, ear: &mut dyn Ear) -> Evidence {
        let mut evidence = self.attempt(attempt, stop, ear).unwrap_or_else(Evidence::never_started);
        evidence.usage.wall = attempt.began.elapsed();
        evidence
    }

    fn lingers(&self) -> Option<Wake> {
        let process = self.remains.as_ref().filter(|_| self.lingers)?;
        let (family, pid) = (Arc::clone(&process.family), process.launched.pid);
        Some(Arc::new(move || family.kill(pid)))
    }

    fn leave(mut self: Box<Self>) {
        self.remains.take().into_iter().for_each(|process| self.image.behind.leave(process));
    }

    fn is_usable(&self) -> bool {
        match &self.process {
            Some(process) => process.waits(self.tasks_run > 0),
            None => !self.stays && self.tasks_run == 0,
        }
    }

    fn suits(&self, limits: &Limits) -> bool {
        self.process.as_ref().is_none_or(|process| process.misfit(limits).is_none())
    }

    fn awaits(&self, entry: &Entry, limits: &Limits) -> bool {
        self.is_open_to(entry, limits)
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

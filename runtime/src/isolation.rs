//! The contract between the walls and everything above them.
//!
//! An [`Isolation`] loads a program into an [`Image`]; an image opens [`Cell`]s; a cell runs attempts and
//! gives [`Evidence`]. Loading is the only step that may fail with an error: no task exists yet. From
//! then on everything that goes wrong is an ending.
//!
//! The contract is blocking: one thread for each running cell. A stop, from any thread, goes through the
//! [`StopHandle`], which writes the reason down before it wakes whoever does the killing.

#[path = "isolation/shortcut.rs"]
mod shortcut;
#[path = "isolation/stop.rs"]
mod stop;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::evidence::{Evidence, Guard, Refusal, Step, StopReason};
use crate::limits::Limits;
use crate::permissions::GrantError;
use crate::quantity::ByteSize;
use crate::task::{Capture, Entry, Program, TaskId};

pub(crate) use shortcut::{Brief, Quick, Shortcut};
pub(crate) use stop::Notice;
pub use stop::{StopGuard, StopHandle, Wake};

/// One kind of wall.
pub trait Isolation: Send + Sync {
    /// Makes a program ready to run again and again.
    fn load(&self, program: &Program) -> Result<Arc<dyn Image>, LoadError>;

    /// The same, and gives up when it is stopped meanwhile. A wall that loads in no time need not listen.
    fn load_until(
        &self,
        program: &Program,
        stop: &StopHandle,
    ) -> Result<Arc<dyn Image>, LoadError> {
        let _ = stop;
        self.load(program)
    }
}

/// A program made ready: a compiled module, an opened executable.
pub trait Image: Send + Sync {
    /// Opens one more blast radius for it.
    fn open(&self) -> Result<Box<dyn Cell>, OpenError>;

    /// Opens one whose guest goes on with the next task, as long as each ends in order.
    fn keep(&self) -> Result<Box<dyn Cell>, OpenError> {
        let detail =
            "programs behind this wall can't be kept between tasks; run each task by itself";
        Err(LoadError::at(Step::Accept, detail))
    }

    /// The same, until it is stopped.
    fn keep_until(&self, stop: &StopHandle) -> Result<Box<dyn Cell>, OpenError> {
        let _ = stop;
        self.keep()
    }

    /// Opens one whose guest has been started, and has come as far as it can before its task is known: for one call, or for
    /// one after another. Waits for that, until it is stopped.
    fn ready(&self, keeps: bool, stop: &StopHandle) -> Result<Box<dyn Cell>, OpenError> {
        let _ = stop;
        if keeps { self.keep() } else { self.open() }
    }

    /// Opens one whose guest has been started for this command, and has not begun. Waits for that, until it is stopped.
    fn ready_for(&self, entry: &Entry, stop: &StopHandle) -> Result<Box<dyn Cell>, OpenError> {
        let _ = (entry, stop);
        let detail = "guests behind this wall begin at once; nothing is gained by one that stands ready for a command";
        Err(LoadError::at(Step::Accept, detail))
    }

    /// What is left of these limits on this host, which may have less itself than its guest is to have. That is
    /// what holds, and what the report says.
    fn grantable(&self, limits: Limits) -> Limits {
        limits
    }

    /// Whether its attempts end in time whatever their guests do, so that callers of a pool may run them themselves.
    fn keeps_time(&self) -> bool {
        false
    }

    /// Whether a task of it can reach nothing but its own cell: then it may be done twice whatever it does.
    fn is_pure(&self) -> bool {
        false
    }

    /// The guards that stand around every task of it.
    fn guards(&self) -> Vec<Guard>;
}

/// One blast radius: one process, one instance. It runs attempts one after another until it dies.
pub trait Cell: Send + Any {
    /// Runs one attempt to its end. Cannot fail: whatever happens is evidence; also whether its guest was gone before it
    /// had the task ([`Evidence::unread`]).
    fn run(&mut self, attempt: &Attempt<'_>, stop: &StopHandle, ear: &mut dyn Ear) -> Evidence;

    /// Whether it may run another attempt. Never again after an ending that was not orderly.
    fn is_usable(&self) -> bool;

    /// Whether an attempt under these limits can run in it. Some are a guest's from its start on.
    fn suits(&self, limits: &Limits) -> bool {
        let _ = limits;
        true
    }

    /// Whether one that is ready in advance is so for this: for calls under its limits, unless it was opened for something else.
    fn awaits(&self, entry: &Entry, limits: &Limits) -> bool {
        matches!(entry, Entry::Invoke { .. }) && self.suits(limits)
    }

    /// What ends a guest that was left as it was after its only task, from any thread: for whoever may drop the cell late.
    fn lingers(&self) -> Option<Wake> {
        None
    }

    /// Nobody will use it any more, or waits for what is left of it: it may be cleared away later, but no later than its image.
    fn leave(self: Box<Self>) {}

    /// How it is doing.
    fn vitals(&self) -> Vitals;

    /// Has somebody called when its guest ends, from any thread, be it while nobody runs it. Where no guest can end by
    /// itself, nobody is called. Whoever is called may ask each cell how it is, so it is to be done while nothing is held that
    /// they need for that.
    fn when_ended(&self, call: Wake) {
        let _ = call;
    }
}

/// One try at a task.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The task tried.
    pub task: &'a TaskId,
    /// How the program is entered.
    pub entry: &'a Entry,
    /// The caps in force.
    pub limits: &'a Limits,
    /// Whether stdout is kept for the report.
    pub stdout: Capture,
    /// When the attempt began; its wall time counts from here.
    pub began: Instant,
    /// How long its guest may say nothing over its channel.
    pub silence: Option<Duration>,
}

impl Attempt<'_> {
    /// Refuses a bound on silence for what has no way to speak: an export that is called by its types, or a guest that is
    /// known to have no channel.
    pub(crate) fn check_silence(&self, has_channel: bool) -> Result<(), LoadError> {
        let speaks = has_channel && matches!(self.entry, Entry::Invoke { .. });
        if self.silence.is_none() || speaks {
            return Ok(());
        }
        let detail = "only functions of guests that link sandtrap-guest can say that they are alive; keep this guest \
                      without `max_silence`";
        Err(LoadError::at(Step::Accept, detail))
    }
}

/// Hears what happens while an attempt runs. Called on the thread that runs the cell.
pub trait Ear {
    /// Takes one event. A slow ear slows the guest down; nothing is lost.
    fn hear(&mut self, event: Event<'_>);
}

impl Evidence {
    /// Tells an ear what came before anybody listened, with the stdout that was kept of it.
    pub(crate) fn retell(&self, stdout: Option<&[u8]>, ear: &mut dyn Ear) {
        if let Some(pid) = self.pid {
            ear.hear(Event::Started { pid });
        }
        ear.hear(Event::Stdout(stdout.unwrap_or_default()));
        ear.hear(Event::Stderr(&self.output.stderr_tail));
    }
}

/// An ear for those who only want the report.
#[derive(Debug, Default)]
pub struct Deaf;

impl Ear for Deaf {
    fn hear(&mut self, _: Event<'_>) {}
}

impl<F: FnMut(Event<'_>)> Ear for F {
    fn hear(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// How a cell is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Memory it holds between attempts.
    pub resident_bytes: u64,
    /// Attempts it has run.
    pub tasks_run: u64,
    /// How long it has existed.
    pub age: Duration,
}

/// Whether a task of a program may have these limits.
pub(crate) fn admit(program: &Program, limits: &Limits) -> Result<(), LoadError> {
    limits.check().map_err(|error| LoadError::at(Step::Accept, error.to_string()))?;
    if limits.stack != program.policy().limits.stack {
        return Err(LoadError::at(
            Step::Accept,
            "the stack limit is fixed when a program is loaded; load it again with the other one",
        ));
    }
    let has_none = program.policy().limits.scratch == ByteSize::bytes(0);
    if has_none && limits.scratch > ByteSize::bytes(0) {
        return Err(LoadError::at(
            Step::Accept,
            "whether a task has a scratch is fixed when a program is loaded; load it with a scratch limit",
        ));
    }
    Ok(())
}

/// A program that can't be made ready.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", refusal.detail)]
pub struct LoadError {
    refusal: Refusal,
    /// What was seen, where more is known than that it was refused.
    seen: Option<Box<Evidence>>,
}

/// A cell that can't be opened. The same facts: no guest code ran.
pub type OpenError = LoadError;

impl LoadError {
    /// An error of one step, in words that say what to do.
    pub fn at(step: Step, detail: impl Into<String>) -> Self {
        Self { refusal: Refusal { step, errno: None, detail: detail.into() }, seen: None }
    }

    /// Nothing is wrong with the program: loading it was stopped from outside.
    pub fn stopped(reason: StopReason) -> Self {
        let detail = format!("loading it was stopped: {}", reason.name());
        let seen = Evidence::stopped_before_it_began(reason);
        Self { seen: Some(Box::new(seen)), ..Self::at(Step::Accept, detail) }
    }

    /// Its guest was started, and came to this end before it could have a task: whoever has one for it is told that.
    pub(crate) fn ended(refusal: Refusal, seen: Evidence) -> Self {
        Self { refusal, seen: Some(Box::new(seen)) }
    }

    /// Why loading was stopped, if that is why there is nothing to run.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.seen.as_ref()?.stopped_by_us
    }

    /// The same, with the system's own error number.
    pub fn with_errno(mut self, errno: Option<i32>) -> Self {
        self.refusal.errno = errno;
        self
    }

    /// The evidence of a task of such a program. What was stopped while it was loaded is a task that was stopped
    /// before its first step.
    pub(crate) fn into_evidence(self) -> Evidence {
        self.seen.map_or_else(|| Evidence::never_started(self.refusal), |seen| *seen)
    }

    /// The facts, for evidence.
    pub fn into_refusal(self) -> Refusal {
        self.refusal
    }
}

impl From<Refusal> for LoadError {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, seen: None }
    }
}

impl PartialEq for LoadError {
    fn eq(&self, other: &Self) -> bool {
        (&self.refusal, self.stop_reason()) == (&other.refusal, other.stop_reason())
    }
}

impl From<GrantError> for LoadError {
    fn from(error: GrantError) -> Self {
        Self::at(Step::Accept, error.to_string()).with_errno(error.errno())
    }
}

#[cfg(test)]
mod tests;

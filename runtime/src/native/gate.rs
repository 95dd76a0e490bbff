//! A program that is there before its task: it has been executed, with the arguments of that task, and stands in front of its
//! first instruction until somebody lets it begin.
//!
//! Its tracer has put it to sleep in a system call that it has not made itself (`pause`), and remembers its registers. A signal
//! wakes it, which its tracer takes from it together with the call: it begins with the registers that the kernel gave it, and has
//! seen nothing of all this. So whoever has a task for it need not wake its tracer first, who hears of nobody but his children.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::evidence::{Refusal, Step};

use super::bell::Bell;
use super::family::Family;
use super::keeper::Launched;
use super::process::{Leash, NotStarted};
use super::status;

/// What wakes it. By itself it does nothing to a program that is not stopped.
pub(super) const CALL: libc::c_int = libc::SIGCONT;

/// Who does not fall asleep within this is kept from it by others.
const PATIENCE: Duration = Duration::from_millis(2);

const COMING: u8 = 0;
const ASLEEP: u8 = 1;
const OPEN: u8 = 2;
const BROKEN: u8 = 3;

/// In front of one program.
#[derive(Debug)]
pub(super) struct Gate {
    state: AtomicU8,
    /// Rung when it sleeps, or can't.
    settled: Bell,
}

impl Gate {
    pub(super) fn new() -> Result<Self, Refusal> {
        Ok(Self { state: AtomicU8::new(COMING), settled: Bell::new()? })
    }

    /// Its tracer has put it to sleep, or could not, and has ended it.
    pub(super) fn settle(&self, sleeps: bool) {
        let settled = if sleeps { ASLEEP } else { BROKEN };
        let change = (Ordering::SeqCst, Ordering::SeqCst);
        // Nobody lets it begin before that, so there is nothing to be lost.
        let _ = self.state.compare_exchange(COMING, settled, change.0, change.1);
        self.settled.ring();
    }

    /// Whether it may begin.
    pub(super) fn is_open(&self) -> bool {
        self.state.load(Ordering::SeqCst) == OPEN
    }

    /// Waits until it sleeps.
    pub(super) fn wait(
        &self,
        launched: &Launched,
        leash: &Leash,
        until: Option<Instant>,
    ) -> Result<(), NotStarted> {
        loop {
            match self.state.load(Ordering::SeqCst) {
                COMING => {}
                BROKEN => return Err(not_here().into()),
                _ => return Ok(()),
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) || launched.is_over() {
                return Err(refused(ENDED).into());
            }
            if leash.stop.reason().is_some() {
                return Err(NotStarted::Stopped);
            }
            let timeout = left.and_then(|left| PollTimeout::try_from(left).ok());
            let mut polled = [
                PollFd::new(self.settled.as_fd(), PollFlags::POLLIN),
                PollFd::new(launched.done.as_fd(), PollFlags::POLLIN),
                PollFd::new(leash.bell.as_fd(), PollFlags::POLLIN),
            ];
            // An interrupted wait is a wait that found nothing.
            let _ = poll(&mut polled, timeout.unwrap_or(PollTimeout::MAX));
        }
    }

    /// Lets it begin.
    pub(super) fn open(&self, family: &Family, pid: i32) {
        self.state.store(OPEN, Ordering::SeqCst);
        family.send(pid, CALL);
    }
}

/// Waits for a moment until a process sleeps that is about to.
pub(super) fn fall_asleep(pid: i32) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && !status::sleeps(pid) {
        std::thread::yield_now();
    }
}

const NOT_HERE: &str = "this host does not let this program be held in front of its first instruction (it takes tracing, and a program of 64 bits \
                        on x86); start it with its task \
                        (`spares: 0`)";
const ENDED: &str =
    "the program has ended, or took too long to be executed, before it could stand ready";

/// Nobody traces it, who could hold it.
pub(super) fn not_here() -> Refusal {
    refused(NOT_HERE)
}

fn refused(detail: &str) -> Refusal {
    Refusal { step: Step::Execute, errno: None, detail: detail.to_owned() }
}

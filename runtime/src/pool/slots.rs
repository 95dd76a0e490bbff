//! The places of workers: who stands there, what it runs, what became of those before it.

use std::sync::Arc;
use std::time::Instant;

use crate::isolation::{Cell, StopHandle};
use crate::limits::Limits;
use crate::order::{Order, Priority};
use crate::policy::restart::{Past, Restart};

use super::queue::{Key, Waits};
use super::settings::{WorkerState, WorkerStatus};
use super::ticket::Promise;

/// A task that waits.
pub(crate) struct Waiting {
    pub(crate) order: Order,
    pub(super) promise: Arc<Promise>,
}

impl Waits for Waiting {
    fn priority(&self) -> Priority {
        self.order.priority
    }

    fn caller(&self) -> &Arc<str> {
        &self.order.caller
    }

    fn bytes(&self) -> u64 {
        self.order.bytes()
    }
}

/// A task that runs.
pub(crate) struct Running {
    pub(super) order: Arc<Order>,
    pub(super) promise: Arc<Promise>,
    pub(super) key: Key,
    pub(super) limits: Limits,
    pub(crate) stop: StopHandle,
    pub(super) began: Instant,
    /// When it is late.
    pub(crate) due: Instant,
    /// How often a guest was gone before it had the task.
    pub(super) returns: u8,
    /// Whether it was told to stop: the next time it is late, it is given up.
    pub(crate) asked: bool,
}

/// One place for a worker.
pub(crate) struct Slot {
    state: WorkerState,
    /// Grows when the thread here is given up: what it says later counts no more.
    pub(crate) generation: u64,
    /// The number of the worker here, once there is one.
    pub(crate) worker: Option<u64>,
    pub(crate) tasks: u64,
    pub(crate) past: Past,
    /// When it may be started again.
    pub(super) restart: Option<Restart>,
    /// Since when there is nobody here who should be.
    pub(super) empty_since: Option<Instant>,
    pub(crate) running: Option<Running>,
    /// The cell of a worker without a task: for its own next one, or for a caller who runs his task himself.
    pub(super) cell: Option<Box<dyn Cell>>,
    /// Whether a caller has it.
    pub(super) is_lent: bool,
    /// What callers have used up: its worker clears it away.
    pub(super) spent: Vec<Box<dyn Cell>>,
    /// How its worker spends the time, if it has any.
    pub(super) rest: Option<Rest>,
    /// Whether its worker is to look after its cell.
    pub(super) is_called: bool,
}

/// What a worker does that has no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It waits at its bell.
    Waiting,
    /// It clears up, or makes a spare.
    Away,
}

/// A thread's right to speak for a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) slot: usize,
    pub(crate) generation: u64,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            state: WorkerState::Starting,
            generation: 0,
            worker: None,
            tasks: 0,
            past: Past::default(),
            restart: None,
            empty_since: None,
            running: None,
            cell: None,
            is_lent: false,
            spent: Vec::new(),
            rest: None,
            is_called: false,
        }
    }

    pub(crate) fn state(&self) -> WorkerState {
        self.state
    }

    /// The only way from one state to another: the table of transitions is asked each time.
    pub(crate) fn turn(&mut self, next: WorkerState) {
        debug_assert!(
            self.state == next || self.state.may_become(next),
            "no worker goes from {} to {}",
            self.state.name(),
            next.name()
        );
        self.state = next;
    }

    pub(super) fn status(&self) -> WorkerStatus {
        let running = self.running.as_ref();
        WorkerStatus {
            worker: self.worker.unwrap_or_default(),
            state: self.state,
            tasks: self.tasks,
            crashes: self.past.deaths,
            last_crash: self.past.last_death,
            task: running.map(|running| (running.order.task.id.clone(), running.began)),
        }
    }
}

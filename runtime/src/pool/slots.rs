//! The places of workers: who stands there, what it runs, what became of those before it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::evidence::StopReason;
use crate::isolation::{Cell, StopHandle, Vitals};
use crate::limits::Limits;
use crate::order::Order;
use crate::policy::restart::{Past, Restart};
use crate::reuse::Reuse;

use super::queue::Key;
use super::settings::{WorkerState, WorkerStatus};
use super::ticket::Promise;

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
    /// Why it is to be told so, from before it is.
    pub(super) cancelled: Option<StopReason>,
}

/// One place for a worker.
pub(crate) struct Slot {
    state: WorkerState,
    /// Grows when the thread here is given up: what it says later counts no more.
    pub(crate) generation: u64,
    /// The number of the worker here, once there is one.
    pub(crate) worker: Option<u64>,
    /// When it was there.
    pub(super) started: Option<Instant>,
    /// The device of the task that it runs, or ran last.
    pub(super) device: Option<Arc<str>>,
    /// What its guest held when it was looked at last.
    pub(super) resident: u64,
    pub(crate) tasks: u64,
    pub(crate) past: Past,
    /// When it may be started again.
    pub(super) restart: Option<Restart>,
    /// Whether the last start failed.
    pub(super) has_failed: bool,
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
    /// When its worker, which has nothing to do, looks for something again.
    pub(super) wakes_at: Option<Instant>,
    /// When a caller gave its cell back, if its worker has not seen that yet.
    pub(super) back: Option<Instant>,
    /// Whether its worker is to look after its cell.
    pub(super) is_called: bool,
    /// How its guest gets old, if it is kept.
    pub(super) age: Aging,
    /// When the guest that stands here is too old.
    pub(super) old_at: Option<Instant>,
    /// Whose death its guest is not to outlive, once it has no task.
    pub(super) goes_with: Option<u64>,
}

/// How a guest that is kept gets old.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aging {
    /// How long it may be used: that is drawn for each.
    pub(super) keep: Option<Reuse>,
    /// How old it was when it was ready. One that took long to be so is not to be gone before its first task.
    pub(super) boot: Duration,
}

impl Aging {
    /// Its age from when it was ready.
    pub(super) fn since_ready(&self, age: Duration) -> Duration {
        age.saturating_sub(self.boot)
    }

    /// How much of its time is left at this age.
    pub(super) fn left(&self, age: Duration) -> Option<Duration> {
        self.keep.map(|keep| keep.max_age.saturating_sub(self.since_ready(age)))
    }
}

/// What a worker does that has no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It waits at its bell.
    Waiting,
    /// It clears up.
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
            started: None,
            device: None,
            resident: 0,
            tasks: 0,
            past: Past::default(),
            restart: None,
            has_failed: false,
            empty_since: None,
            running: None,
            cell: None,
            is_lent: false,
            spent: Vec::new(),
            rest: None,
            wakes_at: None,
            back: None,
            is_called: false,
            age: Aging::default(),
            old_at: None,
            goes_with: None,
        }
    }

    /// In what way its guest is used up, if it is.
    pub(super) fn used_up(&self, vitals: Vitals) -> Option<String> {
        let Vitals { resident_bytes, tasks_run, age } = vitals;
        let reuse = self.age.keep?;
        let with =
            self.goes_with.map(|dead| format!("worker {dead} has died, and it goes with it"));
        with.or_else(|| reuse.used_up(tasks_run, self.age.since_ready(age), resident_bytes))
    }

    /// Whether there is nothing about this guest for its worker to look after.
    pub(super) fn is_well(&self, cell: &dyn Cell) -> bool {
        cell.is_usable() && self.used_up(cell.vitals()).is_none()
    }

    pub(crate) fn state(&self) -> WorkerState {
        self.state
    }

    /// Whether its worker has tasks, or may have the next one. One whose start has failed is no hope for those who wait.
    pub(super) fn may_serve(&self) -> bool {
        match self.state {
            WorkerState::Idle | WorkerState::Busy | WorkerState::Draining => true,
            WorkerState::Starting => !self.has_failed && self.restart != Some(Restart::Never),
            WorkerState::Crashed | WorkerState::Ended => false,
        }
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
            started: self.started.filter(|_| self.worker.is_some()),
            generation: self.generation,
            device: self.device.clone(),
            resident_bytes: self.resident,
            task: running.map(|running| (running.order.task.id.clone(), running.began)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_took_long_to_be_ready_is_not_old_by_that() {
        let [short, long] = [20, 50].map(Duration::from_millis);
        let keep = Reuse { max_age: short, ..Reuse::default() };
        let age = Aging { keep: Some(keep), boot: long };
        let mut slot = Slot::new();
        slot.age = age;
        let used_up = |age| slot.used_up(Vitals { age, ..Vitals::default() }).is_some();
        assert_eq!((used_up(long), used_up(long + short)), (false, true));
        assert_eq!((age.left(long), age.left(long + short)), (Some(short), Some(Duration::ZERO)));
        assert_eq!(Aging::default().left(long), None);
    }
}

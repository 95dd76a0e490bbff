//! What a pool is set to, and what it says about itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::order::Order;
use crate::policy::restart::{Condition, RestartSettings, Strategy};
use crate::quantity::ByteSize;
use crate::rejection::Rejection;
use crate::reuse::Reuse;
use crate::task::{Entry, TaskId};
use crate::telemetry::Telemetry;

/// How many workers, what waits for them, and what becomes of those that die.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Tasks that run at the same time.
    pub workers: usize,
    /// Keeps guests between tasks, for calls; every task has a fresh one if it is `None`.
    pub keep: Option<Reuse>,
    /// By how much chance ends a kept guest earlier, in percent of its tasks and its age: those that began together are not
    /// replaced together.
    pub keep_spread: u32,
    /// Guests that are made ready beyond those of the workers, while there is time. Where guests are kept, a death costs
    /// none then. Where they are not, a process that serves calls stands ready, and each call has one that nobody used
    /// before: without its start on the way. (A fresh module needs none. For commands, see `spares_for`.)
    ///
    /// A process that stands ready has greeted its host by itself, within its program's wall time; what it used and wrote
    /// until then is no task's. One that serves a single call differs from one that is started with it in its end: its report
    /// is made when its answer is whole, and it is killed when there is time, some milliseconds later at the latest. So what it
    /// would do behind its answer (say more, write, exit with a code, crash) is nobody's, where it would have been the verdict on a process of the task's own. A call whose limits
    /// stay with a process (memory, say) and are not its program's has a process of its own.
    pub spares: usize,
    /// What those that are not kept stand ready for: for calls if this is `None`, or for one command. A process is executed
    /// with its arguments then, and held in front of its first instruction: no task pays for the start of its program. It runs
    /// the first command with the same arguments (and without an input, or with bytes for one, as said here) whose limits are its
    /// program's; each other one has a process that is started for it. To the program it is all the same, and so is its report; what
    /// its exec used is not counted as its task's.
    ///
    /// Only processes can stand ready so, where they are traced, and on x86-64; elsewhere none is made, and
    /// [`Happening::WorkerFailedToStart`](crate::telemetry::Happening) says why.
    pub spares_for: Option<Entry>,
    /// Tasks that may wait.
    pub queue: usize,
    /// What the inputs of those that wait may hold.
    pub queue_bytes: ByteSize,
    /// How long a task may wait for room in the queue and a worker, where it says nothing about it; as long as its deadline
    /// allows if it is `None`.
    pub queue_time: Option<Duration>,
    /// What reports may hold that are there and that nobody has taken yet. While they hold more, only those tasks begin that
    /// somebody waits for (or asks for: [`Ticket::is_ready`](crate::Ticket::is_ready)), or whose ticket was dropped; the others
    /// go on when they hold no more than half of it. While somebody waits for room in a full queue, one more begins to make some.
    pub unread: ByteSize,
    /// How soon and how often workers that died are started again.
    pub restart: RestartSettings,
    /// A worker that is this late after its task's wall time, or after it was told to stop and its task's time of grace, is told to stop, and given up
    /// when it is late once more.
    pub patience: Duration,
    /// How long a task may go on that was told to end ([`Limits::grace`](crate::Limits::grace)), where it brings no limits of its
    /// own; as long as its program's limits say if this is `None`.
    pub grace: Option<Duration>,
    /// Who is told of everything.
    pub telemetry: Telemetry,
}

impl Default for PoolSettings {
    /// One worker for each processor, four waiting tasks for each worker, 64 MiB of inputs, 256 MiB of reports.
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_workers(workers)
    }
}

impl PoolSettings {
    /// The usual settings for this many workers.
    pub fn with_workers(workers: usize) -> Self {
        let workers = workers.max(1);
        Self {
            workers,
            keep: None,
            keep_spread: 10,
            spares: 0,
            spares_for: None,
            queue: workers.saturating_mul(4),
            queue_bytes: ByteSize::mib(64),
            queue_time: None,
            unread: ByteSize::mib(256),
            restart: RestartSettings::default(),
            patience: Duration::from_secs(5),
            grace: None,
            telemetry: Telemetry::default(),
        }
    }

    /// Whether others are replaced with a worker that died.
    pub(super) fn goes_together(&self) -> bool {
        self.keep.is_some() && self.restart.strategy != Strategy::OneForOne
    }
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkerState {
    /// It is being made ready.
    Starting,
    /// It waits for a task.
    Idle,
    /// It runs one.
    Busy,
    /// It died, and is started again when its time has come.
    Crashed,
    /// It ends its task, and then itself.
    Draining,
    /// It is no more.
    Ended,
}

impl WorkerState {
    /// The word used in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Crashed => "crashed",
            Self::Draining => "draining",
            Self::Ended => "ended",
        }
    }

    /// Whether a worker may go from this state to another one.
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Starting, Self::Idle | Self::Crashed | Self::Ended)
            | (Self::Idle, Self::Busy | Self::Starting | Self::Crashed | Self::Ended)
            | (Self::Busy, Self::Idle | Self::Starting | Self::Crashed | Self::Draining)
            | (Self::Crashed, Self::Starting | Self::Ended)
            | (Self::Draining, Self::Ended | Self::Crashed | Self::Idle | Self::Starting) => true,
            (Self::Starting, Self::Starting | Self::Busy | Self::Draining)
            | (Self::Idle, Self::Idle | Self::Draining)
            | (Self::Busy, Self::Busy | Self::Ended)
            | (Self::Crashed, Self::Crashed | Self::Idle | Self::Busy | Self::Draining)
            | (Self::Draining, Self::Draining | Self::Busy)
            | (Self::Ended, _) => false,
        }
    }
}

/// One worker, at one moment. As JSON it has its times in microseconds before that moment's look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "WorkerRecord")]
pub struct WorkerStatus {
    /// Its number: no two that ever lived in a pool have the same.
    pub worker: u64,
    /// What it is doing.
    pub state: WorkerState,
    /// Tasks it has run.
    pub tasks: u64,
    /// Deaths in its place.
    pub crashes: u64,
    /// The last of them.
    pub last_crash: Option<Instant>,
    /// The task it runs, and since when.
    pub task: Option<(TaskId, Instant)>,
    /// When it was ready for its first task; `None` while there is nobody in its place.
    pub started: Option<Instant>,
    /// How many threads its place had before this one, which neither answered nor died.
    pub generation: u64,
    /// The device of the task that it runs, or ran last.
    pub device: Option<Arc<str>>,
    /// What its guest held when it was looked at last, between two tasks.
    pub resident_bytes: u64,
}

impl WorkerStatus {
    /// For how long it has been there.
    pub fn age(&self) -> Option<Duration> {
        self.started.map(|started| started.elapsed())
    }
}

/// A worker as JSON. Names are added, never changed.
#[derive(Serialize)]
struct WorkerRecord {
    worker: u64,
    state: &'static str,
    tasks: u64,
    crashes: u64,
    last_crash_us_ago: Option<u64>,
    task: Option<String>,
    running_us: Option<u64>,
    age_us: Option<u64>,
    generation: u64,
    device: Option<String>,
    resident_bytes: u64,
}

impl From<WorkerStatus> for WorkerRecord {
    fn from(status: WorkerStatus) -> Self {
        let micros = |at: Instant| u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (task, since) = status.task.unzip();
        Self {
            worker: status.worker,
            state: status.state.name(),
            tasks: status.tasks,
            crashes: status.crashes,
            last_crash_us_ago: status.last_crash.map(micros),
            task: task.map(|task| task.to_string()),
            running_us: since.map(micros),
            age_us: status.started.map(micros),
            generation: status.generation,
            device: status.device.map(|device| device.to_string()),
            resident_bytes: status.resident_bytes,
        }
    }
}

/// A pool, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Each worker.
    pub workers: Vec<WorkerStatus>,
    /// Tasks that wait.
    pub waiting: usize,
    /// What their inputs hold.
    pub waiting_bytes: u64,
    /// What reports hold that are there and that nobody has taken.
    pub unread_bytes: u64,
    /// Guests that are ready beyond those of the workers.
    pub spares: usize,
    /// How its workers' deaths have left it.
    pub condition: Condition,
    /// Tasks that have their report.
    pub finished: u64,
    /// Workers that were given up.
    pub abandoned: u64,
}

/// What became of the tasks when a pool ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Those that ran and ended in time.
    pub finished: usize,
    /// Those that waited, and were handed back.
    pub returned: usize,
    /// Those that ran for too long, and were stopped; some of them may have answered in their time of grace.
    pub killed: usize,
}

/// A task that was not taken on, and why. The task comes back.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub struct Rejected {
    /// Why.
    pub why: Rejection,
    /// The task, as it was.
    pub order: Box<Order>,
}

//! What happens above the walls, told as it happens: to a callback, and from there to whoever counts.
//!
//! Nothing is told while a lock is held, so a callback may ask the pool or the executor whatever it wants, and give it work.
//! It may not wait for that: the worker whose turn it is may be the one that tells.

mod counted;
mod logged;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::label::Label;
use crate::policy::breaker::{Change, Mode};
use crate::policy::health::Alert;
use crate::policy::quarantine::Culprit;
use crate::rejection::Rejection;
use crate::task::TaskId;

/// Something that happened above the walls.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Happening {
    /// A worker is there.
    WorkerStarted {
        /// Its number.
        worker: u64,
    },
    /// A worker died, of the task it ran or by itself.
    WorkerCrashed {
        /// Its number.
        worker: u64,
        /// The task, where it ran one.
        task: Option<TaskId>,
        /// How that ended.
        label: Label,
    },
    /// A worker stands where another one died.
    WorkerRestarted {
        /// Its number.
        worker: u64,
        /// How long its place was empty.
        after: Duration,
    },
    /// A worker was replaced as planned.
    WorkerRecycled {
        /// Its number.
        worker: u64,
        /// Why.
        why: String,
    },
    /// A worker neither answered nor died, and was given up.
    WorkerAbandoned {
        /// Its number.
        worker: u64,
    },
    /// A worker could not be started.
    WorkerFailedToStart {
        /// Why not.
        why: String,
    },
    /// A task waits.
    TaskQueued {
        /// Which one.
        task: TaskId,
        /// How many wait with it.
        waiting: usize,
    },
    /// A task runs.
    TaskStarted {
        /// Which one.
        task: TaskId,
        /// Where.
        worker: u64,
        /// How long it has waited.
        waited: Duration,
    },
    /// A guest was gone before it had read its task, which waits for another one.
    TaskReturned {
        /// Which one.
        task: TaskId,
        /// Where.
        worker: u64,
    },
    /// A task has its report.
    TaskFinished {
        /// Which one.
        task: TaskId,
        /// Where it ran, if it did.
        worker: Option<u64>,
        /// How it ended.
        label: Label,
        /// How long it ran.
        took: Duration,
    },
    /// A task was not run: another one has done already what it is for, and its report is this one's.
    TaskAnswered {
        /// Which one.
        task: TaskId,
    },
    /// A task was not taken on.
    TaskRejected {
        /// Which one.
        task: TaskId,
        /// Why.
        why: Rejection,
    },
    /// A breaker changed its state.
    BreakerChanged {
        /// Which one.
        key: Arc<str>,
        /// From what to what, and why.
        change: Change,
    },
    /// A task is tried again.
    RetryAttempt {
        /// Which one.
        task: TaskId,
        /// Which attempt follows.
        attempt: u32,
        /// After this long.
        delay: Duration,
        /// How the last one ended.
        label: Label,
    },
    /// A task that is to be tried again has come upon an open breaker, and waits for its next probe.
    RetryHeld {
        /// Which one.
        task: TaskId,
        /// Which attempt waits.
        attempt: u32,
        /// The breaker.
        key: Arc<str>,
        /// For how long.
        delay: Duration,
    },
    /// A task is late, and a second copy of it was sent.
    HedgeSent {
        /// Which one.
        task: TaskId,
    },
    /// The second copy of a task answered before the first one, which was stopped.
    HedgeWon {
        /// Which one.
        task: TaskId,
    },
    /// A task is poison from now on.
    QuarantineAdded {
        /// What kind of work, on which input.
        culprit: Culprit,
        /// Workers it killed.
        deaths: u32,
    },
    /// A task was let go by hand.
    QuarantineReleased {
        /// What kind of work, on which input.
        culprit: Culprit,
    },
    /// The file for the history of crashes can't be read or written. Told once, until it can be written again.
    HistoryLost {
        /// Why not.
        why: String,
    },
    /// A pattern of crashes appeared, or is over, of what it names.
    Health(Alert),
}

impl Happening {
    /// The name used in logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WorkerStarted { .. } => "worker.started",
            Self::WorkerCrashed { .. } => "worker.crashed",
            Self::WorkerRestarted { .. } => "worker.restarted",
            Self::WorkerRecycled { .. } => "worker.recycled",
            Self::WorkerAbandoned { .. } => "worker.abandoned",
            Self::WorkerFailedToStart { .. } => "worker.failed-to-start",
            Self::TaskQueued { .. } => "task.queued",
            Self::TaskStarted { .. } => "task.started",
            Self::TaskReturned { .. } => "task.returned",
            Self::TaskFinished { .. } => "task.finished",
            Self::TaskAnswered { .. } => "task.answered",
            Self::TaskRejected { .. } => "task.rejected",
            Self::BreakerChanged { change, .. } => match change.to {
                Mode::Closed => "breaker.closed",
                Mode::Open => "breaker.opened",
                Mode::HalfOpen => "breaker.half-opened",
                Mode::ForcedOpen | Mode::Disabled | Mode::MetricsOnly => "breaker.set",
            },
            Self::RetryAttempt { .. } => "retry.attempt",
            Self::RetryHeld { .. } => "retry.held",
            Self::HedgeSent { .. } => "hedge.sent",
            Self::HedgeWon { .. } => "hedge.won",
            Self::QuarantineAdded { .. } => "quarantine.added",
            Self::QuarantineReleased { .. } => "quarantine.released",
            Self::HistoryLost { .. } => "health.history-lost",
            Self::Health(alert) if alert.raised => "health.alert",
            Self::Health(_) => "health.cleared",
        }
    }
}

type Listener = dyn Fn(&Happening) + Send + Sync;

/// Who is told. Nobody, unless said otherwise.
#[derive(Clone, Default)]
pub struct Telemetry {
    listener: Option<Arc<Listener>>,
}

impl Telemetry {
    /// Tells a callback. What happens in one pool is told in its order, by one thread at a time, which may be any of those
    /// that something happened on: so it should be quick, and not wait for a task. Where a thousand things wait to be told,
    /// whoever has one more tells them besides, in no order.
    pub fn to(listener: impl Fn(&Happening) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Arc::new(listener)) }
    }

    /// Tells `tracing`: what went wrong as warnings, everything else for debugging. Each attempt runs within a span besides,
    /// whoever is told.
    pub fn to_tracing() -> Self {
        Self::to(logged::log)
    }

    /// Tells the `metrics` facade: counters, gauges and histograms, with labels of which there are only so many.
    /// Whoever records them is to be there before.
    pub fn to_metrics() -> Self {
        counted::describe();
        Self::to(counted::count)
    }

    /// Tells others, too.
    pub fn and(self, others: Self) -> Self {
        match (self.is_heard(), others.is_heard()) {
            (true, true) => Self::to(move |happening| {
                self.tell(happening);
                others.tell(happening);
            }),
            (true, false) => self,
            (false, _) => others,
        }
    }

    pub(crate) fn tell(&self, happening: &Happening) {
        if let Some(listener) = &self.listener {
            // A callback that panics is no reason for a worker to die, or for a report to be lost.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(happening)));
        }
    }

    /// Whether anybody listens: what nobody hears need not be put together.
    pub(crate) fn is_heard(&self) -> bool {
        self.listener.is_some()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("is_heard", &self.is_heard()).finish()
    }
}

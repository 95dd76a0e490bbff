//! A ticket: the promise of exactly one report, waited for by a thread or awaited as a future.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::evidence::StopReason;
use crate::report::Report;
use crate::task::TaskId;

use super::queue::Key;
use super::shared::Shared;

/// A report, and the worker that the task ran on, if it ran.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) report: Report,
    pub(crate) worker: Option<u64>,
}

/// Where a report is put, once.
#[derive(Default)]
pub(super) struct Promise {
    state: Mutex<State>,
    kept: Condvar,
}

#[derive(Default)]
struct State {
    done: Option<Done>,
    was_kept: bool,
    waker: Option<Waker>,
    listener: Option<Box<dyn FnOnce() + Send>>,
}

impl Promise {
    /// Keeps the promise. Whoever comes second has come too late: a worker that was given up may still end.
    pub(super) fn keep(&self, done: Done) {
        let (waker, listener) = {
            let mut state = self.state();
            if state.was_kept {
                return;
            }
            state.was_kept = true;
            state.done = Some(done);
            (state.waker.take(), state.listener.take())
        };
        self.kept.notify_all();
        // Whose code panics here has its report all the same, and so has everybody after it.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if let Some(waker) = waker {
                waker.wake();
            }
            if let Some(listener) = listener {
                listener();
            }
        }));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that was taken on. Dropping the ticket leaves the task alone: it runs, and nobody hears of it.
///
/// It is a future, too, for any runtime: it wakes whoever polled it last, and needs nothing else.
#[must_use = "a ticket is the only way to the report"]
pub struct Ticket {
    pub(super) task: TaskId,
    pub(super) key: Key,
    pub(super) promise: Arc<Promise>,
    pub(super) pool: Weak<Shared>,
}

impl Ticket {
    /// The task it is for.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// Waits for the report.
    pub fn wait(self) -> Report {
        self.wait_done().report
    }

    pub(crate) fn wait_done(self) -> Done {
        let mut state = self.promise.state();
        loop {
            match state.done.take() {
                Some(done) => return done,
                None => {
                    state = self.promise.kept.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Waits for the report until a time, and gives the ticket back if it isn't there then.
    pub fn wait_until(self, time: Instant) -> Result<Report, Self> {
        let mut state = self.promise.state();
        loop {
            if let Some(done) = state.done.take() {
                return Ok(done.report);
            }
            let left = time.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                return Err(self);
            }
            let waited = self.promise.kept.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the report is there.
    pub fn is_ready(&self) -> bool {
        self.promise.state().was_kept
    }

    /// Ends the task: one that waits is reported at once, one that runs as soon as it has ended.
    pub fn cancel(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.cancel(&self.key, StopReason::Cancelled);
        }
    }

    /// Something that ends the task later, without the ticket.
    pub(crate) fn stopper(&self) -> impl Fn(StopReason) + Send + Sync + 'static {
        let (pool, key) = (Weak::clone(&self.pool), self.key.clone());
        move |reason| {
            if let Some(pool) = pool.upgrade() {
                pool.cancel(&key, reason);
            }
        }
    }

    /// Calls `listener` when the report is there; at once if it is.
    pub(super) fn on_ready(&self, listener: impl FnOnce() + Send + 'static) {
        let mut state = self.promise.state();
        if state.was_kept {
            drop(state);
            listener();
        } else {
            state.listener = Some(Box::new(listener));
        }
    }
}

impl Future for Ticket {
    type Output = Report;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Report> {
        let mut state = self.promise.state();
        match state.done.take() {
            Some(done) => Poll::Ready(done.report),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("task", &self.task)
            .field("is_ready", &self.is_ready())
            .finish()
    }
}

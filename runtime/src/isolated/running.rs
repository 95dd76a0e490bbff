//! A call that runs while its caller does something else, for async programs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use serde::de::DeserializeOwned;

use crate::call::{CallError, result_of};
use crate::evidence::{Step, StopReason};
use crate::isolation::{LoadError, StopHandle};
use crate::report::Report;
use crate::task::Task;

use super::Isolated;

/// A call of an isolated function that has begun. Await it, in any runtime; a dropped one is ended
/// (`stopped.cancelled`), and nobody hears of it.
///
/// It runs on a thread of its own. For many calls, a pool has a bounded queue: give
/// [`pool`](crate::Loaded::pool) of what `loaded` gives the tasks of `task`.
#[must_use = "a call that nobody awaits is ended"]
pub struct Running<T> {
    shared: Arc<Shared>,
    stop: StopHandle,
    value: std::marker::PhantomData<fn() -> T>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: Option<Result<Report, CallError>>,
    waker: Option<Waker>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, done: Result<Report, CallError>) {
        let waker = {
            let mut state = self.state();
            state.done = Some(done);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Running<T> {
    /// Begins.
    pub(super) fn begin(function: &'static Isolated, task: Result<Task, CallError>) -> Self {
        let (shared, stop) = (Arc::new(Shared::default()), StopHandle::new());
        match task {
            Ok(task) => {
                let (theirs, their_stop, their_task) =
                    (Arc::clone(&shared), stop.clone(), task.clone());
                let thread = std::thread::Builder::new().name("sandtrap-isolated".into());
                let begun = thread.spawn(move || {
                    theirs.finish(Ok(function.run_task(&their_task, &their_stop)));
                });
                if let Err(error) = begun {
                    let detail = format!("no thread can be started for this call: {error}");
                    let refused =
                        LoadError::at(Step::Reserve, detail).with_errno(error.raw_os_error());
                    shared.finish(Ok(function.refused(&task, refused.into())));
                }
            }
            Err(error) => shared.finish(Err(error)),
        }
        Self { shared, stop, value: std::marker::PhantomData }
    }
}

impl<T: DeserializeOwned + 'static> Future for Running<T> {
    type Output = Result<T, CallError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state();
        match state.done.take() {
            Some(done) => Poll::Ready(done.and_then(result_of)),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        // One that has ended is not stopped by this any more.
        self.stop.stop(StopReason::Cancelled);
    }
}

impl<T> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.shared.state().done.is_some();
        f.debug_struct("Running").field("is_done", &is_done).finish_non_exhaustive()
    }
}

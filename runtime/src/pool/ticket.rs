//! A ticket: the promise of exactly one report, waited for by a thread or awaited as a future.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::evidence::StopReason;
use crate::hooks::TaskHooks;
use crate::isolation::{StopGuard, StopHandle};
use crate::report::Report;
use crate::task::TaskId;

use super::holding::Hold;
use super::queue::Key;
use super::shared::{Promptly, Shared};

/// A report, and the worker that the task ran on, if it ran.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) report: Report,
    pub(crate) worker: Option<u64>,
    /// Counts it as long as nobody takes it.
    pub(super) hold: Option<Hold>,
    /// What is called before anybody has it.
    pub(super) hooks: Option<TaskHooks>,
}

/// Where a report is put, once. There is one for each task that waits, so it is small.
pub(super) struct Promise {
    /// Since when its task waits, in nanoseconds of the pool's life.
    pub(super) since: u64,
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    /// Nobody waits for it.
    #[default]
    Alone,
    /// Somebody waits for it.
    Awaited(Waker),
    Kept(Box<Done>),
    /// Somebody has it.
    Taken,
}

impl Promise {
    pub(super) fn new(since: u64) -> Self {
        Self { since, state: Mutex::default() }
    }

    /// Keeps the promise. Whoever comes second has come too late: a worker that was given up may still end.
    pub(super) fn keep(&self, mut done: Box<Done>) {
        if let Some(hooks) = done.hooks.take() {
            hooks.tell(&done.report);
        }
        let mut state = self.state();
        if matches!(*state, State::Kept(_) | State::Taken) {
            return;
        }
        let before = std::mem::replace(&mut *state, State::Kept(done));
        drop(state);
        if let State::Awaited(waker) = before {
            // Whose code panics here has its report all the same, and so has everybody after it.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// The report, once; until it is there, whoever asked last is woken for it.
    fn take(&self, waker: &Waker) -> Option<Done> {
        let mut state = self.state();
        match &mut *state {
            kept @ State::Kept(_) => {
                let taken = std::mem::replace(kept, State::Taken);
                drop(state);
                if let State::Kept(done) = taken {
                    return Some(*done);
                }
            }
            State::Awaited(last) => last.clone_from(waker),
            alone @ State::Alone => *alone = State::Awaited(waker.clone()),
            // Nobody asks again who has it. A future may be polled once too often, and waits then.
            State::Taken => {}
        }
        None
    }

    /// Whether its report will be taken at once: somebody waits for it, or nobody ever will.
    pub(super) fn is_never_left_lying(&self) -> bool {
        matches!(*self.state(), State::Awaited(_) | State::Taken)
    }

    /// Nobody wants it any more. Says whether the task is still to come.
    fn let_go(&self) -> bool {
        let before = std::mem::replace(&mut *self.state(), State::Taken);
        matches!(before, State::Alone | State::Awaited(_))
    }

    fn is_kept(&self) -> bool {
        matches!(*self.state(), State::Kept(_) | State::Taken)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that waits. Not by `park`: that is the caller's own.
#[derive(Default)]
struct Sleeper {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

thread_local! {
    static SLEEPER: Arc<Sleeper> = Arc::default();
}

impl Sleeper {
    /// Asks again and again, and sleeps until it is woken or a time has come.
    fn wait_for<T>(until: Option<Instant>, mut ask: impl FnMut(&Waker) -> Option<T>) -> Option<T> {
        let sleeper = SLEEPER.with(Arc::clone);
        let waker = Waker::from(Arc::clone(&sleeper));
        loop {
            if let Some(answer) = ask(&waker) {
                return Some(answer);
            }
            let mut is_woken = sleeper.is_woken.lock().unwrap_or_else(PoisonError::into_inner);
            while !std::mem::take(&mut *is_woken) {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                is_woken = match left {
                    Some(Duration::ZERO) => return None,
                    Some(left) => {
                        let waited = sleeper.woken.wait_timeout(is_woken, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => sleeper.woken.wait(is_woken).unwrap_or_else(PoisonError::into_inner),
                };
            }
        }
    }
}

/// Asks again and again, whenever it is woken.
pub(super) fn wait_for_ever<T>(ask: impl FnMut(&Waker) -> Option<T>) -> T {
    Sleeper::wait_for(None, ask).expect("only a time ends it without an answer, and there is none")
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.woken.notify_one();
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
        wait_for_ever(|waker| self.poll_done(waker)).report
    }

    /// The report, once; until then this waker is woken for it.
    pub(crate) fn poll_done(&self, waker: &Waker) -> Option<Done> {
        let done = self.promise.take(waker);
        if done.is_none() {
            self.hurry();
        }
        done
    }

    /// Somebody waits for it, or nobody ever will.
    fn hurry(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.hurry(&self.key);
        }
    }

    /// Waits for the report until a time, and gives the ticket back if it isn't there then.
    pub fn wait_until(self, time: Instant) -> Result<Report, Self> {
        match Sleeper::wait_for(Some(time), |waker| self.poll_done(waker)) {
            Some(done) => Ok(done.report),
            None => Err(self),
        }
    }

    /// Whether the report is there.
    pub fn is_ready(&self) -> bool {
        let is_ready = self.promise.is_kept();
        if !is_ready {
            self.hurry();
        }
        is_ready
    }

    /// Ends the task: one that waits is reported at once, one that runs as soon as it has ended, which it may do in its time of
    /// grace.
    pub fn cancel(&self) {
        self.stopper()(StopReason::Cancelled, Promptly::InItsTime);
    }

    /// The same at once, also where it was cancelled before and has some of its time of grace left.
    pub fn cancel_now(&self) {
        self.stopper()(StopReason::Cancelled, Promptly::AtOnce);
    }

    /// Something that ends the task later, without the ticket.
    fn stopper(&self) -> impl Fn(StopReason, Promptly) + Send + Sync + 'static {
        let (pool, key) = (Weak::clone(&self.pool), self.key.clone());
        move |reason, now| {
            if let Some(pool) = pool.upgrade() {
                pool.cancel(&key, reason, now);
            }
        }
    }

    /// Has the task end with whatever ends by this handle, until the guard is dropped.
    pub(crate) fn stopped_with<'a>(&self, stop: &'a StopHandle) -> StopGuard<'a> {
        let (stopper, of) = (self.stopper(), stop.clone());
        stop.on_stop(move || {
            let now = if of.is_urgent() { Promptly::AtOnce } else { Promptly::InItsTime };
            stopper(of.reason().unwrap_or(StopReason::Cancelled), now);
        })
    }

    /// Wakes somebody when the report is there; at once if it is.
    pub(super) fn wake_when_ready(&self, waker: Waker) {
        let mut state = self.promise.state();
        if matches!(*state, State::Kept(_) | State::Taken) {
            drop(state);
            waker.wake();
        } else {
            *state = State::Awaited(waker);
            drop(state);
            self.hurry();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.promise.let_go() {
            self.hurry();
        }
    }
}

impl Future for Ticket {
    type Output = Report;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Report> {
        match self.poll_done(context.waker()) {
            Some(done) => Poll::Ready(done.report),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("task", &self.task)
            .field("is_ready", &self.promise.is_kept())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::order::Order;
    use crate::pool::waiting::Waiting;

    use super::Promise;

    #[test]
    fn what_is_kept_of_a_task_that_waits_is_small_besides_the_task() {
        // An allocation has two words of its own, and so has what is counted.
        let (words, counts) = (2 * size_of::<usize>(), 2 * size_of::<usize>());
        let promise = (counts + size_of::<Promise>()).next_multiple_of(8) + words;
        let (waiting, order) = (size_of::<Option<Waiting>>(), size_of::<Order>());
        assert!(waiting + promise <= order + 64, "{waiting} and {promise} for {order}");
    }
}

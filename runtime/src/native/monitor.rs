//! The thread that starts a task and watches it.
//!
//! The kernel ties tracing and waiting to one thread, and a wait for "any child" takes every child of
//! that thread. So each running task has a thread of ours for both, which has no other children: the
//! host's own are never reaped by us. An idle one is kept for the next task.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::EventFd;
use nix::sys::signal::SigSet;

use crate::isolation::StopHandle;

use super::confine::{ChildStep, become_guest};
use super::family::{Crowd, Family};
use super::filter::Terms;
use super::group::Group;
use super::plan::Plan;
use super::sys::{self, Child, ChildStack};
use super::watch::{Watch, Watched};

/// Idle threads beyond this many are let go.
const MOST_IDLE: usize = 32;

/// One task to start and watch.
pub(super) struct Job {
    pub(super) plan: Plan,
    pub(super) less_is_fine: bool,
    /// What its filter was made by.
    pub(super) terms: Terms,
    pub(super) crowd: Crowd,
    pub(super) stop: StopHandle,
    pub(super) family: Arc<Family>,
    /// Rung when the task has ended and `Monitored::wait` will not block any more.
    pub(super) done: Arc<EventFd>,
}

/// The child runs the program now.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) traced: bool,
    /// Why its system calls are not filtered, if they are not.
    pub(super) unfiltered: Option<i32>,
}

/// The child never reached the program.
#[derive(Debug)]
pub(super) struct NotStarted {
    /// `None` when there was no child at all.
    pub(super) step: Option<ChildStep>,
    pub(super) cause: io::Error,
}

/// A task that is being watched.
#[derive(Debug)]
pub(super) struct Monitored {
    pub(super) started: Started,
    watched: Receiver<(Watched, Plan)>,
}

impl Monitored {
    /// What was seen, and the plan back, whose group still holds its counters. `None` only if the
    /// watching thread itself broke.
    pub(super) fn wait(&self) -> Option<(Watched, Plan)> {
        self.watched.recv().ok()
    }
}

impl Drop for Monitored {
    fn drop(&mut self) {
        // Nobody serves it any more (an ear panicked, say), so it must not go on. After its end this
        // reaches nobody.
        sys::kill_exactly(self.started.child.pidfd.as_fd());
    }
}

struct Order {
    number: u64,
    job: Job,
    tell_start: SyncSender<Result<Started, NotStarted>>,
    tell_end: SyncSender<(Watched, Plan)>,
}

/// The threads that start and watch tasks.
#[derive(Debug, Default)]
pub(super) struct Monitors {
    desk: Arc<Desk>,
}

/// Where orders are left and idle threads wait.
#[derive(Default)]
struct Desk {
    state: Mutex<DeskState>,
    news: Condvar,
}

#[derive(Default)]
struct DeskState {
    orders: VecDeque<Order>,
    taken: u64,
    idle: usize,
    closed: bool,
}

impl Monitors {
    /// Starts a task and returns as soon as it runs its program, or as soon as that has failed.
    pub(super) fn start(&self, job: Job) -> Result<Monitored, NotStarted> {
        let (tell_start, started) = sync_channel(1);
        let (tell_end, watched) = sync_channel(1);
        let (number, needs_thread) = {
            let mut state = self.desk.state();
            state.taken += 1;
            let number = state.taken;
            state.orders.push_back(Order { number, job, tell_start, tell_end });
            (number, state.orders.len() > state.idle)
        };
        if needs_thread {
            let desk = Arc::clone(&self.desk);
            let spawned = std::thread::Builder::new()
                .name("sandtrap-monitor".to_owned())
                .spawn(move || desk.serve());
            if let Err(cause) = spawned {
                // Somebody else may have taken the order meanwhile; if not, it is ours to take back.
                let mut state = self.desk.state();
                let before = state.orders.len();
                state.orders.retain(|order| order.number != number);
                if state.orders.len() < before {
                    return Err(NotStarted { step: None, cause });
                }
            }
        } else {
            self.desk.news.notify_one();
        }
        let broken = |_| NotStarted { step: None, cause: io::Error::other("the monitor broke") };
        let started = started.recv().map_err(broken)??;
        Ok(Monitored { started, watched })
    }
}

impl Drop for Monitors {
    fn drop(&mut self) {
        self.desk.state().closed = true;
        self.desk.news.notify_all();
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, DeskState> {
        // Nothing panics while this is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        // No handler of the host's may run here: between clone and exec a child shares this thread's
        // memory. This fails only for an invalid set, and the full set is none.
        let _ = SigSet::all().thread_block();
        let mut stack = ChildStack::new();
        while let Some(order) = self.next() {
            serve(order, &mut stack);
        }
    }

    /// The next order; `None` when this thread is not needed any more.
    fn next(&self) -> Option<Order> {
        let mut state = self.state();
        if state.orders.is_empty() && state.idle >= MOST_IDLE {
            return None;
        }
        state.idle += 1;
        while state.orders.is_empty() && !state.closed {
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle -= 1;
        state.orders.pop_front()
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("idle", &self.state().idle).finish_non_exhaustive()
    }
}

fn serve(order: Order, stack: &mut ChildStack) {
    let Order { number: _, job, tell_start, tell_end } = order;
    let Job { plan, less_is_fine, terms, crowd, stop, family, done } = job;
    match start(&plan, less_is_fine, stack) {
        Err(failure) => {
            // The caller waits for exactly this answer; if it is gone, nobody wants it.
            let _ = tell_start.send(Err(failure));
        }
        Ok(started) => {
            let (pid, traced) = (started.child.pid, started.traced);
            let watch = Watch::new(pid, traced, terms, crowd, stop, family, plan.group.as_ref());
            let _ = tell_start.send(Ok(started));
            let watched = watch.run();
            let _ = tell_end.send((watched, plan));
            // The counter of an eventfd can't overflow by one ring.
            let _ = done.write(1);
        }
    }
}

fn start(plan: &Plan, less_is_fine: bool, stack: &mut ChildStack) -> Result<Started, NotStarted> {
    plan.with_orders(less_is_fine, |orders| {
        let group = plan.group.as_ref().and_then(Group::birthplace);
        let child = sys::start_child(stack, group, become_guest, orders)
            .map_err(|cause| NotStarted { step: None, cause })?;
        match orders.failure {
            None => {
                let (traced, unfiltered) = (orders.traced, orders.unfiltered);
                Ok(Started { child, traced, unfiltered })
            }
            Some((step, errno)) => {
                // It has ended itself; nobody but this thread may know that it was there.
                sys::reap(child.pid);
                Err(NotStarted { step: Some(step), cause: io::Error::from_raw_os_error(errno) })
            }
        }
    })
}

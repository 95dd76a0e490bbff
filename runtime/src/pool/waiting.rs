//! A task while it waits: what most tasks don't have takes no room meanwhile.
//!
//! A million of them are far more than any cache holds. What is written when one is taken on has to be fetched again when its turn comes,
//! so half the bytes are half the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::hooks::TaskHooks;
use crate::limits::Limits;
use crate::order::{Order, Priority, bytes_of};
use crate::rejection::Rejection;
use crate::task::{Capture, Entry, Task, TaskId};

use super::queue::Waits;
use super::ticket::Promise;

/// A task that waits, and what was promised to whoever brought it.
pub(crate) struct Waiting {
    pub(super) promise: Arc<Promise>,
    id: TaskId,
    entry: Entry,
    caller: Arc<str>,
    deadline: Option<Instant>,
    /// What few tasks have.
    extras: Option<Box<Extras>>,
    priority: Priority,
    stdout: Capture,
    idempotent: bool,
    alone: bool,
}

#[derive(Default)]
struct Extras {
    limits: Option<Limits>,
    once: Option<Arc<str>>,
    kind: Option<Arc<str>>,
    device: Option<Arc<str>>,
    breaker: Option<Arc<str>>,
    hooks: Option<TaskHooks>,
    queue_time: Option<Duration>,
    /// When it has waited for as long as it may.
    over: Option<Instant>,
}

impl Extras {
    fn is_empty(&self) -> bool {
        let Self { limits, once, kind, device, breaker, hooks, queue_time, over } = self;
        let has_words = [once, kind, device, breaker].into_iter().any(Option::is_some);
        let has_times = queue_time.is_some() || over.is_some();
        limits.is_none() && hooks.is_none() && !has_words && !has_times
    }
}

impl Waiting {
    pub(super) fn new(order: Order, promise: Arc<Promise>, over: Option<Instant>) -> Self {
        let Order { task, priority, caller, deadline, idempotent, alone, .. } = order;
        let Order { once, kind, device, breaker, hooks, queue_time, .. } = order;
        let Task { id, entry, limits, stdout } = task;
        let extras = Extras { limits, once, kind, device, breaker, hooks, queue_time, over };
        let extras = (!extras.is_empty()).then(|| Box::new(extras));
        Self { promise, id, entry, caller, deadline, extras, priority, stdout, idempotent, alone }
    }

    /// The task as it was, and what was promised.
    pub(super) fn into_parts(self) -> (Order, Arc<Promise>) {
        let Self { promise, id, entry, caller, deadline, extras, .. } = self;
        let Self { priority, stdout, idempotent, alone, .. } = self;
        let Extras { limits, once, kind, device, breaker, hooks, queue_time, .. } =
            extras.map(|extras| *extras).unwrap_or_default();
        let task = Task { id, entry, limits, stdout };
        let order = Order {
            task,
            priority,
            caller,
            deadline,
            idempotent,
            once,
            kind,
            device,
            breaker,
            queue_time,
            hooks,
            alone,
        };
        (order, promise)
    }

    /// When it waits no longer.
    pub(super) fn until(&self) -> Option<Instant> {
        let over = self.extras.as_ref().and_then(|extras| extras.over);
        [self.deadline, over].into_iter().flatten().min()
    }

    /// Why it waits no longer, in a pool where tasks usually wait so long at most.
    pub(super) fn why_late(&self, now: Instant, usual: Option<Duration>) -> Rejection {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Rejection::DeadlinePassed;
        }
        let own = self.extras.as_ref().and_then(|extras| extras.queue_time);
        Rejection::QueueTime { most: own.or(usual).unwrap_or_default() }
    }
}

impl Waits for Waiting {
    fn priority(&self) -> Priority {
        self.priority
    }

    fn caller(&self) -> &Arc<str> {
        &self.caller
    }

    fn bytes(&self) -> u64 {
        bytes_of(&self.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_half_as_large_as_the_task_it_comes_out_as() {
        assert!(size_of::<Option<Waiting>>() <= size_of::<Order>() / 2);
        let limits = Limits { wall: Duration::from_secs(7), ..Limits::default() };
        let plain = Order::new(Task::command(["a", "b"])).caller("me").priority(Priority::High);
        let full = Order::new(Task::command(["c"]).limits(limits))
            .within(Duration::from_secs(60))
            .once("order-12")
            .kind("kind")
            .device("cuda:1")
            .breaker("tenant-7")
            .queued_at_most(Duration::from_secs(70));
        for order in [plain, Order { alone: true, ..full }] {
            let before = format!("{order:?}");
            let waiting = Waiting::new(order.clone(), Arc::new(Promise::new(3)), None);
            assert_eq!(waiting.bytes(), order.bytes());
            assert_eq!(waiting.until(), order.deadline);
            let (after, promise) = waiting.into_parts();
            assert_eq!((format!("{after:?}"), promise.since), (before, 3));
        }
    }
}

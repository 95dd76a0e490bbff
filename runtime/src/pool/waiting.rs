//! A task while it waits: what most tasks don't have takes no room meanwhile.
//!
//! A million of them are far more than any cache holds. What is written when one is taken on has to be fetched again when its turn comes,
//! so half the bytes are half the way.

use std::sync::Arc;
use std::time::Instant;

use crate::limits::Limits;
use crate::order::{Order, Priority, bytes_of};
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

struct Extras {
    limits: Option<Limits>,
    kind: Option<Arc<str>>,
    device: Option<Arc<str>>,
}

impl Waiting {
    pub(super) fn new(order: Order, promise: Arc<Promise>) -> Self {
        let Order { task, priority, caller, deadline, idempotent, kind, device, alone } = order;
        let Task { id, entry, limits, stdout } = task;
        let has_extras = limits.is_some() || kind.is_some() || device.is_some();
        let extras = has_extras.then(|| Box::new(Extras { limits, kind, device }));
        Self { promise, id, entry, caller, deadline, extras, priority, stdout, idempotent, alone }
    }

    /// The task as it was, and what was promised.
    pub(super) fn into_parts(self) -> (Order, Arc<Promise>) {
        let Self { promise, id, entry, caller, deadline, extras, .. } = self;
        let Self { priority, stdout, idempotent, alone, .. } = self;
        let (limits, kind, device) = match extras {
            Some(extras) => (extras.limits, extras.kind, extras.device),
            None => (None, None, None),
        };
        let task = Task { id, entry, limits, stdout };
        let order = Order { task, priority, caller, deadline, idempotent, kind, device, alone };
        (order, promise)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_waits_is_half_as_large_as_the_task_it_comes_out_as() {
        assert!(size_of::<Option<Waiting>>() <= size_of::<Order>() / 2);
        let limits = Limits { wall: Duration::from_secs(7), ..Limits::default() };
        let plain = Order::new(Task::command(["a", "b"])).caller("me").priority(Priority::High);
        let full = Order::new(Task::command(["c"]).limits(limits))
            .within(Duration::from_secs(60))
            .idempotent()
            .kind("kind")
            .device("cuda:1");
        for order in [plain, Order { alone: true, ..full }] {
            let before = format!("{order:?}");
            let waiting = Waiting::new(order.clone(), Arc::new(Promise::new(3)));
            assert_eq!(waiting.bytes(), order.bytes());
            assert_eq!(waiting.deadline(), order.deadline);
            let (after, promise) = waiting.into_parts();
            assert_eq!((format!("{after:?}"), promise.since), (before, 3));
        }
    }
}

//! What a task is called.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names one task in every report, event and log line about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(Arc<str>);

static NEXT_TASK: AtomicU64 = AtomicU64::new(1);

impl TaskId {
    /// A new id, unlike every other one of this process.
    pub fn next() -> Self {
        Self::named(format!("task-{}", NEXT_TASK.fetch_add(1, Ordering::Relaxed)))
    }

    /// An id of the caller's own choice.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

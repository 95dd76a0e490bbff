//! A task as it is handed to a pool: with everything that decides when, where and how often it runs.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::task::{Entry, Stdin, Task, Value};

/// A task with its place in the queue, its deadline, and what is known of it.
#[derive(Clone, Debug)]
pub struct Order {
    /// What is to be run.
    pub task: Task,
    /// Before others, or after them.
    pub priority: Priority,
    /// On whose behalf. Callers of the same priority take turns, however much each of them wants.
    pub caller: Arc<str>,
    /// When it is of no use any more: waiting, all attempts and the delays between them included.
    pub deadline: Option<Instant>,
    /// Whether it may be done twice. Only such a task is tried again after it was begun.
    pub idempotent: bool,
    /// What kind of work it is, where its program and entry don't say it.
    pub kind: Option<Arc<str>>,
    /// The device it needs.
    pub device: Option<Arc<str>>,
    /// Whether it runs in a cell that nobody else uses after it.
    pub alone: bool,
}

/// Which of those who wait is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others.
    High,
    /// As most are.
    #[default]
    Normal,
    /// Only if nobody else waits.
    Low,
}

/// Most tasks are on nobody's behalf, and share the word for it.
static NOBODY: LazyLock<Arc<str>> = LazyLock::new(|| "".into());

impl Order {
    /// A task like most: nothing special about it.
    pub fn new(task: Task) -> Self {
        Self {
            task,
            priority: Priority::Normal,
            caller: Arc::clone(&NOBODY),
            deadline: None,
            idempotent: false,
            kind: None,
            device: None,
            alone: false,
        }
    }

    /// Puts it before others, or after them.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Says on whose behalf it is.
    pub fn caller(mut self, caller: impl Into<Arc<str>>) -> Self {
        self.caller = caller.into();
        self
    }

    /// Gives it this long, from now on.
    pub fn within(mut self, time: Duration) -> Self {
        self.deadline = Instant::now().checked_add(time);
        self
    }

    /// Says that it may be done twice.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Says what kind of work it is.
    pub fn kind(mut self, kind: impl Into<Arc<str>>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Says which device it needs.
    pub fn device(mut self, device: impl Into<Arc<str>>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// How much it holds while it waits, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        bytes_of(&self.task.entry)
    }
}

/// What a task holds that waits to be entered so.
pub(crate) fn bytes_of(entry: &Entry) -> u64 {
    let bytes = match entry {
        Entry::Command { args, stdin } => {
            let args: usize = args.iter().map(|arg| arg.len()).sum();
            args + match stdin {
                Stdin::Bytes(bytes) => bytes.len(),
                #[cfg(unix)]
                Stdin::Descriptor(_) => 0,
                Stdin::Null | Stdin::File(_) => 0,
            }
        }
        Entry::Call { function, arguments } => {
            function.len() + arguments.len() * size_of::<Value>()
        }
        Entry::Invoke { function, input } => {
            function.len() + if input.path().is_some() { 0 } else { input.bytes().len() }
        }
    };
    bytes as u64
}

impl From<Task> for Order {
    fn from(task: Task) -> Self {
        Self::new(task)
    }
}

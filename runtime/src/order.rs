//! A task as it is handed to a pool: with everything that decides when, where and how often it runs.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::hooks::{Hooks, TaskHooks};
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
    /// What it is done for: once done, it need not be done again.
    pub once: Option<Arc<str>>,
    /// What kind of work it is, where its program and entry don't say it.
    pub kind: Option<Arc<str>>,
    /// The device it needs.
    pub device: Option<Arc<str>>,
    /// A circuit breaker of the caller's own, beside those of its program and its device: by this name an executor leaves
    /// alone what breaks again and again.
    pub breaker: Option<Arc<str>>,
    /// How long it may wait for a worker; if it is `None`, as long as the pool says.
    pub queue_time: Option<Duration>,
    /// What is called when it has ended.
    pub hooks: Option<TaskHooks>,
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
            once: None,
            kind: None,
            device: None,
            breaker: None,
            queue_time: None,
            hooks: None,
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

    /// Has it wait so long for room in the queue and a worker, and no longer: for each attempt, and apart from its deadline,
    /// which is for everything.
    pub fn queued_at_most(mut self, time: Duration) -> Self {
        self.queue_time = Some(time);
        self
    }

    /// Has these called when it has ended, in their order and once, whether it ran, was refused, cancelled, or handed back by
    /// a pool that ends: with the report that its caller has, and before he has it. If nobody takes that, they are called all the
    /// same.
    ///
    /// They are called on the thread that ends the task: a worker's; the caller's own where he runs or cancels it himself, asks
    /// for the report of one that was refused, or drops the pool; the supervisor's where its time in the queue is over. An
    /// executor calls them after the last attempt, where its run is waited for or polled, or dropped. They may use the pool, but
    /// not wait for it.
    ///
    /// ```
    /// use sandtrap::{Hooks, Order, PoolSettings, Program, Runtime, Task};
    ///
    /// let pool = Runtime::new()?.load(Program::file("/bin/false"))?.pool(PoolSettings::with_workers(1));
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let hooks = Hooks::new().on_exit(move |code, _| tell.send(code).unwrap());
    /// drop(pool.submit(Order::new(Task::command([""; 0])).hooks(hooks))?);
    /// assert_eq!(told.recv()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hooks(mut self, hooks: Hooks<'static>) -> Self {
        self.hooks = Some(hooks.into());
        self
    }

    /// Says that it may be done twice.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Says that it may be done twice, and need not be: where a task with the same key has completed within the last hour, an
    /// executor gives that one's report (with this task's name, and 0 attempts) and runs nothing. It remembers the last thousand
    /// of these, 16 MiB of reports at most. Two that are brought while neither is done are both run.
    pub fn once(mut self, key: impl Into<Arc<str>>) -> Self {
        (self.once, self.idempotent) = (Some(key.into()), true);
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

    /// Names a circuit breaker of the caller's own, `tenant-7`, say: it opens for the tasks that name it, and for no others. An
    /// executor keeps the thousand breakers that were asked last; closed ones are forgotten before the others.
    pub fn breaker(mut self, key: impl Into<Arc<str>>) -> Self {
        self.breaker = Some(key.into());
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

//! Callbacks for those who like them better than a `match` over the verdict.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::report::Report;
use crate::verdict::{Crash, CrashCause, Failure, Stop, Verdict};

type Hook<'a> = Box<dyn FnMut(&Report) + Send + 'a>;

/// What is to be called when a task has ended.
///
/// Of the first six exactly one fits each report; it is called first, and `on_finish` last, for every report there is.
/// They are called once each, on the thread that calls [`tell`](Self::tell). A callback that panics keeps no other from
/// being called, and its panic goes no further.
///
/// Nobody has to remember to tell them: [`Loaded::run_then`](crate::Loaded::run_then) does, and they may hang on a task that
/// goes to a pool or an executor ([`Order::hooks`](crate::Order::hooks)).
///
/// ```
/// use sandtrap::{Hooks, Program, Runtime, Task};
///
/// let mut code = None;
/// let mut hooks = Hooks::new().on_exit(|exited, _| code = Some(exited));
/// let guest = Runtime::new()?.load(Program::file("/bin/false"))?;
/// hooks.tell(&guest.run(&Task::command([""; 0])));
/// drop(hooks);
/// assert_eq!(code, Some(1));
/// # Ok::<(), sandtrap::Error>(())
/// ```
#[derive(Default)]
pub struct Hooks<'a> {
    success: Option<Hook<'a>>,
    failure: Option<Hook<'a>>,
    exit: Option<Hook<'a>>,
    crash: Option<Hook<'a>>,
    killed: Option<Hook<'a>>,
    timeout: Option<Hook<'a>>,
    finish: Option<Hook<'a>>,
}

/// Which of the first six a report is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Success,
    Failure,
    Exit,
    Crash,
    Killed,
    Timeout,
}

impl<'a> Hooks<'a> {
    /// Nothing to be called yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The task ended well.
    pub fn on_success(mut self, hook: impl FnMut(&Report) + Send + 'a) -> Self {
        self.success = Some(Box::new(hook));
        self
    }

    /// It returned an error or panicked, was refused something, hit a limit that is none of time, or never started.
    pub fn on_failure(mut self, hook: impl FnMut(&Report) + Send + 'a) -> Self {
        self.failure = Some(Box::new(hook));
        self
    }

    /// It exited with this code, which isn't 0.
    pub fn on_exit(mut self, mut hook: impl FnMut(i32, &Report) + Send + 'a) -> Self {
        self.exit = Some(Box::new(move |report| {
            if let Verdict::Failed(Failure::Exit { code }) = report.verdict {
                hook(code, report);
            }
        }));
        self
    }

    /// It broke.
    pub fn on_crash(mut self, hook: impl FnMut(&Report) + Send + 'a) -> Self {
        self.crash = Some(Box::new(hook));
        self
    }

    /// Somebody ended it: the caller, or a signal from elsewhere.
    pub fn on_killed(mut self, hook: impl FnMut(&Report) + Send + 'a) -> Self {
        self.killed = Some(Box::new(hook));
        self
    }

    /// Its time was up: on the clock, of the processor, or counted in instructions.
    pub fn on_timeout(mut self, hook: impl FnMut(&Report) + Send + 'a) -> Self {
        self.timeout = Some(Box::new(hook));
        self
    }

    /// It is over, in whatever way.
    pub fn on_finish(mut self, hook: impl FnMut(&Report) + Send + 'a) -> Self {
        self.finish = Some(Box::new(hook));
        self
    }

    /// Calls those that the report is for. Says how many of them panicked.
    pub fn tell(&mut self, report: &Report) -> usize {
        let hook = match kind(&report.verdict) {
            Kind::Success => &mut self.success,
            Kind::Failure => &mut self.failure,
            Kind::Exit => &mut self.exit,
            Kind::Crash => &mut self.crash,
            Kind::Killed => &mut self.killed,
            Kind::Timeout => &mut self.timeout,
        };
        let hooks = [hook, &mut self.finish];
        let panics = hooks
            .into_iter()
            .flatten()
            .filter_map(|hook| catch_unwind(AssertUnwindSafe(|| hook(report))).err());
        // What it panicked with may panic, too, when it is dropped.
        panics.map(std::mem::forget).count()
    }
}

/// [`Hooks`] that hang on a task. They are called once: copies of an order share them, and the first one to end has them.
#[derive(Clone)]
pub struct TaskHooks(Arc<Mutex<Option<Hooks<'static>>>>);

impl From<Hooks<'static>> for TaskHooks {
    fn from(hooks: Hooks<'static>) -> Self {
        Self(Arc::new(Mutex::new(Some(hooks))))
    }
}

impl TaskHooks {
    /// Calls those that the report is for, if nobody has called them yet. Whatever they do, the caller goes on.
    pub(crate) fn tell(&self, report: &Report) {
        let hooks = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut hooks) = hooks {
            hooks.tell(report);
            // What they have caught is others' code, too.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(hooks)));
        }
    }
}

impl fmt::Debug for TaskHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHooks").finish_non_exhaustive()
    }
}

fn kind(verdict: &Verdict) -> Kind {
    match verdict {
        Verdict::Completed => Kind::Success,
        Verdict::Failed(Failure::Exit { .. }) => Kind::Exit,
        Verdict::Failed(Failure::Error { .. } | Failure::Panic { .. })
        | Verdict::Denied(_)
        | Verdict::Unstarted(_) => Kind::Failure,
        Verdict::Crashed(Crash { cause: CrashCause::Killed { .. }, .. }) => Kind::Killed,
        Verdict::Crashed(_) => Kind::Crash,
        Verdict::Stopped(stop) => match stop {
            Stop::WallTime | Stop::CpuTime | Stop::Fuel => Kind::Timeout,
            Stop::Cancelled | Stop::Shutdown => Kind::Killed,
            Stop::Output | Stop::Result | Stop::Processes | Stop::Files | Stop::Stdin => {
                Kind::Failure
            }
        },
    }
}

impl fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

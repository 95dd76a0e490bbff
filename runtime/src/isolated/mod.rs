//! Functions of the host's own program behind a wall: each call is a caged process of the same executable, which
//! finds the function by its name.
//!
//! The attribute (in `sandtrap-macros`) writes a call of what is here, and puts the function into a list that the
//! linker makes of all of them. `entrance` is the other process's side, `settings` what stands in the brackets,
//! `running` a call that is awaited.

mod entrance;
mod running;
mod settings;

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use linkme::distributed_slice;
use sandtrap_guest::Context;
use sandtrap_guest::task_parts::{Call, Settled};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{CallError, result_of};
use crate::error::Error;
use crate::event::Event;
use crate::evidence::Step;
use crate::guarding::Guarding;
use crate::isolation::{Ear, LoadError, StopHandle};
use crate::outlets::{Outlet, Outlets};
use crate::payload::ValueError;
use crate::report::{Report, TaskSummary};
use crate::runtime::{Loaded, Runtime, judge};
use crate::start::Start;
use crate::task::{Program, Task, Wall};

pub(crate) use entrance::enter;
pub use running::Running;

use entrance::{BEGUN, Entrance};
use settings::{Pair, Settings, To, outlet};

/// Every isolated function of this program, put together by the linker.
#[distributed_slice]
pub static FUNCTIONS: [fn() -> &'static Isolated];

/// One isolated function. The attribute makes it; nobody else has a use for it.
pub struct Isolated {
    /// Its full path: by this a process of the same program finds it.
    name: &'static str,
    place: &'static str,
    settings: &'static [Pair],
    run: fn(&mut Call, &mut Context) -> Settled,
    loaded: Mutex<Option<Loaded>>,
}

/// What the attribute writes; not for anybody else.
#[doc(hidden)]
pub mod isolated_parts {
    pub use super::entrance::{HARNESSES, enter_by_test};
    pub use super::{FUNCTIONS, Isolated, call, call_async, is_guard, loaded, report, task};
    pub use linkme;
    pub use sandtrap_guest::Context;
    pub use sandtrap_guest::task_parts::{
        Call, Outcome, SettleResult, SettleTyped, SettleValue, Settled,
    };
}

/// Whether a function can be refused without a guard of this name.
pub const fn is_guard(name: &str) -> bool {
    Guarding::is_of_processes(name)
}

/// Calls it, and waits.
pub fn call<In, Out>(function: &'static Isolated, input: &In) -> Result<Out, CallError>
where
    In: Serialize + ?Sized,
    Out: DeserializeOwned + 'static,
{
    report(function, input).and_then(result_of)
}

/// Calls it, and waits for nothing.
pub fn call_async<In, Out>(function: &'static Isolated, input: &In) -> Running<Out>
where
    In: Serialize + ?Sized,
{
    Running::begin(function, task(function, input).map_err(CallError::Value))
}

/// Calls it, waits, and gives the report.
pub fn report<In>(function: &'static Isolated, input: &In) -> Result<Report, CallError>
where
    In: Serialize + ?Sized,
{
    let task = task(function, input).map_err(CallError::Value)?;
    Ok(function.run_task(&task, &StopHandle::new()))
}

/// A call of it as a task.
pub fn task<In>(function: &'static Isolated, input: &In) -> Result<Task, ValueError>
where
    In: Serialize + ?Sized,
{
    Task::invoke(function.name, input)
}

/// The program that serves it.
pub fn loaded(function: &'static Isolated) -> Result<Loaded, Error> {
    function.loaded()
}

impl Isolated {
    /// What the attribute knows of a function.
    pub const fn new(
        name: &'static str,
        place: &'static str,
        settings: &'static [Pair],
        run: fn(&mut Call, &mut Context) -> Settled,
    ) -> Self {
        Self { name, place, settings, run, loaded: Mutex::new(None) }
    }

    fn loaded(&self) -> Result<Loaded, Error> {
        // It is set whole, or not at all.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*loaded {
            return Ok(loaded.clone());
        }
        let fresh = runtime()?.load(self.program().map_err(rejected)?)?;
        Ok(loaded.insert(fresh).clone())
    }

    /// This very program, under the function's settings.
    fn program(&self) -> Result<Program, String> {
        let name = self.name;
        if entrance::is_function() {
            return Err(format!(
                "`{name}` is isolated, and so is the function that calls it: there are no processes within a cage. \
                 Move its body into a plain function, and call that one here"
            ));
        }
        self.check_name()?;
        let entrance = Entrance::of_this_program().ok_or_else(|| {
            format!(
                "`{name}` is isolated, but this program can't be started as one of its functions: call \
                 `sandtrap::init()` first in its `main`; in a test harness, write `sandtrap::init_tests!();` once"
            )
        })?;
        let settings = Settings::read(self.settings).map_err(|fault| {
            format!("`{name}` ({}) has a setting of no use: {fault}", self.place)
        })?;
        let Settings { limits, mut permissions, guards, mut start } = settings;
        if matches!(entrance, Entrance::Test(_)) {
            // A harness runs it on a second thread, and has nothing of the program's own to be warm.
            start = Start::Spawn;
        }
        permissions.grant_env(entrance::VARIABLE, entrance::VERSION);
        // Not the path of the executable: that may be another file by now.
        Ok(Program::file("/proc/self/exe")
            .within(Wall::Native)
            .limits(limits)
            .permissions(permissions)
            .guards(guards)
            .started_by(start)
            .invoked_with(entrance.arguments()))
    }

    /// Two functions of one name could be taken for each other.
    fn check_name(&self) -> Result<(), String> {
        let others = FUNCTIONS.iter().map(|function| function());
        let mut others =
            others.filter(|other| other.name == self.name && !std::ptr::eq(*other, self));
        others.next().map_or(Ok(()), |other| {
            Err(format!(
                "two isolated functions are called `{}`, at {} and at {}: give one of them another name",
                self.name, self.place, other.place
            ))
        })
    }

    fn run_task(&self, task: &Task, stop: &StopHandle) -> Report {
        let loaded = match self.loaded() {
            Ok(loaded) => loaded,
            Err(error) => return self.refused(task, error),
        };
        let is_test = matches!(Entrance::of_this_program(), Some(Entrance::Test(_)));
        let outlet = |stream| match outlet(self.settings, stream) {
            To::Host => Outlet::Inherit,
            To::Nobody | To::Report => Outlet::Null,
        };
        let mut outlets = Outlets::new().stdout(outlet("stdout")).stderr(outlet("stderr"));
        if !is_test {
            return loaded.run_with(task, stop, &mut outlets);
        }
        let mut after = After { waiting: Some(Vec::new()), outlets };
        let mut report = loaded.run_with(task, stop, &mut after);
        if let Some(stdout) = &mut report.output.stdout
            && let Some(at) = end_of_greeting(stdout)
        {
            stdout.drain(..at);
        }
        report
    }

    /// The report of a call that could not begin.
    fn refused(&self, task: &Task, error: Error) -> Report {
        let program = Program::file("/proc/self/exe").within(Wall::Native);
        let summary = TaskSummary::new(&program, Wall::Native, task);
        let limits = Settings::read(self.settings).unwrap_or_default().limits;
        judge(summary, limits, error.into_evidence())
    }
}

impl fmt::Debug for Isolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolated").field("name", &self.name).finish_non_exhaustive()
    }
}

fn rejected(detail: String) -> LoadError {
    LoadError::at(Step::Accept, detail)
}

/// One for all functions: it has no modules to run, so it keeps no room for any.
fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<Result<Runtime, Error>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| Runtime::builder().instances(0).build());
    made.as_ref().map_err(Clone::clone)
}

/// Hears what comes after the harness's own words.
struct After<'a> {
    waiting: Option<Vec<u8>>,
    outlets: Outlets<'a>,
}

impl Ear for After<'_> {
    fn hear(&mut self, event: Event<'_>) {
        match (event, &mut self.waiting) {
            (Event::Stdout(bytes), Some(waiting)) => {
                waiting.extend_from_slice(bytes);
                if let Some(at) = end_of_greeting(waiting) {
                    let rest = waiting.split_off(at);
                    self.waiting = None;
                    self.outlets.hear(Event::Stdout(&rest));
                }
            }
            (event, _) => self.outlets.hear(event),
        }
    }
}

/// Where the function's own output begins.
fn end_of_greeting(stdout: &[u8]) -> Option<usize> {
    stdout.windows(BEGUN.len()).position(|window| window == BEGUN).map(|at| at + BEGUN.len())
}

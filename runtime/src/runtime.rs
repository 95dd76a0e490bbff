//! The door: loads programs behind the right wall and runs tasks, each to exactly one report.

use std::fmt;
use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::RuntimeBuilder;
use crate::call::{CallError, result_of};
use crate::classify::classify;
use crate::error::Error;
use crate::event::Event;
use crate::evidence::{Evidence, Step};
use crate::executor::{Executor, ExecutorSettings};
use crate::fleet::{Device, Fleet};
use crate::hooks::Hooks;
use crate::host::HostFunctions;
use crate::isolation::{Attempt, Deaf, Ear, Image, Isolation, LoadError, StopHandle, admit};
use crate::kept::Kept;
use crate::limits::Limits;
use crate::pool::{Listener, Pool, PoolSettings, Source};
use crate::report::{Report, TaskSummary};
use crate::reuse::Reuse;
use crate::start::Start;
use crate::task::{Program, Task, TaskId, Wall};
use crate::wasm::WasmWall;

/// Runs code that may blow up. Make one for a process and keep it; clones share everything.
#[derive(Clone)]
pub struct Runtime {
    wasm: Arc<dyn Isolation>,
    native: Arc<dyn Isolation>,
    /// The wasm wall once more, where it is ours.
    modules: Option<Arc<WasmWall>>,
    host: HostFunctions,
}

/// A program made ready. Cheap to clone; many threads may run tasks of it at the same time.
#[derive(Clone)]
pub struct Loaded {
    image: Arc<dyn Image>,
    program: Arc<Program>,
    wall: Wall,
    listener: Option<Listener>,
}

impl Runtime {
    /// A runtime with both walls, and nothing kept of what it compiles.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// A runtime with both walls, and more to say about it.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    pub(crate) fn of(
        modules: Arc<WasmWall>,
        native: Arc<dyn Isolation>,
        host: HostFunctions,
    ) -> Self {
        let wasm: Arc<dyn Isolation> = Arc::<WasmWall>::clone(&modules);
        Self { wasm, native, modules: Some(modules), host }
    }

    /// A runtime whose walls are replaced by others: a scripted one for tests, or one of your own.
    pub fn with_walls(wasm: Arc<dyn Isolation>, native: Arc<dyn Isolation>) -> Self {
        Self { wasm, native, modules: None, host: HostFunctions::default() }
    }

    /// Makes a program ready: compiles the module, or looks at the executable. No code of it runs. Compiling
    /// is bounded by the program's [`CompileLimits`](crate::CompileLimits); its other limits begin with the task.
    pub fn load(&self, program: Program) -> Result<Loaded, Error> {
        self.load_until(program, &StopHandle::new())
    }

    /// The same, until somebody stops it.
    pub fn load_until(&self, program: Program, stop: &StopHandle) -> Result<Loaded, Error> {
        self.load_behind(wall_of(&program), program, stop)
    }

    /// The report of a task whose program could not be loaded.
    pub fn report_of(&self, program: &Program, task: &Task, error: Error) -> Report {
        let summary = TaskSummary::new(program, wall_of(program), task);
        let limits = program.policy().limits_for(task.limits.as_ref());
        judge(summary, limits, error.into_evidence())
    }

    /// Compiles a module ahead of time and writes its code to `out`, sealed, to be loaded from a file named
    /// `.cwasm`. Only this user can load it, with this version, on a machine of this kind, and with fuel counted
    /// or not as this program's limits say: the seal's key is in the cache's directory, so there has to be one.
    pub fn compile(
        &self,
        program: &Program,
        stop: &StopHandle,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        check(Wall::Wasm, &program.policy().limits)?;
        let Some(modules) = &self.modules else {
            let detail =
                "the walls of this runtime are not sandtrap's own, and compile nothing ahead";
            return Err(LoadError::at(Step::Accept, detail).into());
        };
        Ok(modules.compile_ahead(program, stop, out)?)
    }

    fn load_behind(
        &self,
        wall: Wall,
        program: Program,
        stop: &StopHandle,
    ) -> Result<Loaded, Error> {
        check(wall, &program.policy().limits)?;
        program.policy().permissions.check().map_err(LoadError::from)?;
        if wall == Wall::Wasm && program.start() == Start::Fork {
            let detail = "every task of a module begins as a fresh instance, and none can be forked; leave the start at \
                          spawn";
            return Err(LoadError::at(Step::Accept, detail).into());
        }
        let program = self.with_host(program)?;
        let isolation = match wall {
            Wall::Wasm => &self.wasm,
            Wall::Native => &self.native,
        };
        let image = isolation.load_until(&program, stop)?;
        Ok(Loaded { image, program: Arc::new(program), wall, listener: None })
    }

    /// The program, with the functions of the host that it was granted.
    fn with_host(&self, program: Program) -> Result<Program, LoadError> {
        let names = &program.policy().permissions.host_functions;
        match self.host.granted(names) {
            Ok(granted) => Ok(program.with_host(granted)),
            Err(name) => {
                let there = self.host.names();
                let detail = format!(
                    "the host's function `{name}` was granted, and there is none; registered: {there}"
                );
                Err(LoadError::at(Step::Accept, detail))
            }
        }
    }

    /// Loads a program once for each device, with workers and an environment of its own.
    pub fn fleet(
        &self,
        program: Program,
        devices: impl IntoIterator<Item = Device>,
        settings: ExecutorSettings,
    ) -> Result<Fleet, Error> {
        Fleet::new(self, program, devices, settings)
    }

    /// Loads and runs in one step. A program that can't be loaded is a report too.
    pub fn run(&self, program: Program, task: &Task) -> Report {
        self.run_with(program, task, &StopHandle::new(), &mut Deaf)
    }

    /// The same, with a handle to stop it and an ear for what it writes.
    pub fn run_with(
        &self,
        program: Program,
        task: &Task,
        stop: &StopHandle,
        ear: &mut dyn Ear,
    ) -> Report {
        match self.load_until(program.clone(), stop) {
            Ok(loaded) => loaded.run_with(task, stop, ear),
            Err(error) => self.report_of(&program, task, error),
        }
    }
}

impl Loaded {
    /// Runs one task in a fresh cell. Blocks until it has ended.
    pub fn run(&self, task: &Task) -> Report {
        self.attempt(task, &StopHandle::new(), &mut Deaf)
    }

    /// The same, and calls what is to be called for such an end: on this thread, before it returns.
    ///
    /// ```
    /// use sandtrap::{Hooks, Program, Runtime, Task};
    ///
    /// let guest = Runtime::new()?.load(Program::file("/bin/false"))?;
    /// let mut code = None;
    /// guest.run_then(&Task::command([""; 0]), Hooks::new().on_exit(|exited, _| code = Some(exited)));
    /// assert_eq!(code, Some(1));
    /// # Ok::<(), sandtrap::Error>(())
    /// ```
    pub fn run_then(&self, task: &Task, mut hooks: Hooks<'_>) -> Report {
        let report = self.run(task);
        hooks.tell(&report);
        report
    }

    /// The same, with a handle to stop it and an ear for what it writes. One handle may stop many tasks; none of
    /// them stops the others by a limit of its own.
    pub fn run_with(&self, task: &Task, stop: &StopHandle, ear: &mut dyn Ear) -> Report {
        let own = StopHandle::new();
        let _tied = stop.tie(&own);
        self.attempt(task, &own, ear)
    }

    fn attempt(&self, task: &Task, stop: &StopHandle, ear: &mut dyn Ear) -> Report {
        let began = Instant::now();
        let summary = TaskSummary::new(&self.program, self.wall, task);
        let asked = self.program.policy().limits_for(task.limits.as_ref());
        let checked = self.check(&asked);
        let limits = self.grantable(asked);
        let attempt = Attempt {
            task: &task.id,
            entry: &task.entry,
            limits: &limits,
            stdout: task.stdout,
            began,
            silence: None,
        };
        let evidence = match checked.and_then(|()| self.image.open()) {
            Ok(mut cell) => {
                let evidence = cell.run(&attempt, stop, ear);
                cell.leave();
                evidence
            }
            Err(error) => Error::from(error).into_evidence(),
        };
        judge(summary, limits, evidence).about(&task.entry)
    }

    /// Calls a function of a guest that serves calls, in a fresh cell, and gives what it returns. Whoever wants to know
    /// more than that makes a task of it ([`Task::invoke`]).
    ///
    /// ```no_run
    /// # use sandtrap::{CallError, Program, Runtime};
    /// let guest = Runtime::new()?.load(Program::file("pictures.wasm"))?; // or a process: "./pictures"
    /// let sum: i64 = guest.call("add", &(2, 40))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call<In, Out>(&self, function: &str, input: &In) -> Result<Out, CallError>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned + 'static,
    {
        let task = Task::invoke(function, input).map_err(CallError::Value)?;
        result_of(self.run(&task))
    }

    /// A guest that is kept between tasks with its state, where each task of [`run`](Self::run) has a fresh one.
    /// Calls only: of exports or functions of a module, or of functions of a process, which is started at once.
    pub fn keep(&self, reuse: Reuse) -> Result<Kept, Error> {
        Ok(Kept::new(self.image.keep()?, self.clone(), reuse))
    }

    /// Has somebody hear what its tasks write and say while they run in a pool or an executor, each with its name. It is
    /// called on the thread that runs the task; a slow one slows that task down. (Who runs a task himself hears it by
    /// [`run_with`](Self::run_with).)
    pub fn heard_by(
        mut self,
        listener: impl Fn(&TaskId, Event<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Workers for many tasks of it, with a queue.
    pub fn pool(&self, settings: PoolSettings) -> Pool {
        Pool::start(self.source(), settings)
    }

    /// The same, and around it what makes many tasks survive: breaker, quarantine, retry, health.
    pub fn executor(&self, settings: ExecutorSettings) -> Executor {
        Executor::new(self.source(), settings)
    }

    fn source(&self) -> Source {
        let (image, program) = (Arc::clone(&self.image), Arc::clone(&self.program));
        let shortcut = (self.wall == Wall::Native).then_some(crate::native::SHORTCUT);
        Source { image, program, wall: self.wall, listener: self.listener.clone(), shortcut }
    }

    /// The wall it runs behind.
    pub fn wall(&self) -> Wall {
        self.wall
    }

    /// What of these limits holds on this host.
    pub(crate) fn grantable(&self, limits: Limits) -> Limits {
        self.image.grantable(limits)
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Whether a task may have these limits.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), LoadError> {
        check(self.wall, limits)?;
        admit(&self.program, limits)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("program", &self.program.name())
            .field("wall", &self.wall)
            .finish_non_exhaustive()
    }
}

pub(crate) fn judge(summary: TaskSummary, limits: Limits, evidence: Evidence) -> Report {
    let verdict = classify(&evidence);
    Report::new(summary, limits, verdict, evidence)
}

fn check(wall: Wall, limits: &Limits) -> Result<(), LoadError> {
    limits.check_behind(wall).map_err(|error| LoadError::at(Step::Accept, error.to_string()))
}

/// The wall a program needs: what was asked for, or what its content says.
fn wall_of(program: &Program) -> Wall {
    program.wall().unwrap_or_else(|| match program.path() {
        Some(path) if !looks_like_module(path) => Wall::Native,
        _ => Wall::Wasm,
    })
}

/// A module announces itself by its first four bytes; a text module only by its name.
pub(crate) fn looks_like_module(path: &Path) -> bool {
    let named = path
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| ["wasm", "wat", "cwasm"].contains(&extension));
    let is_file = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let mut magic = [0; 4];
    named
        || is_file
            && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok())
            && magic == *b"\0asm"
}

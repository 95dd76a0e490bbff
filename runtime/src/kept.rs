//! A guest that is kept between tasks, for those whose state is dear to build.

use std::fmt;
use std::time::Instant;

use sandtrap_protocol::{Codec, LANE_MOST, typed_into};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{CallError, result_of};
use crate::error::Error;
use crate::evidence::Step;
use crate::function::{Function, Numbers};
use crate::isolation::{Attempt, Brief, Cell, Deaf, Ear, LoadError, Quick, StopHandle, Vitals};
use crate::limits::Limits;
use crate::native;
use crate::payload::{Payload, read};
use crate::report::{Report, TaskSummary};
use crate::reuse::Reuse;
use crate::runtime::{Loaded, judge};
use crate::task::Task;

/// One guest, kept between calls with all its state: an instance of a module, or a process that serves calls over its
/// channel. Made by [`Loaded::keep`].
///
/// It is gone after any ending but an orderly one: a trap, a crash, a stop, an exit, a breach of its channel. (An error
/// that its function returned is orderly.) Nothing that has gone wrong is ever used again; the next task is refused then
/// (`unstarted.rejected`), and [`is_usable`](Self::is_usable) says so before.
///
/// Wall time, processor time, output and result are limited for each call. A process's other limits (memory, stack,
/// open files, processes, threads, file size, scratch) stay with it from its start on, and a call that wants others is refused.
/// Whoever drops it ends it at once.
///
/// ```
/// use sandtrap::{Program, Reuse, Runtime, Task, Value};
///
/// let counter = r#"(module (global $n (mut i32) (i32.const 0))
///     (func (export "next") (result i32)
///       (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#;
/// let loaded = Runtime::new()?.load(Program::module("counter", counter.as_bytes()))?;
/// let mut kept = loaded.keep(Reuse::default())?;
/// kept.run(&Task::call("next", []));
/// assert_eq!(kept.run(&Task::call("next", [])).output.values, [Value::I32(2)]);
/// # Ok::<(), sandtrap::Error>(())
/// ```
pub struct Kept {
    cell: Box<dyn Cell>,
    loaded: Loaded,
    reuse: Reuse,
    /// The program's own, as far as this host could grant them when its guest was started.
    limits: Limits,
    /// Where the input of a call is written.
    words: Vec<u8>,
}

impl Kept {
    pub(crate) fn new(cell: Box<dyn Cell>, loaded: Loaded, reuse: Reuse) -> Self {
        let limits = loaded.grantable(loaded.program().policy().limits_for(None));
        Self { cell, loaded, reuse, limits, words: Vec::new() }
    }

    /// Runs one task. Blocks until it has ended.
    pub fn run(&mut self, task: &Task) -> Report {
        self.run_with(task, &StopHandle::new(), &mut Deaf)
    }

    /// The same, with a handle to stop it and an ear for what it writes.
    pub fn run_with(&mut self, task: &Task, stop: &StopHandle, ear: &mut dyn Ear) -> Report {
        let began = Instant::now();
        let program = self.loaded.program();
        let summary = TaskSummary::new(program, self.loaded.wall(), task);
        let limits = match &task.limits {
            None => self.limits.clone(),
            own => self.loaded.grantable(program.policy().limits_for(own.as_ref())),
        };
        let attempt = Attempt {
            task: &task.id,
            entry: &task.entry,
            limits: &limits,
            stdout: task.stdout,
            began,
            silence: self.reuse.max_silence,
        };
        let evidence = match self.admit(&attempt) {
            Ok(()) => self.cell.run(&attempt, stop, ear),
            Err(error) => Error::from(error).into_evidence(),
        };
        judge(summary, limits, evidence).about(&task.entry)
    }

    /// Calls a function of a guest that serves calls, and gives what it returns.
    ///
    /// A process that links `sandtrap-guest` is called in memory that it shares with its host, where both ends look for the
    /// next word for a moment before they sleep. A call that returns soon costs little more than the way between two
    /// processors then; no report is made for it. What a guest writes to its streams in such calls is thrown away, and
    /// what it wrote in the last milliseconds before a call that ends otherwise may stand in that one's report. Whoever wants
    /// each call's own words runs a task.
    pub fn call<In, Out>(&mut self, function: &str, input: &In) -> Result<Out, CallError>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned + 'static,
    {
        if (native::SHORTCUT.is_there)(&*self.cell)
            && let Some(result) = self.call_quickly(function, input)
        {
            return result;
        }
        let task = Task::invoke(function, input).map_err(CallError::Value);
        result_of(self.run(&task?))
    }

    /// The same, where it is answered in the lane of a process: nothing is made for it but its value. `None` where it has to
    /// be run.
    fn call_quickly<In, Out>(
        &mut self,
        function: &str,
        input: &In,
    ) -> Option<Result<Out, CallError>>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned + 'static,
    {
        let Self { cell, loaded, reuse, limits, words } = self;
        words.resize(LANE_MOST, 0);
        let input = typed_into(input, words)?;
        let admits = |Vitals { resident_bytes, tasks_run, age }: Vitals| {
            reuse.used_up(tasks_run, age, resident_bytes).is_none() && loaded.check(limits).is_ok()
        };
        let brief = Brief {
            function,
            input,
            limits,
            silence: reuse.max_silence,
            most_tasks: reuse.max_tasks,
            admits: &admits,
        };
        match (native::SHORTCUT.call)(&mut **cell, &brief) {
            Quick::Returned(value) => Some(read(Codec::Typed, value).map_err(CallError::Value)),
            Quick::Begun(began) => {
                let input = Payload::new(Codec::Typed, input.to_vec());
                let task = Task::invoke_with(function, input);
                Some(result_of(self.go_on_with(&task, began)))
            }
            Quick::NotHere => None,
        }
    }

    /// Runs a task that its guest has begun with already.
    #[cold]
    fn go_on_with(&mut self, task: &Task, began: Instant) -> Report {
        let summary = TaskSummary::new(self.loaded.program(), self.loaded.wall(), task);
        let limits = self.limits.clone();
        // Calls before it may have left something in its streams.
        let roomy = limits.with_room_for(native::SHORTCUT.unheard);
        let attempt = Attempt {
            task: &task.id,
            entry: &task.entry,
            limits: &roomy,
            stdout: task.stdout,
            began,
            silence: self.reuse.max_silence,
        };
        let evidence = self.cell.run(&attempt, &StopHandle::new(), &mut Deaf);
        judge(summary, limits, evidence).about(&task.entry)
    }

    /// A function of a plain module by its types, to be called very often: `kept.function::<(i32, i64), i64>("f")`. The
    /// first call instantiates the guest, if that has not been done; the others cost little more than the
    /// engine's own calls.
    pub fn function<In: Numbers, Out: Numbers>(
        &mut self,
        name: &str,
    ) -> Result<Function<'_, In, Out>, Error> {
        Function::new(self, name)
    }

    pub(crate) fn cell(&mut self) -> &mut dyn Cell {
        &mut *self.cell
    }

    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Whether a guest that is doing like that may be used again.
    pub(crate) fn has_use(&self, vitals: Vitals) -> bool {
        let Vitals { resident_bytes, tasks_run, age } = vitals;
        self.reuse.used_up(tasks_run, age, resident_bytes).is_none()
    }

    /// Whether it takes another task.
    pub fn is_usable(&self) -> bool {
        self.cell.is_usable() && self.used_up().is_none()
    }

    /// How it is doing.
    pub fn vitals(&self) -> Vitals {
        self.cell.vitals()
    }

    fn admit(&self, attempt: &Attempt<'_>) -> Result<(), LoadError> {
        self.loaded.check(attempt.limits)?;
        attempt.check_silence(true)?;
        match self.used_up() {
            None => Ok(()),
            Some(what) => {
                let detail = format!("this guest is used up: {what}; keep another one");
                Err(LoadError::at(Step::Accept, detail))
            }
        }
    }

    fn used_up(&self) -> Option<String> {
        let Vitals { resident_bytes, tasks_run, age } = self.cell.vitals();
        self.reuse.used_up(tasks_run, age, resident_bytes)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("loaded", &self.loaded)
            .field("vitals", &self.vitals())
            .finish()
    }
}

//! A function of a guest that is kept, by its types, for those who call it very often.

use std::any::Any;
use std::fmt;
use std::time::Instant;

use wasmtime::TypedFunc;

use crate::error::Error;
use crate::evidence::Step;
use crate::isolation::{Attempt, Deaf, LoadError, StopHandle};
use crate::kept::Kept;
use crate::limits::Limits;
use crate::report::{Report, TaskSummary};
use crate::runtime::judge;
use crate::task::{Entry, Task};
use crate::wasm::{Again, Passed, WasmCell};

/// What goes into an export and comes out of it: nothing, a number (`i32`, `i64`, `f32`, `f64`), or a tuple of up to
/// eight of them.
pub trait Numbers: Passed {}

impl<T: Passed> Numbers for T {}

/// An export of a module, ready to be called again and again. Made by [`Kept::function`].
///
/// A call stays within the same limits as a task, and whatever ends one otherwise is told in the same [`Report`]. What is
/// left out is what a call that returns needs none of: a report, an ear, an id.
///
/// ```
/// use sandtrap::{Program, Reuse, Runtime};
///
/// let module = r#"(module (func (export "add") (param i32 i64) (result i64)
///     (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1))))"#;
/// let loaded = Runtime::new()?.load(Program::module("sums", module.as_bytes()))?;
/// let mut kept = loaded.keep(Reuse::default())?;
/// let mut add = kept.function::<(i32, i64), i64>("add")?;
/// let sum: i64 = (1..=10).map(|n| add.call((n, 100)).expect("it returns")).sum();
/// assert_eq!(sum, 1055);
/// # Ok::<(), sandtrap::Error>(())
/// ```
pub struct Function<'k, In: Numbers, Out: Numbers> {
    kept: &'k mut Kept,
    name: String,
    task: Task,
    limits: Limits,
    /// There after the first call.
    ready: Option<TypedFunc<In, Out>>,
}

impl<'k, In: Numbers, Out: Numbers> Function<'k, In, Out> {
    pub(crate) fn new(kept: &'k mut Kept, name: &str) -> Result<Self, Error> {
        let Some(cell) = wasm(kept) else {
            let detail = "only exports of modules can be called with numbers";
            return Err(LoadError::at(Step::Accept, detail).into());
        };
        cell.check_function::<In, Out>(name)?;
        let limits = kept.loaded().program().policy().limits_for(None);
        let task = Task::call(name, []);
        Ok(Self { kept, name: name.to_owned(), task, limits, ready: None })
    }

    /// Calls it. Blocks until it has ended. Where it does not return, its guest is gone, and the report says why.
    pub fn call(&mut self, input: In) -> Result<Out, Box<Report>> {
        let began = Instant::now();
        if let Some(function) = &self.ready
            && let Some(vitals) = wasm(self.kept).map(|cell| cell.vitals_at(began))
            && self.kept.has_use(vitals)
            && let Some(cell) = wasm(self.kept)
        {
            let (task, entry, stdout) = (&self.task.id, &self.task.entry, self.task.stdout);
            let attempt =
                Attempt { task, entry, limits: &self.limits, stdout, began, silence: None };
            match cell.again(function, input, &attempt) {
                Again::Returned(output) => return Ok(output),
                Again::Ended(evidence) => {
                    let loaded = self.kept.loaded();
                    let summary = TaskSummary::new(loaded.program(), loaded.wall(), &self.task);
                    return Err(Box::new(judge(summary, self.limits.clone(), *evidence)));
                }
                Again::NotHere => {}
            }
        }
        self.call_at_length(input)
    }

    /// Ends the guest from another thread, now or whenever it is called. For all functions of one guest it is the
    /// same.
    pub fn stop_handle(&mut self) -> StopHandle {
        wasm(self.kept).map(|cell| cell.stop_handle()).unwrap_or_default()
    }

    #[cold]
    fn call_at_length(&mut self, input: In) -> Result<Out, Box<Report>> {
        self.task.entry = Entry::Call { function: self.name.clone(), arguments: input.values() };
        let report = self.kept.run_with(&self.task, &StopHandle::new(), &mut Deaf);
        if !report.verdict.is_completed() {
            return Err(Box::new(report));
        }
        self.ready = wasm(self.kept).and_then(|cell| cell.ready(&self.name, &self.limits));
        // Its types were looked at before, so it returns these.
        Out::from_values(&report.output.values).ok_or_else(|| Box::new(report))
    }
}

fn wasm(kept: &mut Kept) -> Option<&mut WasmCell> {
    let cell: &mut dyn Any = kept.cell();
    cell.downcast_mut::<WasmCell>()
}

impl<In: Numbers, Out: Numbers> fmt::Debug for Function<'_, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

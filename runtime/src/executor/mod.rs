//! The executor: breaker, quarantine, pool, retry and health around each task, in this order, each optional.
//!
//! ```text
//!   order -> breaker -> quarantine -> pool -> report -> told to: breaker, quarantine, health
//!              ^            ^                   |
//!              +------------+--- again? <-------+   idempotent, worth it, budget left, deadline not over
//! ```
//!
//! Every attempt asks the breaker and is told to it: three crashes of one task are three failures. A retry that
//! comes upon an open circuit waits for its next probe where that is soon enough, and stops there otherwise. What was refused says nothing about a device. Whatever happens, there is one report, with its history.

mod asking;
mod config;
mod culprit;
mod desk;
mod ending;
mod hedging;
mod journey;
mod ledger;
mod once;
mod settings;
mod signs;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{CallError, result_of};
use crate::isolation::StopHandle;
use crate::order::Order;
use crate::pool::{Drained, Pool, PoolSettings, Rejected, Source, wait};
use crate::rejection::Rejection;
use crate::report::Report;
use crate::task::Task;
use crate::telemetry::Telemetry;

pub use config::ConfigError;
use desk::Desk;
use once::Answers;
pub use settings::ExecutorSettings;

/// Runs tasks of one program as well as it can be done. Made by [`Loaded::executor`](crate::Loaded::executor).
///
/// ```
/// use sandtrap::{ExecutorSettings, Order, Program, Runtime, Task, Value};
///
/// let half = r#"(module (func (export "half") (param i32) (result i32)
///     (i32.div_s (i32.const 100) (local.get 0))))"#;
/// let loaded = Runtime::new()?.load(Program::module("half", half.as_bytes()))?;
/// let executor = loaded.executor(ExecutorSettings::with_workers(2));
/// let report = executor.run(Order::new(Task::call("half", [Value::I32(4)])).idempotent());
/// assert_eq!((report.output.values, report.attempts), (vec![Value::I32(25)], 1));
/// # Ok::<(), sandtrap::Error>(())
/// ```
pub struct Executor {
    pool: Pool,
    source: Source,
    desk: Arc<Desk>,
    answers: Answers,
}

impl Executor {
    pub(crate) fn new(source: Source, settings: ExecutorSettings) -> Self {
        let pool_settings = settings.pool.clone();
        let desk = Arc::new(Desk::new(settings, source.program.name()));
        let ear = Arc::clone(&desk);
        let telemetry = Telemetry::to(move |happening| ear.hear(happening));
        let pool = Pool::start(source.clone(), PoolSettings { telemetry, ..pool_settings });
        Self { pool, source, desk, answers: Answers::default() }
    }

    /// Runs a task, with all the attempts it takes. Blocks until it has its report; many threads may call this at once.
    pub fn run(&self, order: impl Into<Order>) -> Report {
        self.run_with(order, &StopHandle::new())
    }

    /// Calls a function of the guest, with all the attempts it takes, and gives what it returns.
    pub fn call<In, Out>(&self, function: &str, input: &In) -> Result<Out, CallError>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned + 'static,
    {
        let task = Task::invoke(function, input).map_err(CallError::Value)?;
        result_of(self.run(task))
    }

    /// Runs a task with a handle to stop it: while it waits, while it runs, and between two attempts.
    pub fn run_with(&self, order: impl Into<Order>, stop: &StopHandle) -> Report {
        let mut order = order.into();
        let end = self.at_the_end(&mut order);
        let mut journey = self.journey(order, stop);
        journey.blocks = true;
        end.tell(wait(self.travel(journey)))
    }

    /// The same without a thread: a future for any runtime, which runs the task as far as it is polled. Dropping it stops
    /// the task.
    ///
    /// ```
    /// # use sandtrap::{ExecutorSettings, Program, Runtime, Task, Value};
    /// # let module = r#"(module (func (export "seven") (result i32) i32.const 7))"#;
    /// # let loaded = Runtime::new()?.load(Program::module("seven", module.as_bytes()))?;
    /// let executor = loaded.executor(ExecutorSettings::with_workers(2));
    /// let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let report = runtime.block_on(executor.submit(Task::call("seven", [])));
    /// assert_eq!(report.output.values, [Value::I32(7)]);
    /// # Ok::<(), sandtrap::Error>(())
    /// ```
    pub fn submit(&self, order: impl Into<Order>) -> impl Future<Output = Report> + Send {
        let mut order = order.into();
        let end = self.at_the_end(&mut order);
        async move {
            let stop = StopHandle::new();
            end.tell(self.submit_with(order, &stop).await)
        }
    }

    /// The same, with a handle to stop it.
    pub fn submit_with<'a>(
        &'a self,
        order: impl Into<Order>,
        stop: &'a StopHandle,
    ) -> impl Future<Output = Report> + Send + 'a {
        let mut order = order.into();
        let end = self.at_the_end(&mut order);
        async move { end.tell(self.travel(self.journey(order, stop)).await) }
    }

    pub(crate) fn report_of(&self, order: Order, why: Rejection) -> Report {
        self.pool.report_of(&Rejected { why, order: Box::new(order) })
    }

    /// Forgets the deaths of workers: a pool that has stopped starting them begins again.
    pub fn reset(&self) {
        self.pool.reset();
    }

    /// Takes on nothing more, and lets what runs end until `patience` is over; then stops it, and gives it what
    /// time of grace its limits say. Blocks.
    pub fn drain(&self, patience: Duration) -> Drained {
        self.pool.drain(patience)
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("pool", &self.pool).finish_non_exhaustive()
    }
}

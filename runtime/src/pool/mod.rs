//! The pool: workers that may die, tasks that don't notice.
//!
//! Each worker is a thread with a cell of its own, which a caller may borrow for a task that he waits for himself while the
//! worker has none. Nothing is shared between workers but the queue. A guest that
//! dies takes its own task with it and no other; a pool is never broken. With fresh cells (the usual way) a crash isn't
//! even a worker's end: its next cell is open already, and a call finds a spare with a guest in it, if there are any. Kept
//! cells are started again as the policy of restarts says, from spares, too.
//!
//! A task has exactly one report, whatever happens to it, its worker or the pool. It is delivered while no lock is held.

mod awaiting;
mod calling;
mod holding;
mod lending;
mod news;
mod places;
mod queue;
mod remains;
mod resting;
mod results;
mod settings;
pub(crate) mod shared;
mod slots;
mod source;
#[cfg(test)]
mod spans;
mod spares;
pub(crate) mod state;
#[cfg(test)]
mod tests;
pub(crate) mod threads;
mod ticket;
mod waiting;
mod worker;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::isolation::StopHandle;
use crate::order::Order;
use crate::report::Report;
use crate::supervisor;

use shared::Promptly;

pub(crate) use awaiting::{Bell, wait};
pub(crate) use holding::bytes_of;
pub use results::{AsCompleted, InOrder};
pub use settings::{Drained, PoolSettings, PoolStatus, Rejected, WorkerState, WorkerStatus};
pub(crate) use source::{Listener, Source, vanished};
pub(crate) use ticket::Done;
pub use ticket::Ticket;

use shared::{Shared, Wait};

/// Workers for one program, and a queue before them. Made by [`Loaded::pool`](crate::Loaded::pool).
///
/// ```
/// use sandtrap::{Order, PoolSettings, Program, Runtime, Task, Value};
///
/// let half = r#"(module (func (export "half") (param i32) (result i32)
///     (i32.div_s (i32.const 100) (local.get 0))))"#;
/// let loaded = Runtime::new()?.load(Program::module("half", half.as_bytes()))?;
/// let pool = loaded.pool(PoolSettings::with_workers(2));
///
/// let tasks = [1, 0, 50].map(|by| Order::new(Task::call("half", [Value::I32(by)])));
/// let labels: Vec<String> =
///     pool.map(tasks).map(|report| report.verdict.label().to_string()).collect();
/// assert_eq!(labels, ["completed", "crashed.arithmetic", "completed"]);
/// # Ok::<(), sandtrap::Error>(())
/// ```
///
/// Dropping it shuts it down: what runs is stopped, what waits is handed back, and every ticket has its report.
pub struct Pool {
    shared: Arc<Shared>,
    supervisor: Option<JoinHandle<()>>,
}

impl Pool {
    pub(crate) fn start(source: Source, settings: PoolSettings) -> Self {
        let shared = Shared::new(source, settings);
        let supervisor = supervisor::start(&shared);
        shared.start_workers();
        Self { shared, supervisor }
    }

    /// Takes a task on, or says at once why not.
    pub fn try_submit(&self, order: impl Into<Order>) -> Result<Ticket, Rejected> {
        self.submit_with(order.into(), Wait::Never)
    }

    /// Takes a task on, and waits for room in the queue until its deadline, or for as long as it may wait. Blocks.
    pub fn submit(&self, order: impl Into<Order>) -> Result<Ticket, Rejected> {
        self.submit_with(order.into(), Wait::ForRoom)
    }

    fn submit_with(&self, order: Order, wait: Wait<'_>) -> Result<Ticket, Rejected> {
        let over = self.shared.over(&order, Instant::now());
        self.shared.submit(order, over, wait)
    }

    /// Runs one task. Blocks until it has ended; a task that is not taken on has a report, too.
    ///
    /// It runs on this thread where a worker is idle: nothing is handed over then. (`submit` and [`Ticket::wait`] have it run
    /// on a thread of the pool's.)
    pub fn run(&self, order: impl Into<Order>) -> Report {
        let order = match self.run_here(order.into(), None) {
            ControlFlow::Break(done) => return done.report,
            ControlFlow::Continue(order) => order,
        };
        match self.submit(order) {
            Ok(ticket) => ticket.wait(),
            Err(rejected) => self.report_of(&rejected),
        }
    }

    /// Runs one task on this thread, if a worker is idle.
    pub(crate) fn run_here(
        &self,
        order: Order,
        stop: Option<&StopHandle>,
    ) -> ControlFlow<Done, Order> {
        self.shared.run_here(order, stop)
    }

    /// The report of a task that was not taken on, and its end: its hooks are called now, here.
    pub fn report_of(&self, rejected: &Rejected) -> Report {
        let report = self.shared.source.unrun(&rejected.order, rejected.why.to_evidence());
        if let Some(hooks) = &rejected.order.hooks {
            hooks.tell(&report);
        }
        report
    }

    /// Runs all tasks and gives their reports in the order of the tasks. Only as many as have room are taken on ahead,
    /// so there may be endlessly many.
    pub fn map<I>(&self, orders: I) -> InOrder<'_, I::IntoIter>
    where
        I: IntoIterator<Item = Order>,
    {
        InOrder::new(self, orders.into_iter())
    }

    /// The same, as the tasks end, each report with the number of its task.
    pub fn as_completed<I>(&self, orders: I) -> AsCompleted<'_, I::IntoIter>
    where
        I: IntoIterator<Item = Order>,
    {
        AsCompleted::new(self, orders.into_iter())
    }

    /// How it is.
    pub fn status(&self) -> PoolStatus {
        self.shared.status()
    }

    /// Forgets all deaths: a pool that has stopped starting workers begins again, as does one for which there were no threads.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Takes on nothing more, hands back what waits, and lets what runs end until `patience` is over; then stops it, and gives it
    /// what time of grace its limits say. Blocks.
    pub fn drain(&self, patience: Duration) -> Drained {
        self.shared.drain(Instant::now().checked_add(patience), Promptly::InItsTime)
    }

    /// Stops what runs, hands back what waits, and ends all workers. Blocks until each task has its report, which those that
    /// have a time of grace may have at the end of that.
    pub fn shut_down(&self) -> Drained {
        self.shared.drain(Some(Instant::now()), Promptly::InItsTime)
    }

    /// The same, and nobody has any time left: also those that another thread's [`shut_down`](Self::shut_down) waits for.
    pub fn shut_down_now(&self) -> Drained {
        self.shared.drain(Some(Instant::now()), Promptly::AtOnce)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shut_down();
        self.shared.close(self.supervisor.take());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.status()).finish_non_exhaustive()
    }
}

//! The executor: breaker, quarantine, pool, retry and health around each task, in this order, each optional.
//!
//! ```text
//!   order -> breaker -> quarantine -> pool -> report -> told to: breaker, quarantine, health
//!              ^            ^                   |
//!              +------------+--- again? <-------+   idempotent, worth it, budget left, deadline not over
//! ```
//!
//! Every attempt asks the breaker and is told to it: three crashes of one task are three failures, and a retry stops at an
//! open circuit. What was refused says nothing about a device. Whatever happens, there is one report, with its history.

mod config;
mod culprit;
mod desk;
mod hedging;
mod settings;
mod signs;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::evidence::StopReason;
use crate::isolation::StopHandle;
use crate::order::Order;
use crate::policy::breaker::Mode;
use crate::policy::health::{CrashRecord, Ended, Filter, HealthSettings, Level, Stats, Status};
use crate::policy::quarantine::{Culprit, Death, Quarantined};
use crate::policy::retry::{Decision, Tried};
use crate::pool::{
    Bell, Done, Drained, Pool, PoolSettings, PoolStatus, Rejected, Source, vanished, wait,
};
use crate::rejection::Rejection;
use crate::report::{AttemptSummary, Report};
use crate::telemetry::{Happening, Telemetry};

pub use config::ConfigError;
use desk::Desk;
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
}

/// One task on its way through all attempts.
struct Journey<'a> {
    order: Order,
    culprit: Culprit,
    keys: Vec<Arc<str>>,
    stop: &'a StopHandle,
    /// Whether the caller's thread has nothing else to do.
    blocks: bool,
    /// What the last attempt left behind, if there was one.
    last: Option<Report>,
    history: Vec<AttemptSummary>,
    delay: Duration,
    raised: bool,
}

impl Executor {
    pub(crate) fn new(source: Source, settings: ExecutorSettings) -> Self {
        let pool_settings = settings.pool.clone();
        let desk = Arc::new(Desk::new(settings));
        let ear = Arc::clone(&desk);
        let telemetry = Telemetry::to(move |happening| ear.hear(happening));
        let pool = Pool::start(source.clone(), PoolSettings { telemetry, ..pool_settings });
        Self { pool, source, desk }
    }

    /// Runs a task, with all the attempts it takes. Blocks until it has its report; many threads may call this at once.
    pub fn run(&self, order: impl Into<Order>) -> Report {
        self.run_with(order, &StopHandle::new())
    }

    /// The same, with a handle to stop it: while it waits, while it runs, and between two attempts.
    pub fn run_with(&self, order: impl Into<Order>, stop: &StopHandle) -> Report {
        let journey = Journey { blocks: true, ..self.journey(order.into(), stop) };
        wait(self.travel(journey))
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
        let order = order.into();
        async move {
            let stop = StopHandle::new();
            self.submit_with(order, &stop).await
        }
    }

    /// The same, with a handle to stop it.
    pub fn submit_with<'a>(
        &'a self,
        order: impl Into<Order>,
        stop: &'a StopHandle,
    ) -> impl Future<Output = Report> + Send + 'a {
        let order = order.into();
        async move { self.travel(self.journey(order, stop)).await }
    }

    pub(crate) fn report_of(&self, order: Order, why: Rejection) -> Report {
        self.pool.report_of(&Rejected { why, order: Box::new(order) })
    }

    fn journey<'a>(&self, mut order: Order, stop: &'a StopHandle) -> Journey<'a> {
        let now = Instant::now();
        if order.deadline.is_none() && self.desk.settings.enabled {
            let deadline = self.desk.settings.deadline;
            order.deadline = deadline.and_then(|deadline| now.checked_add(deadline));
        }
        let program: Arc<str> = Arc::clone(self.source.program.name());
        let keys = [Some(program), order.device.clone()].into_iter().flatten().collect();
        self.desk.deposit(now);
        Journey {
            culprit: culprit::culprit(&self.source.program, &order),
            order,
            keys,
            stop,
            blocks: false,
            last: None,
            history: Vec::new(),
            delay: Duration::ZERO,
            raised: false,
        }
    }

    /// How everything is: workers, devices, patterns. `None` if health was left out.
    pub fn health(&self) -> Option<Status> {
        self.desk.with_health(|health| health.status(Instant::now()))
    }

    /// The crashes that fit, newest first.
    pub fn crashes(&self, filter: &Filter, most: usize) -> Vec<CrashRecord> {
        let history = self.desk.with_health(|health| health.history(filter, most, Instant::now()));
        history.unwrap_or_default()
    }

    /// The state of the breaker of a program's name or a device, and when time alone changes it next.
    pub fn breaker(&self, key: &str) -> Option<(Mode, Option<Instant>)> {
        self.desk.breaker(&key.into())
    }

    /// Sets a breaker by hand. Says whether there are breakers.
    pub fn set_breaker(&self, key: &str, mode: Mode) -> bool {
        self.desk.set_breaker(&key.into(), mode)
    }

    /// Every task that is refused now, with the deaths it caused.
    pub fn quarantined(&self) -> Vec<(Culprit, Quarantined)> {
        self.desk.quarantine().map(|list| list.list(Instant::now())).unwrap_or_default()
    }

    /// Lets a task go. Says whether it was known.
    pub fn release(&self, culprit: &Culprit) -> bool {
        let was_known = self.desk.quarantine().is_some_and(|mut list| list.release(culprit));
        if was_known {
            let culprit = culprit.clone();
            self.desk.telemetry.tell(&Happening::QuarantineReleased { culprit });
        }
        was_known
    }

    /// Who this task is to the quarantine.
    pub fn culprit(&self, order: &Order) -> Culprit {
        culprit::culprit(&self.source.program, order)
    }

    /// How the pool is.
    pub fn pool(&self) -> PoolStatus {
        self.pool.status()
    }

    /// How a kind of work goes, and what is counted for it: a program's name and a function's with a blank between them,
    /// or what orders say ([`Order::kind`]).
    pub fn kind(&self, kind: &str) -> Option<(Level, Stats)> {
        self.desk.with_health(|health| health.kind(&kind.into(), Instant::now())).flatten()
    }

    /// What it was set to.
    pub fn settings(&self) -> &ExecutorSettings {
        &self.desk.settings
    }

    /// Forgets the deaths of workers: a pool that has stopped starting them begins again.
    pub fn reset(&self) {
        self.pool.reset();
    }

    /// Takes on nothing more, and lets what runs end until `grace` is over; then stops it. Blocks.
    pub fn drain(&self, grace: Duration) -> Drained {
        self.pool.drain(grace)
    }

    async fn travel(&self, mut journey: Journey<'_>) -> Report {
        for attempt in 1.. {
            let done = match self.attempt(&mut journey, attempt).await {
                Ok(done) => done,
                Err(why) => return self.refused(journey, why),
            };
            let next = self.settle(&mut journey, done, attempt);
            match next {
                Some(after) if self.wait(&mut journey, after).await => {}
                Some(_) | None => break,
            }
        }
        self.last_words(journey)
    }

    /// Takes in how an attempt ended; says after which time there is another one.
    fn settle(&self, journey: &mut Journey<'_>, done: Done, attempt: u32) -> Option<Duration> {
        let Done { report, worker, .. } = done;
        self.desk.heard_marks(&report);
        let (label, now) = (report.verdict.label(), Instant::now());
        journey.history.push(AttemptSummary {
            number: attempt,
            label,
            message: report.verdict.to_string(),
            delay: journey.delay,
            took: report.usage.wall,
            memory: report.limits.memory,
            worker,
        });
        if let Some(worker) = worker {
            self.tell_of(journey, &report, worker, attempt, now);
        }
        let tried = Tried {
            attempt,
            label,
            idempotent: self.may_be_done_twice(&journey.order),
            memory: report.limits.memory,
            raised: journey.raised,
            delay: journey.delay,
            left: journey.order.deadline.map(|at| at.saturating_duration_since(now)),
        };
        journey.last = Some(report);
        match self.desk.decide(&tried, now)? {
            Decision::Enough(_) => None,
            Decision::Again { after, memory } => {
                if let Some(memory) = memory {
                    journey.raised = true;
                    let limits = self.source.program.policy().limits.clone();
                    journey.order.task.limits.get_or_insert(limits).memory = memory;
                }
                let task = journey.order.task.id.clone();
                let next = attempt + 1;
                let happening =
                    Happening::RetryAttempt { task, attempt: next, delay: after, label };
                self.desk.telemetry.tell(&happening);
                Some(after)
            }
        }
    }

    fn tell_of(
        &self,
        journey: &Journey<'_>,
        report: &Report,
        worker: u64,
        attempt: u32,
        at: Instant,
    ) {
        let (label, order) = (report.verdict.label(), &journey.order);
        if HealthSettings::CRASHES.contains(label) {
            self.desk.killed(&journey.culprit, Death { at, worker, label });
        }
        let ended = Ended {
            at,
            worker,
            program: self.source.program.name(),
            device: order.device.as_ref(),
            kind: &journey.culprit.kind,
            sign: self.sign(report, order),
            label,
            took: report.usage.wall,
            memory: (report.usage.peak_memory, report.limits.memory.as_u64()),
        };
        self.desk.ended(&ended, || CrashRecord {
            at,
            task: order.task.id.clone(),
            attempt,
            worker,
            program: Arc::clone(self.source.program.name()),
            device: order.device.clone(),
            label,
            signature: culprit::signature(report),
            culprit: journey.culprit.clone(),
        });
    }

    /// Waits between two attempts. A stop ends the waiting, and the task.
    async fn wait(&self, journey: &mut Journey<'_>, after: Duration) -> bool {
        journey.delay = after;
        let bell = Bell::default();
        let _rings = bell.clone().rings_at(journey.stop);
        let mut alarm = pin!(self.pool.alarm(Instant::now() + after));
        let goes_on = poll_fn(|context| {
            bell.is_heard_by(context.waker());
            match journey.stop.reason() {
                Some(_) => Poll::Ready(false),
                None => alarm.as_mut().poll(context).map(|()| true),
            }
        });
        if goes_on.await {
            return true;
        }
        let evidence = vanished(journey.stop.reason().or(Some(StopReason::Cancelled)));
        journey.last = Some(self.source.unrun(&journey.order, evidence));
        false
    }

    /// An attempt was refused. The first one makes the report; a later one leaves that of the attempt before.
    fn refused(&self, journey: Journey<'_>, why: Rejection) -> Report {
        let task = journey.order.task.id.clone();
        self.desk.telemetry.tell(&Happening::TaskRejected { task, why: why.clone() });
        if let Some(reason) = journey.stop.reason() {
            return self.source.unrun(&journey.order, vanished(Some(reason)));
        }
        if journey.last.is_some() {
            return self.last_words(journey);
        }
        let order = Box::new(journey.order);
        self.pool.report_of(&Rejected { why, order })
    }

    fn last_words(&self, journey: Journey<'_>) -> Report {
        let attempts = journey.history.len() as u32;
        match journey.last {
            Some(report) => Report { attempts, history: journey.history, ..report },
            None => self.source.unrun(&journey.order, vanished(None)),
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("pool", &self.pool).finish_non_exhaustive()
    }
}

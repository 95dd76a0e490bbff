//! A program on several devices: workers of their own for each, with what they are to see of it, and the least loaded for whoever
//! doesn't mind.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::evidence::Step;
use crate::executor::{Executor, ExecutorSettings};
use crate::isolation::LoadError;
use crate::order::Order;
use crate::policy::breaker::Mode;
use crate::policy::later;
use crate::pool::{Drained, PoolSettings, WorkerState};
use crate::rejection::Rejection;
use crate::report::Report;
use crate::runtime::Runtime;
use crate::task::Program;

/// A device, how many workers it has, and what they find in their environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, as orders say it.
    pub name: Arc<str>,
    /// Tasks that run on it at the same time.
    pub workers: usize,
    /// What their guests are granted besides the program's own.
    pub env: Vec<(OsString, OsString)>,
}

impl Device {
    /// A device of any name.
    pub fn named(name: impl Into<Arc<str>>, workers: usize) -> Self {
        Self { name: name.into(), workers, env: Vec::new() }
    }

    /// A graphics card by its number: its guests see this one alone.
    pub fn cuda(number: u32, workers: usize) -> Self {
        Self::named(format!("cuda:{number}"), workers)
            .env("CUDA_VISIBLE_DEVICES", number.to_string())
    }

    /// The processors: its guests see no graphics card.
    pub fn cpu(workers: usize) -> Self {
        Self::named("cpu", workers).env("CUDA_VISIBLE_DEVICES", "")
    }

    /// Grants a variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// One device, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Its name.
    pub device: Arc<str>,
    /// Workers that it has.
    pub workers: usize,
    /// Those of them that run a task.
    pub busy: usize,
    /// Those that died and are not there again.
    pub crashed: usize,
    /// Tasks that wait for one.
    pub waiting: usize,
    /// Its breaker, if it has one.
    pub breaker: Option<Mode>,
}

/// An executor for each device. Made by [`Runtime::fleet`].
///
/// ```
/// use sandtrap::{Device, ExecutorSettings, Order, Program, Runtime, Task, Value};
///
/// let module = r#"(module (func (export "seven") (result i32) i32.const 7))"#;
/// let program = Program::module("seven", module.as_bytes());
/// let devices = [Device::cuda(0, 1), Device::cuda(1, 1)];
/// let fleet = Runtime::new()?.fleet(program, devices, ExecutorSettings::default())?;
/// let report = fleet.run(Order::new(Task::call("seven", [])).device("cuda:1"));
/// assert_eq!(report.output.values, [Value::I32(7)]);
/// # Ok::<(), sandtrap::Error>(())
/// ```
pub struct Fleet {
    crews: Vec<(Arc<str>, Executor)>,
}

impl Fleet {
    pub(crate) fn new(
        runtime: &Runtime,
        program: Program,
        devices: impl IntoIterator<Item = Device>,
        settings: ExecutorSettings,
    ) -> Result<Self, Error> {
        let devices: Vec<Device> = devices.into_iter().collect();
        check(&devices)?;
        let crew = |device: Device| {
            let mut permissions = program.policy().permissions.clone();
            device.env.into_iter().for_each(|(name, value)| permissions.grant_env(name, value));
            let loaded = runtime.load(program.clone().permissions(permissions))?;
            let pool = PoolSettings { workers: device.workers, ..settings.pool.clone() };
            Ok((device.name, loaded.executor(ExecutorSettings { pool, ..settings.clone() })))
        };
        Ok(Self { crews: devices.into_iter().map(crew).collect::<Result<_, Error>>()? })
    }

    /// Runs a task on the device that it needs, or else on the least loaded one. Blocks until it has its report.
    pub fn run(&self, order: impl Into<Order>) -> Report {
        let (executor, order) = self.place(order.into());
        match executor {
            Ok(executor) => executor.run(order),
            Err(why) => self.refused(order, why),
        }
    }

    /// The same without a thread: a future for any runtime. The device is chosen when it is polled first.
    pub fn submit(&self, mut order: Order) -> impl Future<Output = Report> + Send {
        let end = self.crews[0].1.at_the_end(&mut order);
        async move {
            let (executor, order) = self.place(order);
            end.tell(match executor {
                Ok(executor) => executor.submit(order).await,
                Err(why) => self.refused(order, why),
            })
        }
    }

    /// What each device has and does.
    pub fn status(&self) -> Vec<DeviceStatus> {
        self.crews.iter().map(|(device, executor)| status(device, executor)).collect()
    }

    /// The executor of one device, for everything else about it.
    pub fn executor(&self, device: &str) -> Option<&Executor> {
        self.crews.iter().find(|(name, _)| **name == *device).map(|(_, executor)| executor)
    }

    /// Drains all of them, one after another, within one time.
    pub fn drain(&self, patience: Duration) -> Drained {
        let until = later(Instant::now(), patience);
        let mut all = Drained::default();
        for (_, executor) in &self.crews {
            let left = until.saturating_duration_since(Instant::now());
            let Drained { finished, returned, killed } = executor.drain(left);
            all.finished += finished;
            all.returned += returned;
            all.killed += killed;
        }
        all
    }

    /// Who runs it, and the order with its device.
    fn place(&self, mut order: Order) -> (Result<&Executor, Rejection>, Order) {
        let found = match &order.device {
            Some(device) => self.crews.iter().find(|(name, _)| name == device),
            None => self.least_loaded(),
        };
        let Some((name, executor)) = found else {
            let device = order.device.clone().unwrap_or_else(|| "none".into());
            return (Err(Rejection::NoDevice { device }), order);
        };
        order.device = Some(Arc::clone(name));
        (Ok(executor), order)
    }

    /// The device with the fewest tasks for each of its workers that lives. One whose breaker is open comes last.
    fn least_loaded(&self) -> Option<&(Arc<str>, Executor)> {
        self.crews.iter().min_by(|(one, executor), (other, another)| {
            let (one, other) = (status(one, executor), status(other, another));
            one.is_closed_off()
                .cmp(&other.is_closed_off())
                .then(one.load().total_cmp(&other.load()))
        })
    }

    fn refused(&self, order: Order, why: Rejection) -> Report {
        // There is a first one, or there were no fleet; any of them writes the same report.
        self.crews[0].1.report_of(order, why)
    }
}

fn check(devices: &[Device]) -> Result<(), LoadError> {
    let wrong = match devices {
        [] => Some("a fleet has no device; name at least one".to_owned()),
        _ => devices.iter().enumerate().find_map(|(at, device)| {
            let is_there = devices[..at].iter().any(|before| before.name == device.name);
            is_there.then(|| format!("a fleet has the device `{}` twice", device.name))
        }),
    };
    wrong.map_or(Ok(()), |detail| Err(LoadError::at(Step::Accept, detail)))
}

fn status(device: &Arc<str>, executor: &Executor) -> DeviceStatus {
    let pool = executor.pool();
    let count = |state| pool.workers.iter().filter(|worker| worker.state == state).count();
    DeviceStatus {
        device: Arc::clone(device),
        workers: pool.workers.len(),
        busy: count(WorkerState::Busy),
        crashed: count(WorkerState::Crashed),
        waiting: pool.waiting,
        breaker: executor.breaker(device).map(|(mode, _)| mode),
    }
}

impl DeviceStatus {
    fn is_closed_off(&self) -> bool {
        matches!(self.breaker, Some(Mode::Open | Mode::ForcedOpen)) || self.crashed == self.workers
    }

    fn load(&self) -> f64 {
        (self.busy + self.waiting) as f64 / self.workers.saturating_sub(self.crashed).max(1) as f64
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("devices", &self.status()).finish()
    }
}

//! What an executor is set to: each part may be left out.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::policy::breaker::BreakerSettings;
use crate::policy::health::HealthSettings;
use crate::policy::hedge::HedgeSettings;
use crate::policy::quarantine::QuarantineSettings;
use crate::policy::retry::RetrySettings;
use crate::policy::signs::DeviceSigns;
use crate::pool::PoolSettings;

use super::ledger;

/// What an executor is set to. A part that is `None` is left out.
#[derive(Clone, Debug)]
pub struct ExecutorSettings {
    /// Whether there is anything but the pool.
    pub enabled: bool,
    /// How long a task may take that says nothing about it: waiting, all attempts and the delays between them.
    pub deadline: Option<Duration>,
    /// The workers and their queue.
    pub pool: PoolSettings,
    /// Leaves alone what breaks again and again.
    pub breaker: Option<BreakerSettings>,
    /// Refuses inputs that kill worker after worker.
    pub quarantine: Option<QuarantineSettings>,
    /// Tries again what may be done twice.
    pub retry: Option<RetrySettings>,
    /// Sends a second copy of a task that is late and may be done twice; not unless it is asked for.
    pub hedge: Option<HedgeSettings>,
    /// Remembers who died, and alarms.
    pub health: Option<HealthSettings>,
    /// A file for the crashes that health remembers, a line of JSON for each: added to, never cut, and shared with other
    /// executors and processes if they name it, too. What it has of this program is remembered again by the next executor.
    /// It is to be on a local disk: lines are written where crashes are judged, in the poll of a task that is awaited, and a
    /// file system that waits for a network would hold up whatever else is polled there.
    pub history: Option<PathBuf>,
    /// By which signs a failed device is known.
    pub device: DeviceSigns,
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            deadline: Some(Duration::from_secs(30)),
            pool: PoolSettings::default(),
            breaker: Some(BreakerSettings::default()),
            quarantine: Some(QuarantineSettings::default()),
            retry: Some(RetrySettings::default()),
            hedge: None,
            health: Some(HealthSettings::default()),
            history: None,
            device: DeviceSigns::default(),
        }
    }
}

impl ExecutorSettings {
    /// The usual settings for this many workers.
    pub fn with_workers(workers: usize) -> Self {
        Self { pool: PoolSettings::with_workers(workers), ..Self::default() }
    }

    /// Whether crashes can be written to the history and read back, where one is wanted; makes the file if there is none. An
    /// executor asks the same, tells it where it fails, and goes on without.
    pub fn check_history(&self) -> io::Result<()> {
        let is_kept = self.enabled && self.health.is_some();
        let path = self.history.as_ref().filter(|_| is_kept);
        path.map_or(Ok(()), |path| ledger::open(path).map(drop))
    }
}

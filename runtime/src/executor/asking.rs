//! What an executor says when it is asked, and what is set by hand.

use std::time::Instant;

use crate::order::Order;
use crate::policy::breaker::Mode;
use crate::policy::health::{CrashRecord, Filter, Level, Stats, Status};
use crate::policy::quarantine::{Culprit, Quarantined};
use crate::pool::PoolStatus;
use crate::telemetry::Happening;

use super::{Executor, ExecutorSettings, culprit};

impl Executor {
    /// How everything is: workers, devices, patterns. `None` if health was left out.
    pub fn health(&self) -> Option<Status> {
        self.desk.with_health(|health| health.status(Instant::now()))
    }

    /// The crashes that fit, newest first.
    pub fn crashes(&self, filter: &Filter, most: usize) -> Vec<CrashRecord> {
        let history = self.desk.with_health(|health| health.history(filter, most, Instant::now()));
        history.unwrap_or_default()
    }

    /// The state of the breaker of a program's name, a device or a key of the callers' own ([`Order::breaker`]), and when
    /// time alone changes it next.
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

    /// What is counted for a worker that lives, by its number in [`pool`](Self::pool): attempts that ended there, and those of
    /// them that crashed. `None` if there is no such worker, or health was left out.
    pub fn worker(&self, worker: u64) -> Option<Stats> {
        self.desk.with_health(|health| health.worker(worker)).flatten()
    }

    /// What is counted for the program, over all its workers. `None` if nothing has ended yet, or health was left out.
    pub fn program(&self) -> Option<Stats> {
        let program = self.source.program.name();
        self.desk.with_health(|health| health.program(program)).flatten()
    }

    /// What it was set to.
    pub fn settings(&self) -> &ExecutorSettings {
        &self.desk.settings
    }
}

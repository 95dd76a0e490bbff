//! The executor: breaker, quarantine, pool, retry and health together, over a wall that does what it is told.

mod awaiting;
mod breaking;
mod devices;
mod fleet;
mod hedging;
mod history;
mod levels;
mod stages;
mod trying;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtrap::policy::breaker::BreakerSettings;
use sandtrap::policy::retry::{BudgetSettings, RetrySettings};
use sandtrap::{
    Executor, ExecutorSettings, Happening, Order, Program, Report, Runtime, StopHandle, Task,
    Telemetry, Wall,
};
use sandtrap_tests::acted::Acted;

const LONG: Duration = Duration::from_secs(3_600);

/// Everything left out but the pool of two workers.
fn bare() -> ExecutorSettings {
    ExecutorSettings {
        deadline: None,
        breaker: None,
        quarantine: None,
        retry: None,
        health: None,
        ..ExecutorSettings::with_workers(2)
    }
}

/// Retries without delays.
fn quick() -> Option<RetrySettings> {
    let budget = BudgetSettings { most: 1_000, ..BudgetSettings::default() };
    Some(RetrySettings { first: Duration::ZERO, budget, ..RetrySettings::default() })
}

fn executor(wall: &Acted, settings: ExecutorSettings) -> Executor {
    let runtime = Runtime::with_walls(Arc::new(wall.clone()), Arc::new(wall.clone()));
    let program = Program::file("acted").within(Wall::Native);
    runtime.load(program).unwrap().executor(settings)
}

fn task(does: &str) -> Order {
    Order::new(Task::command([does])).idempotent()
}

fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Happening>>>);

impl Told {
    fn telemetry(&self) -> Telemetry {
        let told = Arc::clone(&self.0);
        Telemetry::to(move |happening| told.lock().unwrap().push(happening.clone()))
    }

    fn all(&self) -> Vec<Happening> {
        self.0.lock().unwrap().clone()
    }

    fn names(&self, of: &str) -> Vec<&'static str> {
        let told = self.0.lock().unwrap();
        told.iter().map(Happening::name).filter(|name| name.starts_with(of)).collect()
    }
}

fn telling(told: &Told, settings: ExecutorSettings) -> ExecutorSettings {
    let mut settings = settings;
    settings.pool.telemetry = told.telemetry();
    settings
}

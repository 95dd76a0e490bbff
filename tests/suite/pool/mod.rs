//! The pool, over a wall whose guests do what they are told: in microseconds, and the same each time.

mod deaths;
mod ends;
mod here;
mod kept;
mod order;
mod queue;
mod replaced;
mod together;
mod unread;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtrap::{
    Happening, Loaded, Order, Pool, PoolSettings, Program, Report, Runtime, Task, Telemetry, Value,
    Wall, WorkerState,
};
use sandtrap_tests::acted::Acted;

/// Longer than any of these tests takes: whoever waits for it hangs.
const LONG: Duration = Duration::from_secs(3_600);

fn load(wall: &Acted) -> Loaded {
    let runtime = Runtime::with_walls(Arc::new(wall.clone()), Arc::new(wall.clone()));
    runtime.load(Program::file("acted").within(Wall::Native)).unwrap()
}

fn pool(wall: &Acted, settings: PoolSettings) -> Pool {
    load(wall).pool(settings)
}

/// A pool of so many workers with fresh cells.
fn workers(wall: &Acted, workers: usize) -> Pool {
    pool(wall, PoolSettings { queue: 10_000, ..PoolSettings::with_workers(workers) })
}

fn task(does: &str) -> Order {
    Order::new(Task::command([does]))
}

fn named(does: &str, name: &str) -> Order {
    Order::new(Task::command([does, name]))
}

fn call(does: &str) -> Order {
    Order::new(Task::call(does, Vec::<Value>::new()))
}

fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

fn count(pool: &Pool, state: WorkerState) -> usize {
    pool.status().workers.iter().filter(|worker| worker.state == state).count()
}

/// Everything that was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Happening>>>);

impl Told {
    fn telemetry(&self) -> Telemetry {
        let told = Arc::clone(&self.0);
        Telemetry::to(move |happening| told.lock().unwrap().push(happening.clone()))
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(Happening::name).collect()
    }

    fn count(&self, name: &str) -> usize {
        self.names().iter().filter(|told| **told == name).count()
    }
}

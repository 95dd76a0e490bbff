//! What does one task cost that waits with a hundred others, or with a million? And what is kept of it meanwhile?
//!
//! The guests do nothing, so that what is timed is the pool: taking tasks on while its worker is held up, then running all
//! of them. `queue [--check]` fails where the cost depends on how many wait, or more is kept than may be.
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use sandtrap::{
    Attempt, ByteSize, Cell, Ear, Ending, Entry, Evidence, Guard, Image, Isolation, LoadError,
    OpenError, Order, Pool, PoolSettings, Program, Runtime, Source, StopHandle, Task, Value,
    Vitals, Wall,
};
use sandtrap_tests::soak::Counted;

/// How many wait at once. The second is what the others are compared with.
const DEPTHS: [usize; 4] = [100, 1_000, 10_000, 1_000_000];
const USUAL: usize = 1;

/// Tasks for one sample of a depth, at least.
const SAMPLE: usize = 50_000;

const ROUNDS: usize = 7;

/// What one task may cost at other depths, beside the usual one.
const GOAL: f64 = 1.1;

/// What may be kept of a task that waits, besides the task.
const MOST_KEPT: f64 = 64.0;

/// Guests that do nothing, and one that waits at a gate.
#[derive(Clone, Default)]
struct Prompt(Arc<(Mutex<bool>, Condvar)>);

impl Isolation for Prompt {
    fn load(&self, _: &Program) -> Result<Arc<dyn Image>, LoadError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Image for Prompt {
    fn open(&self) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(self.clone()))
    }
    fn guards(&self) -> Vec<Guard> {
        Vec::new()
    }
}

impl Cell for Prompt {
    fn run(&mut self, attempt: &Attempt<'_>, _: &StopHandle, _: &mut dyn Ear) -> Evidence {
        if matches!(attempt.entry, Entry::Call { function, .. } if function == "gate") {
            let mut is_open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            while !*is_open {
                is_open = self.0.1.wait(is_open).unwrap_or_else(PoisonError::into_inner);
            }
        }
        Evidence::of(Source::Status, Ending::Exited(0))
    }
    fn is_usable(&self) -> bool {
        false
    }
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }
}

impl Prompt {
    fn open_gate(&self, is_open: bool) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = is_open;
        self.0.1.notify_all();
    }
}

fn call(function: &str) -> Order {
    Order::new(Task::call(function, Vec::<Value>::new()))
}

fn orders(count: usize) -> Vec<Order> {
    let mut orders = Vec::with_capacity(count);
    orders.extend((0..count).map(|_| call("f")));
    orders
}

/// Seconds for each task: to take it on, and to run it, with so many waiting.
fn sample(pool: &Pool, wall: &Prompt, depth: usize) -> (f64, f64) {
    let rounds = SAMPLE.div_ceil(depth);
    let (mut taking, mut running) = (0.0, 0.0);
    for _ in 0..rounds {
        wall.open_gate(false);
        drop(pool.submit(call("gate")).expect("there is room"));
        let orders = orders(depth);
        let began = Instant::now();
        let mut last = None;
        for order in orders {
            last = Some(pool.submit(order).expect("there is room"));
        }
        taking += began.elapsed().as_secs_f64();
        let began = Instant::now();
        wall.open_gate(true);
        last.map(sandtrap::Ticket::wait);
        running += began.elapsed().as_secs_f64();
    }
    let tasks = (rounds * depth) as f64;
    (taking / tasks, running / tasks)
}

/// Bytes of this process for each task that waits, less those of the task itself.
fn kept(pool: &Pool, wall: &Prompt, depth: usize) -> f64 {
    wall.open_gate(false);
    drop(pool.submit(call("gate")).expect("there is room"));
    let orders = orders(depth);
    let before = Counted::now().resident_kib;
    for order in orders {
        drop(pool.submit(order).expect("there is room"));
    }
    let after = Counted::now().resident_kib;
    wall.open_gate(true);
    while pool.status().waiting > 0 {
        std::thread::yield_now();
    }
    (after as f64 - before as f64) * 1024.0 / depth as f64
}

fn main() -> ExitCode {
    let wall = Prompt::default();
    let runtime = Runtime::with_walls(Arc::new(wall.clone()), Arc::new(wall.clone()));
    let loaded = runtime.load(Program::file("prompt").within(Wall::Native)).expect("it loads all");
    let settings = PoolSettings {
        queue: usize::MAX,
        queue_bytes: ByteSize::mib(1 << 20),
        ..PoolSettings::with_workers(1)
    };
    let pool = loaded.pool(settings);
    let kept = kept(&pool, &wall, 1_000_000);
    println!(
        "queue/kept/1000000: {kept:.1} bytes for each task besides itself (at most {MOST_KEPT})"
    );
    let mut samples = DEPTHS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (depth, samples) in DEPTHS.iter().zip(&mut samples) {
            samples.push(sample(&pool, &wall, *depth));
        }
    }
    let least = samples.each_mut().map(|samples| {
        samples.sort_by(|one, other| (one.0 + one.1).total_cmp(&(other.0 + other.1)));
        (samples[0], samples[samples.len() / 2])
    });
    let usual = least[USUAL];
    let mut is_flat = true;
    for (depth, (least, median)) in DEPTHS.iter().zip(least) {
        let all = |(taking, running): (f64, f64)| taking + running;
        let ratio = all(least) / all(usual.0);
        let nanos = |seconds: f64| seconds * 1e9;
        println!(
            "queue/{depth}: least {:.0} ns ({:.0} to take it on, {:.0} to run it), median {:.0} ns, \
             {ratio:.2} of that at {} (goal {GOAL})",
            nanos(all(least)),
            nanos(least.0),
            nanos(least.1),
            nanos(all(median)),
            DEPTHS[USUAL],
        );
        is_flat &= ratio <= GOAL;
    }
    let is_checked = std::env::args().any(|word| word == "--check");
    let is_met = is_flat && kept <= MOST_KEPT;
    if is_checked && !is_met { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

//! What does one task cost that waits with a hundred others, or with a million? And what is kept of it meanwhile?
//!
//! The guests do nothing, so that what is timed is the pool: tasks are made and taken on while its worker is held up, then all
//! of them are run, up to the last one. That threads are woken, and find nothing of theirs in the
//! processor's memory then, is not the tasks' cost, and would be seen among a hundred of them: both threads spin while they wait for
//! each other, and some tasks go ahead of those that are timed. Each task is made when it is handed over: a million that were made before would have to be
//! fetched again, which is their caller's affair. What is kept is told by resident memory, so this is the first of the questions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sandtrap::{
    Attempt, ByteSize, Cell, Ear, Ending, Entry, Evidence, Guard, Image, Isolation, LoadError,
    OpenError, Order, Pool, PoolSettings, Program, Runtime, Source, StopHandle, Task, Ticket,
    Value, Vitals, Wall,
};
use sandtrap_benches::notebook::Sense;
use sandtrap_benches::{Figures, tell, tell_ratio, tell_value};
use sandtrap_tests::soak::Counted;

/// How many wait at once. The second is what the others are compared with.
const DEPTHS: [(usize, &str); 4] =
    [(100, "100"), (1_000, "1000"), (10_000, "10000"), (1_000_000, "1000000")];
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
struct Prompt(Arc<Gate>);

#[derive(Default)]
struct Gate {
    is_open: AtomicBool,
    /// Whether the worker stands before it.
    is_reached: AtomicBool,
    /// When it came to the first task that is timed, and when to the last.
    passed: Mutex<Option<Instant>>,
    done: Mutex<Option<Instant>>,
}

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
        match attempt.entry {
            Entry::Call { function, .. } if function == "gate" => {
                self.0.is_reached.store(true, Ordering::Release);
                spin_until(|| self.0.is_open.load(Ordering::Acquire));
            }
            Entry::Call { function, .. } if function == "first" => note(&self.0.passed),
            Entry::Call { function, .. } if function == "last" => note(&self.0.done),
            _ => {}
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
    /// Has the pool's worker stand before the gate.
    fn hold_up(&self, pool: &Pool) {
        self.0.is_open.store(false, Ordering::Relaxed);
        self.0.is_reached.store(false, Ordering::Relaxed);
        drop(pool.submit(call("gate")).expect("there is room"));
        spin_until(|| self.0.is_reached.load(Ordering::Acquire));
    }

    fn let_go(&self) {
        self.0.is_open.store(true, Ordering::Release);
    }

    /// How long its worker took from the first task to the last.
    fn took(&self) -> f64 {
        let of =
            |when: &Mutex<Option<Instant>>| *when.lock().unwrap_or_else(PoisonError::into_inner);
        let took = of(&self.0.done).zip(of(&self.0.passed)).map(|(done, passed)| done - passed);
        took.expect("both were there").as_secs_f64()
    }
}

fn note(when: &Mutex<Option<Instant>>) {
    *when.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Without sleeping, unless there are too few processors for both.
fn spin_until(is_so: impl Fn() -> bool) {
    let mut spins = 0_u32;
    while !is_so() {
        spins = spins.wrapping_add(1);
        match spins.is_multiple_of(10_000) {
            true => std::thread::yield_now(),
            false => std::hint::spin_loop(),
        }
    }
}

fn call(function: &str) -> Order {
    Order::new(Task::call(function, Vec::<Value>::new()))
}

/// Those that go ahead.
const AHEAD: usize = 32;

fn submit(pool: &Pool, function: &str) -> Ticket {
    pool.submit(call(function)).expect("there is room")
}

/// Seconds for each task, to make it, to take it on and to run it, with so many waiting.
fn sample(pool: &Pool, wall: &Prompt, depth: usize) -> f64 {
    let rounds = SAMPLE.div_ceil(depth);
    let mut took = 0.0;
    for _ in 0..rounds {
        wall.hold_up(pool);
        (0..AHEAD).for_each(|_| drop(submit(pool, "ahead")));
        drop(submit(pool, "first"));
        let began = Instant::now();
        (1..depth).for_each(|_| drop(submit(pool, "f")));
        let last = submit(pool, "last");
        took += began.elapsed().as_secs_f64();
        wall.let_go();
        last.wait();
        took += wall.took();
    }
    took / (rounds * depth) as f64
}

/// Bytes of this process for each task that waits, less those of the task itself as it was handed over: of that it keeps
/// what most tasks don't have only for those that do, so there may be less than nothing.
fn kept(pool: &Pool, wall: &Prompt, depth: usize) -> f64 {
    wall.hold_up(pool);
    let orders: Vec<Order> = (0..depth).map(|_| call("f")).collect();
    let before = Counted::now().resident_kib;
    for order in orders {
        drop(pool.submit(order).expect("there is room"));
    }
    let after = Counted::now().resident_kib;
    wall.let_go();
    while pool.status().waiting > 0 {
        std::thread::yield_now();
    }
    (after as f64 - before as f64) * 1024.0 / depth as f64
}

pub(crate) fn ask() {
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
    tell_value("queue/bytes", "bytes besides the task", kept, Sense::AtMost, MOST_KEPT);
    let mut samples = DEPTHS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((depth, _), samples) in DEPTHS.iter().zip(&mut samples) {
            samples.push(sample(&pool, &wall, *depth));
        }
    }
    let figures: Vec<Figures> =
        DEPTHS.iter().zip(samples).map(|((_, name), samples)| Figures::of(name, samples)).collect();
    for figures in &figures {
        tell("queue", figures);
    }
    for (at, of) in figures.iter().enumerate().filter(|(at, _)| *at != USUAL) {
        tell_ratio(&format!("queue/{}", DEPTHS[at].1), of, &figures[USUAL], GOAL);
    }
}

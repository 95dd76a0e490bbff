//! What does a call of 64 bytes cost in a process that is kept, beside two processes that play ping-pong over pipes, and
//! beside two threads that spin on shared memory? In a process that stands ready for one call? After a crash?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sandtrap::{Loaded, Order, Payload, Pool, PoolSettings, Program, Reuse, Runtime, Task, Wall};
use sandtrap_benches::{Case, Figures, in_turns, tell_ratio};
use sandtrap_tests::guests;

const BYTES: usize = 64;

/// Samples of what has to be prepared each time.
const SAMPLES: usize = 200;

/// A crash, and the next task ends well: at most so long after, at the median.
const NEXT: Duration = Duration::from_micros(300);

fn main() {
    if std::env::args().nth(1).as_deref() == Some("pong") {
        return pong();
    }
    let program = Program::file(guests::native("stays")).within(Wall::Native);
    let loaded = Runtime::new().expect("a runtime").load(program).expect("the guest is built");
    warm(&loaded);
    ready(&loaded);
    after_a_crash(&loaded);
}

fn echo() -> Task {
    Task::invoke_with("echo", Payload::raw(vec![7; BYTES]))
}

fn warm(loaded: &Loaded) {
    let mut partner = Partner::start();
    let (ball, stop) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut kept = loaded.keep(Reuse::default()).expect("it starts");
    let settings = PoolSettings { keep: Some(Reuse::default()), ..PoolSettings::with_workers(1) };
    let pool = loaded.pool(settings);
    let task = echo();
    let [pipes, warm, pooled] = in_turns(
        "warm_call/64",
        [
            Case::new("pipe-ping-pong", || partner.ping()),
            Case::new("kept", || assert!(kept.run(&task).verdict.is_completed())),
            Case::new("kept-in-a-pool", || {
                assert!(pool.run(Order::new(task.clone())).verdict.is_completed());
            }),
        ],
    );
    tell_ratio("warm native call, parked", &warm, &pipes, 1.2);
    println!("through a pool: {:.2} pipe ping-pongs", pooled.ratio_to(&pipes));
    let [spun] = std::thread::scope(|scope| {
        scope.spawn(|| {
            while stop.load(Ordering::Relaxed) == 0 {
                let _ = ball.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed);
                std::hint::spin_loop();
            }
        });
        let round = || {
            ball.store(1, Ordering::Release);
            while ball.load(Ordering::Acquire) == 1 {
                std::hint::spin_loop();
            }
        };
        let figures = in_turns("warm_call/64", [Case::new("spin-ping-pong", round)]);
        stop.store(1, Ordering::Relaxed);
        figures
    });
    tell_ratio("warm native call, hot", &warm, &spun, 2.0);
}

/// A call in a process that nobody has used or will use: started before it is timed.
fn ready(loaded: &Loaded) {
    let pool = loaded.pool(PoolSettings { spares: 1, ..PoolSettings::with_workers(1) });
    let mut partner = Partner::start();
    let mut act = |name, is_ready: bool| {
        figures(name, || {
            if is_ready {
                wait_for(&pool, 1);
                time(|| assert!(pool.run(Order::new(echo())).verdict.is_completed()))
            } else {
                time(|| partner.ping())
            }
        })
    };
    let (floor, spare) = (act("pipe-ping-pong", false), act("spare", true));
    tell_ratio("call in a spare", &spare, &floor, 1.5);
    let fresh = figures("fresh", || time(|| assert!(loaded.run(&echo()).verdict.is_completed())));
    println!("a spare costs {:.3} of a fresh process", spare.median / fresh.median);
}

/// One worker; its guest dies, and another one answers.
fn after_a_crash(loaded: &Loaded) {
    for (name, keep) in [("kept", Some(Reuse::default())), ("fresh", None)] {
        let settings = PoolSettings { keep, spares: 2, ..PoolSettings::with_workers(1) };
        let pool = loaded.pool(settings);
        let aborts = Task::invoke("aborts", &()).expect("nothing is written");
        let next = figures(name, || {
            wait_for(&pool, 2);
            pool.reset();
            assert!(!pool.run(Order::new(aborts.clone())).verdict.is_completed());
            time(|| assert!(pool.run(Order::new(echo())).verdict.is_completed()))
        });
        let word = if next.median <= NEXT.as_secs_f64() { "met" } else { "missed" };
        println!("crash to next success, {name}: goal {NEXT:?} at the median, {word}");
    }
}

fn wait_for(pool: &Pool, spares: usize) {
    while pool.status().spares < spares {
        std::thread::yield_now();
    }
    // What has just been started has to load yet; in life it has time for it.
    std::thread::sleep(Duration::from_millis(5));
}

fn time(act: impl FnOnce()) -> f64 {
    let began = Instant::now();
    act();
    began.elapsed().as_secs_f64()
}

fn figures(name: &'static str, mut sample: impl FnMut() -> f64) -> Figures {
    let mut samples: Vec<f64> = (0..SAMPLES).map(|_| sample()).collect();
    samples.sort_by(f64::total_cmp);
    let figures = Figures { name, least: samples[0], median: samples[SAMPLES / 2] };
    println!(
        "{name:<24} least {:.1} us  median {:.1} us",
        figures.least * 1e6,
        figures.median * 1e6
    );
    figures
}

/// This program once more, which sends back what it gets.
struct Partner(Child);

impl Partner {
    fn start() -> Self {
        let own = std::env::current_exe().expect("this program has a file");
        let mut command = Command::new(own);
        command.arg("pong").stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().expect("it starts"))
    }

    fn ping(&mut self) {
        let mut bytes = [7; BYTES];
        let (Some(to), Some(from)) = (&mut self.0.stdin, &mut self.0.stdout) else { return };
        to.write_all(&bytes).expect("it listens");
        from.read_exact(&mut bytes).expect("it answers");
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn pong() {
    let mut bytes = [0; BYTES];
    // Without anything between: what is measured are the pipes.
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    while from.read_exact(&mut bytes).is_ok() && to.write_all(&bytes).is_ok() {
        if to.flush().is_err() {
            return;
        }
    }
}

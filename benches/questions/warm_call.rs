//! What does a call of 64 bytes cost in a process that is kept, beside two processes that play ping-pong over pipes, and
//! beside two threads that spin on shared memory? In a process that stands ready for one call? After a crash?
//!
//! Both ends of a kept process wait for the channel, and are woken for each message: so a hot call is the same as a parked one.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sandtrap::{
    Kept, Loaded, Order, Payload, Pool, PoolSettings, Program, Reuse, Runtime, Task, Wall,
};
use sandtrap_benches::notebook::Sense;
use sandtrap_benches::{
    Case, Figures, in_turns, is_quick, tell, tell_beside, tell_ratio, tell_value,
};
use sandtrap_tests::guests;

const BYTES: usize = 64;

/// By this word this program plays the other end.
pub(crate) const PONG: &str = "pong";

/// A crash, and the next task ends well: at most so many microseconds after, at the median.
const NEXT: f64 = 300.0;

pub(crate) fn ask() {
    let program = Program::file(guests::native("stays")).within(Wall::Native);
    let loaded = Runtime::new().expect("a runtime").load(program).expect("the guest is built");
    parked(&loaded);
    let warm = hot(&loaded);
    spare(&loaded, &warm);
    after_a_crash(&loaded);
}

fn echo() -> Task {
    Task::invoke_with("echo", Payload::raw(vec![7; BYTES]))
}

fn keep(loaded: &Loaded) -> Kept {
    loaded.keep(Reuse { max_tasks: u64::MAX, ..Reuse::default() }).expect("it starts")
}

fn settings(keeps: bool, spares: usize) -> PoolSettings {
    let reuse = Reuse { max_tasks: u64::MAX, ..Reuse::default() };
    PoolSettings { keep: keeps.then_some(reuse), spares, ..PoolSettings::with_workers(1) }
}

/// Both ends wait for each message.
fn parked(loaded: &Loaded) {
    let (mut partner, mut kept, task) = (Partner::start(), keep(loaded), echo());
    let pool = loaded.pool(settings(true, 0));
    let [pipes, warm, pooled] = in_turns(
        "warm_call/native/parked",
        [
            Case::new("pipe-ping-pong", || partner.ping()),
            Case::new("kept", || assert!(kept.run(&task).verdict.is_completed())),
            Case::new("kept-in-a-pool", || {
                assert!(pool.run(Order::new(task.clone())).verdict.is_completed());
            }),
        ],
    );
    tell_ratio("warm_call/native/parked", &warm, &pipes, 1.2);
    tell_beside("warm_call/native/pool", &pooled, &pipes);
}

/// Beside two that watch the same memory. Gives what such a call costs.
fn hot(loaded: &Loaded) -> Figures {
    let (mut kept, task) = (keep(loaded), echo());
    let (ball, stop) = (AtomicU32::new(0), AtomicU32::new(0));
    // One after the other: there may be no more than two processors, and each of them takes both.
    let [warm] = in_turns(
        "warm_call/native/hot",
        [Case::new("kept", || assert!(kept.run(&task).verdict.is_completed()))],
    );
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
        let figures = in_turns("warm_call/native/hot", [Case::new("spin-ping-pong", round)]);
        stop.store(1, Ordering::Relaxed);
        figures
    });
    tell_ratio("warm_call/native/hot", &warm, &spun, 2.0);
    warm
}

/// A call in a process that nobody has used or will use: started before it is timed.
fn spare(loaded: &Loaded, warm: &Figures) {
    let pool = loaded.pool(settings(false, 1));
    let mut partner = Partner::start();
    let floor = sampled("warm_call/spare", "pipe-ping-pong", || time(|| partner.ping()));
    let spare = sampled("warm_call/spare", "spare", || {
        wait_for(&pool, 1);
        time(|| assert!(pool.run(Order::new(echo())).verdict.is_completed()))
    });
    let fresh = sampled("warm_call/spare", "fresh", || {
        time(|| assert!(loaded.run(&echo()).verdict.is_completed()))
    });
    tell_ratio("warm_call/spare", &spare, &floor, 1.5);
    tell_beside("warm_call/spare/fresh", &spare, &fresh);
    tell_beside("warm_call/spare/warm", &spare, warm);
}

/// One worker; its guest dies, and another one answers.
fn after_a_crash(loaded: &Loaded) {
    let pool = loaded.pool(settings(false, 2));
    let fresh = next_of("fresh", &pool);
    let pool = loaded.pool(settings(true, 2));
    let kept = next_of("kept", &pool);
    let [warm] = in_turns(
        "crash_to_next/spare",
        [Case::new("warm", || assert!(pool.run(Order::new(echo())).verdict.is_completed()))],
    );
    let micros = fresh.median * 1e6;
    tell_value("crash_to_next/spare", "us at the median", micros, Sense::AtMost, NEXT);
    tell_ratio("crash_to_next/spare/hot", &kept, &warm, 1.5);
}

fn next_of(name: &'static str, pool: &Pool) -> Figures {
    let aborts = Task::invoke("aborts", &()).expect("nothing is written");
    sampled("crash_to_next/spare", name, || {
        wait_for(pool, 2);
        pool.reset();
        assert!(!pool.run(Order::new(aborts.clone())).verdict.is_completed());
        time(|| assert!(pool.run(Order::new(echo())).verdict.is_completed()))
    })
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

/// Of what has to be prepared each time.
fn sampled(question: &str, name: &'static str, mut sample: impl FnMut() -> f64) -> Figures {
    let count = if is_quick() { 50 } else { 200 };
    let figures = Figures::of(name, (0..count).map(|_| sample()).collect());
    tell(question, &figures);
    figures
}

/// This program once more, which sends back what it gets.
struct Partner(Child);

impl Partner {
    fn start() -> Self {
        let own = std::env::current_exe().expect("this program has a file");
        let mut command = Command::new(own);
        command.arg(PONG).stdin(Stdio::piped()).stdout(Stdio::piped());
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

/// The other end, until its input ends.
pub(crate) fn pong() {
    let mut bytes = [0; BYTES];
    // Without anything between: what is measured are the pipes.
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    while from.read_exact(&mut bytes).is_ok() && to.write_all(&bytes).is_ok() {
        if to.flush().is_err() {
            return;
        }
    }
}

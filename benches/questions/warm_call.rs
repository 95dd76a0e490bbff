//! What does a call of 64 bytes cost in a process that is kept, beside two processes that play ping-pong over pipes, and
//! beside two threads that throw as much to each other in memory, and spin? In a process that stands ready for one call? After a crash?
//!
//! A hot call finds its guest watching, on another processor. In a parked one both ends have one processor
//! for the two of them: so has the ping-pong over pipes. What a caller gets is a value; a task with its report is told beside.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sandtrap::{
    Kept, Loaded, Order, Payload, Pool, PoolSettings, Program, Reuse, Runtime, Task, Wall,
};
use sandtrap_benches::notebook::{Sense, not_measured};
use sandtrap_benches::{
    Case, Figures, in_turns, is_quick, tell, tell_beside, tell_ratio, tell_value,
};
use sandtrap_tests::guests;

use crate::pinned::{NO_TASKSET, Pinned};

const BYTES: usize = 64;

/// So many bytes.
const NUMBERS: [f64; 8] = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5];

/// Memory that two processors watch is passed on in a fraction of this. Who is slower than that waits for the other's turn to
/// end, and is no floor.
const ON_ONE_PROCESSOR: f64 = 1e-6;

/// So often a partner looks for the ball before it sleeps: a few hundred microseconds.
const LOOKS: u32 = 20_000;

/// By this word this program plays the other end.
pub(crate) const PONG: &str = "pong";

/// So many stand ready before the first of them is called: those behind it find caller and processors awake, as the ends of a
/// ping-pong find each other.
const READY: usize = 8;

/// A crash, and the next task ends well: at most so many microseconds after, at the median.
const NEXT: f64 = 300.0;

pub(crate) fn ask() {
    parked();
    let loaded = load();
    let warm = hot(&loaded);
    spare(&loaded, &warm);
    after_a_crash(&loaded);
}

fn load() -> Loaded {
    let program = Program::file(guests::native("stays")).within(Wall::Native);
    Runtime::new().expect("a runtime").load(program).expect("the guest is built")
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

/// Sends numbers there and gets them back: 64 bytes each way.
fn turn(kept: &mut Kept) {
    let back: [f64; 8] = kept.call("numbers", &NUMBERS).expect("it answers");
    assert!(back == NUMBERS);
}

/// Both ends wait for each message, on one processor.
fn parked() {
    let Some(_here) = Pinned::here() else {
        return not_measured("warm_call/native/parked", NO_TASKSET);
    };
    let loaded = load();
    let (mut partner, mut kept, mut reported) = (Partner::start(), keep(&loaded), keep(&loaded));
    let (task, pool) = (echo(), loaded.pool(settings(true, 0)));
    let [pipes, warm, run, called, pooled] = in_turns(
        "warm_call/native/parked",
        [
            Case::new("pipe-ping-pong", || partner.ping()),
            Case::new("kept", || turn(&mut kept)),
            Case::new("kept-with-report", || {
                assert!(reported.run(&task).verdict.is_completed());
            }),
            Case::new("kept-in-a-pool", || {
                let back: [f64; 8] = pool.call("numbers", &NUMBERS).expect("it answers");
                assert!(back == NUMBERS);
            }),
            Case::new("kept-in-a-pool-with-report", || {
                assert!(pool.run(Order::new(task.clone())).verdict.is_completed());
            }),
        ],
    );
    tell_ratio("warm_call/native/parked", &warm, &pipes, 1.2);
    tell_beside("warm_call/native/parked/report", &run, &pipes);
    tell_beside("warm_call/native/pool", &called, &pipes);
    tell_beside("warm_call/native/pool/report", &pooled, &pipes);
}

/// Beside two that watch the same memory. Gives what a task costs there, with its report.
fn hot(loaded: &Loaded) -> Figures {
    let (mut kept, mut reported, task) = (keep(loaded), keep(loaded), echo());
    let (ball, mut throws) = (Ball::default(), 0_u32);
    let [spun, warm, run] = std::thread::scope(|scope| {
        let partner = scope.spawn(|| ball.is_returned_until_it_is_over());
        let figures = in_turns(
            "warm_call/native/hot",
            [
                Case::new("spin-ping-pong", || {
                    throws = throws.wrapping_add(1);
                    ball.ping(throws, partner.thread());
                }),
                Case::new("kept", || turn(&mut kept)),
                Case::new("kept-with-report", || {
                    assert!(reported.run(&task).verdict.is_completed());
                }),
            ],
        );
        ball.rest.is_over.store(true, Ordering::SeqCst);
        partner.thread().unpark();
        figures
    });
    if spun.least > ON_ONE_PROCESSOR {
        let why = "this machine is so busy that two threads which watch the same memory have one processor";
        not_measured("warm_call/native/hot", why);
    } else {
        tell_ratio("warm_call/native/hot", &warm, &spun, 2.0);
        tell_beside("warm_call/native/hot/report", &run, &spun);
    }
    run
}

/// What two threads throw to each other in memory: as many bytes as a call has, there and back. Whoever waits for it for long
/// sleeps: there may be no more than two processors, and the other cases have their turns, too.
#[derive(Default)]
struct Ball {
    there: Way,
    back: Way,
    rest: Rest,
}

/// One direction: the bytes, and how often some were thrown.
#[derive(Default)]
#[repr(align(128))]
struct Way {
    turn: AtomicU32,
    words: [AtomicU64; BYTES / 8],
}

#[derive(Default)]
#[repr(align(128))]
struct Rest {
    sleeps: AtomicBool,
    is_over: AtomicBool,
}

impl Way {
    fn throw(&self, turn: u32, words: &[u64; BYTES / 8]) {
        self.words
            .iter()
            .zip(words)
            .for_each(|(place, word)| place.store(*word, Ordering::Relaxed));
        self.turn.store(turn, Ordering::SeqCst);
    }

    fn is_there(&self, turn: u32) -> bool {
        self.turn.load(Ordering::Acquire) == turn
    }

    fn take(&self) -> [u64; BYTES / 8] {
        std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed))
    }
}

impl Ball {
    fn ping(&self, turn: u32, partner: &Thread) {
        let words = NUMBERS.map(f64::to_bits);
        self.there.throw(turn, &words);
        if self.rest.sleeps.load(Ordering::SeqCst) {
            partner.unpark();
        }
        while !self.back.is_there(turn) {
            std::hint::spin_loop();
        }
        assert!(self.back.take() == words);
    }

    fn is_returned_until_it_is_over(&self) {
        let Rest { sleeps, is_over } = &self.rest;
        let (mut looks, mut turn) = (0, 1);
        while !is_over.load(Ordering::SeqCst) {
            if self.there.is_there(turn) {
                self.back.throw(turn, &self.there.take());
                (looks, turn) = (0, turn.wrapping_add(1));
            } else if looks < LOOKS {
                std::hint::spin_loop();
                looks += 1;
            } else {
                sleeps.store(true, Ordering::SeqCst);
                if !self.there.is_there(turn) && !is_over.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                sleeps.store(false, Ordering::SeqCst);
                looks = 0;
            }
        }
    }
}

/// A call in a process that nobody has used or will use: started before it is timed.
fn spare(loaded: &Loaded, warm: &Figures) {
    let pool = loaded.pool(settings(false, READY));
    let Some(floor) = between_processors() else {
        return not_measured("warm_call/spare", "there is one processor");
    };
    let mut ready = 0;
    let spare = sampled("warm_call/spare", "spare", || {
        if ready == 0 {
            wait_for(&pool, READY);
            ready = READY;
        }
        ready -= 1;
        time(|| runs_well(&pool))
    });
    let fresh = sampled("warm_call/spare", "fresh", || {
        time(|| assert!(loaded.run(&echo()).verdict.is_completed()))
    });
    tell_ratio("warm_call/spare", &spare, &floor, 1.5);
    tell_beside("warm_call/spare/fresh", &spare, &fresh);
    tell_beside("warm_call/spare/warm", &spare, warm);
}

/// A ping-pong over pipes whose ends have a processor each, as a caller and a process that waits for him usually do. Both are kept
/// there, for this thread: the kernel would bring them together now and then.
fn between_processors() -> Option<Figures> {
    let here = Pid::from_raw(0);
    let all = sched_getaffinity(here).ok()?;
    let mut each = (0..CpuSet::count()).filter(|at| all.is_set(*at).unwrap_or(false));
    let [first, second] = [each.next()?, each.next()?].map(|at| {
        let mut one = CpuSet::new();
        one.set(at).expect("it is one of them");
        one
    });
    let mut partner = Partner::start();
    let there = Pid::from_raw(partner.0.id().cast_signed());
    sched_setaffinity(there, &second).and_then(|()| sched_setaffinity(here, &first)).ok()?;
    let figures = sampled("warm_call/spare", "pipe-ping-pong", || time(|| partner.ping()));
    sched_setaffinity(here, &all).expect("it was there before");
    Some(figures)
}

/// One worker; its guest dies, and another one answers, which has been waiting for a while. Beside it are held, in turns, calls of
/// that one itself after it has waited as long once more: both sleep. Beside one that has just been called it is told, too.
fn after_a_crash(loaded: &Loaded) {
    let pool = loaded.pool(settings(false, 2));
    let fresh = sampled("crash_to_next/spare", "fresh", || next_of(&pool));
    let pool = loaded.pool(settings(true, 2));
    let (mut kept, mut rested) = (Vec::new(), Vec::new());
    for _ in 0..samples() {
        kept.push(next_of(&pool));
        wait_for(&pool, 2);
        rested.push(time(|| runs_well(&pool)));
    }
    let [kept, rested] = [("kept", kept), ("rested", rested)].map(|(name, samples)| {
        let figures = Figures::of(name, samples);
        tell("crash_to_next/spare", &figures);
        figures
    });
    let [warm] = in_turns("crash_to_next/spare", [Case::new("warm", || runs_well(&pool))]);
    let micros = fresh.median * 1e6;
    tell_value("crash_to_next/spare", "us at the median", micros, Sense::AtMost, NEXT);
    tell_ratio("crash_to_next/spare/hot", &kept, &rested, 1.5);
    tell_beside("crash_to_next/spare/hot/called-just-before", &kept, &warm);
}

/// What the next call takes after a crash.
fn next_of(pool: &Pool) -> f64 {
    let aborts = Task::invoke("aborts", &()).expect("nothing is written");
    wait_for(pool, 2);
    pool.reset();
    assert!(!pool.run(Order::new(aborts)).verdict.is_completed());
    time(|| runs_well(pool))
}

fn runs_well(pool: &Pool) {
    assert!(pool.run(Order::new(echo())).verdict.is_completed());
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

/// Of what has to be prepared each time, or sleeps before it. Without the quickest tenth: now and then a processor is met that has not
/// gone to sleep yet, which makes six times the difference, and the least would be that luck alone.
fn sampled(question: &str, name: &'static str, mut sample: impl FnMut() -> f64) -> Figures {
    let mut all: Vec<f64> = (0..samples()).map(|_| sample()).collect();
    all.sort_by(f64::total_cmp);
    let figures = Figures::of(name, all.split_off(samples() / 10));
    tell(question, &figures);
    figures
}

fn samples() -> usize {
    if is_quick() { 50 } else { 200 }
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

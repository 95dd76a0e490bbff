//! Processes that stand ready for a call: they have greeted their host before it, are answered when their answer is whole,
//! and leave nothing behind.

use std::fs;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use sandtrap::policy::restart::RestartSettings;
use sandtrap::{
    ByteSize, Happening, Label, Limits, Loaded, Order, Pool, PoolSettings, Program, Report, Reuse,
    Runtime, Start, Task, Telemetry,
};
use sandtrap_tests::guests;
use sandtrap_tests::soak::Counted;

use super::kept_lane::{has_lanes, reads};
use super::pool_processes::{load, next, one_worker, processes, wait_for};

fn invoke(function: &str) -> Order {
    Order::new(Task::invoke(function, &()).unwrap())
}

fn completes(pool: &Pool, order: Order) -> Report {
    let report = pool.run(order);
    assert_eq!(report.verdict.label(), Label::Completed, "{}", report.verdict);
    report
}

/// A pool's spares, and why some could not be made.
fn told(loaded: &Loaded, spares: usize) -> (Pool, Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let telemetry = Telemetry::to(move |happening| {
        if let Happening::WorkerFailedToStart { why } = happening {
            // The test is over if nobody hears it.
            let _ = tell.send(why.clone());
        }
    });
    (loaded.pool(PoolSettings { telemetry, ..one_worker(None, spares) }), told)
}

/// Waits until each of them sleeps, and says how often it had read something by then.
fn asleep(pids: impl IntoIterator<Item = u32>) -> Option<Vec<(u32, u64)>> {
    let sleeps =
        |pid| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|it| it.contains(") S "));
    let counted = |pid| {
        while !sleeps(pid) {
            std::thread::yield_now();
        }
        Some((pid, reads(pid)?))
    };
    pids.into_iter().map(counted).collect()
}

#[test]
fn the_first_call_of_a_guest_that_stands_ready_passes_by_its_channel() {
    let pool = load("stays").pool(one_worker(Some(Reuse::default()), 1));
    let known = completes(&pool, next());
    // Whoever sleeps before it was greeted has a word to read still.
    let passes = || {
        wait_for(&pool, 1);
        let before = asleep(processes("stays"))?;
        assert!(!pool.run(invoke("aborts")).verdict.is_completed());
        pool.reset();
        let report = completes(&pool, next());
        assert_eq!(report.value::<u64>().unwrap(), 1);
        let pid = report.task.pid.unwrap();
        let (_, before) = before.into_iter().find(|(known, _)| *known == pid)?;
        Some(reads(pid)? == before)
    };
    if has_lanes(&known) {
        // Not everybody may ask that.
        while passes() == Some(false) {}
    }
}

#[test]
fn a_call_in_a_spare_has_its_own_usage_and_its_own_words() {
    let limits = Limits { output: ByteSize::bytes(1000), ..Limits::default() };
    for start in [Start::Spawn, Start::Fork] {
        let program = Program::file(guests::native("stays")).started_by(start);
        let loaded = Runtime::new().unwrap().load(program).unwrap();
        let pool = loaded.pool(one_worker(None, 2));
        wait_for(&pool, 2);
        let text = "x".repeat(300);
        let says = Task::invoke("says", &text).unwrap().limits(limits.clone());
        let report = completes(&pool, Order::new(says));
        assert_eq!((report.usage.stdout_bytes, report.usage.stderr_bytes), (300, 300));
        assert_eq!(
            (report.output.stdout_text(), report.output.stderr_text()),
            (text.clone(), text)
        );
        wait_for(&pool, 2);
        let report = completes(&pool, Order::new(Task::invoke("works", &50_u64).unwrap()));
        assert!(report.usage.cpu > Duration::ZERO && report.usage.cpu <= report.usage.wall * 2);
        wait_for(&pool, 2);
        let report =
            completes(&pool, Order::new(Task::invoke("touches", &(16_usize << 20)).unwrap()));
        assert!(report.usage.peak_memory >= 16 << 20, "{}", report.usage.peak_memory);
        assert!(
            report.facts.idempotent.contains(&"aborts_again".to_owned()),
            "it was heard before"
        );
    }
}

#[test]
fn limits_hold_for_a_call_in_a_spare() {
    let pool = load("stays").pool(one_worker(None, 1));
    let short = Duration::from_millis(200);
    for (function, limits, label) in [
        ("sleeps", Limits { wall: short, ..Limits::default() }, Label::StoppedWallTime),
        ("spins", Limits { cpu: short, ..Limits::default() }, Label::StoppedCpuTime),
        ("floods", Limits { output: ByteSize::kib(4), ..Limits::default() }, Label::StoppedOutput),
    ] {
        let limits = Limits { memory: ByteSize::mib(64), ..limits };
        wait_for(&pool, 1);
        let ready = processes("stays");
        let report = pool.run(Order::new(Task::invoke(function, &()).unwrap().limits(limits)));
        assert_eq!(report.verdict.label(), label, "{function}: {}", report.verdict);
        assert!(ready.contains(&report.task.pid.unwrap()), "{function}");
    }
}

#[test]
fn a_guest_that_is_silent_at_its_start_is_no_spare_and_serves_all_the_same() {
    let limits = Limits { wall: Duration::from_millis(300), ..Limits::default() };
    let program = Program::file(guests::native("speaks_raw")).limits(limits);
    let loaded = Runtime::new().unwrap().load(program).unwrap();
    let (pool, told) = told(&loaded, 1);
    let why = told.recv().unwrap();
    assert!(why.contains("it was not ready within its wall time"), "{why}");
    assert_eq!(pool.status().spares, 0);
    let (pool, told) = self::told(&load("hello"), 1);
    let why = told.recv().unwrap();
    assert!(why.contains("it exited with 0"), "{why}");
    completes(&pool, Order::new(Task::command(["x"; 0])));
}

#[test]
fn a_pool_that_ends_waits_for_nobody_who_is_silent() {
    // It would say nothing for two minutes.
    let (pool, told) = told(&load("speaks_raw"), 2);
    while processes("speaks_raw").len() < 2 {
        std::thread::yield_now();
    }
    drop(pool);
    assert_eq!(processes("speaks_raw").len(), 0);
    assert!(told.try_recv().is_err(), "that is no failure");
}

#[test]
fn nothing_is_left_of_spares_that_were_used_when_their_pool_is_drained() {
    let loaded = load("stays");
    let round = || {
        let pool = loaded.pool(PoolSettings { spares: 3, ..PoolSettings::with_workers(2) });
        for _ in 0..20 {
            wait_for(&pool, 1);
            completes(&pool, next());
        }
        let tickets: Vec<_> = (0..8).map(|_| pool.try_submit(next()).unwrap()).collect();
        let used: Vec<u32> = tickets.into_iter().map(|it| it.wait().task.pid.unwrap()).collect();
        pool.drain(Duration::from_secs(100));
        let left = processes("stays");
        assert!(used.iter().all(|pid| !left.contains(pid)), "{left:?} {used:?}");
        drop(pool);
        Counted::now()
    };
    let (first, second) = (round(), round());
    assert_eq!((second.children, second.threads), (0, first.threads));
    drop(loaded);
    assert_eq!((Counted::now().children, Counted::now().groups), (0, 0));
}

#[test]
fn spares_of_a_program_that_ends_at_its_start_are_tried_later_and_later() {
    let restart = RestartSettings {
        first: Duration::from_millis(1),
        most: Duration::from_millis(1),
        ..RestartSettings::default()
    };
    let (tell, told) = mpsc::channel();
    let telemetry = Telemetry::to(move |happening| {
        if let Happening::WorkerFailedToStart { why } = happening {
            let _ = tell.send(why.clone());
        }
    });
    let settings = PoolSettings { spares: 4, restart, telemetry, ..PoolSettings::with_workers(1) };
    let _pool = load("hello").pool(settings);
    for _ in 0..10 {
        assert!(told.recv().unwrap().contains("it exited with 0"));
    }
}

#[test]
fn a_guest_that_was_used_is_ended_while_its_worker_has_another_task() {
    let pool = load("stays").pool(one_worker(None, 1));
    wait_for(&pool, 1);
    let used = completes(&pool, next()).task.pid.unwrap();
    let ticket = pool.submit(invoke("sleeps")).unwrap();
    while processes("stays").contains(&used) {
        std::thread::yield_now();
    }
    assert!(!ticket.is_ready(), "that one sleeps for two minutes");
}

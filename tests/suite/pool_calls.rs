//! Calls of a pool of which nothing is wanted but their value: they cost no task as long as nobody wants to be told of them, and
//! are tasks like any other as soon as they take longer or come to another end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sandtrap::policy::restart::RestartSettings;
use sandtrap::policy::retry::RetrySettings;
use sandtrap::{
    CallError, ExecutorSettings, Happening, Label, Limits, Loaded, Order, Pool, PoolSettings,
    Program, Report, Reuse, Runtime, StopReason, Task, TaskId, Telemetry, Wall,
};
use sandtrap_tests::guests;

use super::pool_processes::{load, processes};

fn kept(workers: usize) -> PoolSettings {
    let (first, most) = (Duration::from_micros(1), Duration::from_micros(1));
    let restart = RestartSettings { first, most, deaths: u32::MAX, ..RestartSettings::default() };
    let keep = Some(Reuse { max_tasks: u64::MAX, ..Reuse::default() });
    PoolSettings { keep, restart, ..PoolSettings::with_workers(workers) }
}

fn next(pool: &Pool) -> u64 {
    pool.call("next", &()).unwrap()
}

/// What it ended with that has no value.
fn ended(called: Result<(), CallError>) -> Report {
    match called {
        Err(CallError::Ended(report)) => *report,
        other => panic!("{other:?}"),
    }
}

/// How many tasks there were so far, this one included.
fn tasks() -> u64 {
    TaskId::next().to_string().rsplit('-').next().unwrap().parse().unwrap()
}

#[test]
fn a_call_gives_its_value_is_counted_and_costs_no_task() {
    let pool = load("stays").pool(kept(1));
    let mut calls = 0;
    loop {
        let before = tasks();
        for _ in 0..1000 {
            calls += 1;
            assert_eq!(next(&pool), calls);
        }
        // The first one greets, and one that was kept from its processor for long is made a task: while the machine is busy,
        // most of them may be.
        if tasks() - before < 500 {
            break;
        }
    }
    let status = pool.status();
    assert_eq!((status.finished, status.workers[0].tasks), (calls, calls));
    assert_eq!((status.unread_bytes, status.waiting), (0, 0));
    // Whoever runs tasks between them has the same guest.
    let report = pool.run(Task::invoke("next", &()).unwrap());
    assert_eq!(report.value::<u64>().unwrap(), calls + 1);
    assert_eq!(next(&pool), calls + 2);
}

#[test]
fn b1_a_call_that_ends_otherwise_has_its_report_and_costs_nobody_else_anything() {
    let pool = load("stays").pool(kept(1));
    for (function, label) in [
        ("refuses", Label::FailedError),
        ("reads_wild", Label::CrashedMemoryFault),
        ("aborts", Label::CrashedAbort),
        ("panics", Label::FailedPanic),
    ] {
        let before = next(&pool);
        assert_eq!(next(&pool), before + 1);
        let report = ended(pool.call(function, &()));
        assert_eq!(report.verdict.label(), label, "{function}: {}", report.verdict);
        assert_eq!(report.task.function.as_deref(), Some(function));
        let goes_on = label == Label::FailedError;
        assert_eq!(next(&pool), if goes_on { before + 2 } else { 1 }, "{function}");
    }
    let unknown = ended(pool.call("nobody", &()));
    assert!(unknown.verdict.to_string().contains("nobody"), "{}", unknown.verdict);
    let text: Result<String, CallError> = pool.call("next", &());
    assert!(matches!(text, Err(CallError::Value(_))), "{text:?}");
}

#[test]
fn a_call_that_takes_longer_is_held_to_the_limits_of_its_program() {
    // The guest is started, and called, under it, too.
    let wall = Duration::from_secs(2);
    let limits = Limits { wall, ..Limits::default() };
    let program = Program::file(guests::native("stays")).limits(limits.clone());
    let loaded = Runtime::new().unwrap().load(program).unwrap();
    let pool = loaded.pool(kept(1));
    assert_eq!((next(&pool), next(&pool)), (1, 2));
    let report = ended(pool.call("spins", &()));
    assert_eq!(report.verdict.label(), Label::StoppedWallTime, "{}", report.verdict);
    assert_eq!(report.limits.output, limits.output, "as if nothing had been called before");
    assert!(report.usage.wall >= wall);
    assert_eq!(next(&pool), 1);
}

/// Has a call begin that does not end, and something done then. Gives its report.
fn while_it_sleeps(pool: &Pool, act: impl FnOnce()) -> Report {
    assert_eq!((next(pool), next(pool)), (1, 2));
    thread::scope(|scope| {
        let sleeps = scope.spawn(|| ended(pool.call("sleeps", &())));
        while pool.status().workers[0].task.is_none() {
            thread::yield_now();
        }
        act();
        sleeps.join().unwrap()
    })
}

#[test]
fn a_call_that_takes_longer_is_a_task_that_is_seen_drained_and_stopped() {
    for stops in [
        (|pool| pool.drain(Duration::from_millis(20))) as fn(&Pool) -> sandtrap::Drained,
        Pool::shut_down,
        Pool::shut_down_now,
    ] {
        let pool = load("stays").pool(kept(1));
        let mut drained = None;
        let report = while_it_sleeps(&pool, || drained = Some(stops(&pool)));
        assert_eq!(report.verdict.label(), Label::StoppedShutdown, "{}", report.verdict);
        assert_eq!(report.facts.stopped_by_us, Some(StopReason::Shutdown));
        assert_eq!(drained.unwrap().killed, 1);
        let refused = ended(pool.call("next", &()).map(|_: u64| ()));
        assert_eq!(refused.verdict.label(), Label::UnstartedRejected);
    }
    assert!(processes("stays").is_empty());
}

#[test]
fn calls_that_come_while_a_pool_is_drained_end_one_way_or_the_other() {
    for _ in 0..20 {
        let pool = load("stays").pool(kept(2));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        match pool.call::<_, u64>("next", &()) {
                            Ok(_) => {}
                            Err(CallError::Ended(report)) => {
                                let label = report.verdict.label();
                                let is_end = [Label::UnstartedRejected, Label::StoppedShutdown]
                                    .contains(&label);
                                assert!(is_end, "{}", report.verdict);
                                break;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            while pool.status().finished < 50 {
                thread::yield_now();
            }
            pool.shut_down();
            let running =
                pool.status().workers.iter().filter(|worker| worker.task.is_some()).count();
            assert_eq!(running, 0);
        });
    }
}

#[test]
fn whoever_wants_to_be_told_hears_of_every_call() {
    let (queued, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = [Arc::clone(&queued), Arc::clone(&finished)];
    let telemetry = Telemetry::to(move |happening| match happening {
        Happening::TaskQueued { .. } => _ = counts[0].fetch_add(1, Ordering::SeqCst),
        Happening::TaskFinished { .. } => _ = counts[1].fetch_add(1, Ordering::SeqCst),
        _ => {}
    });
    let pool = load("stays").pool(PoolSettings { telemetry, ..kept(1) });
    for number in 1..=100 {
        assert_eq!(next(&pool), number);
    }
    drop(pool);
    assert_eq!((queued.load(Ordering::SeqCst), finished.load(Ordering::SeqCst)), (100, 100));
}

#[test]
fn s70_a_guest_is_used_up_by_calls_as_by_tasks() {
    let keep = Some(Reuse { max_tasks: 3, ..Reuse::default() });
    let pool = load("stays").pool(PoolSettings { keep, ..kept(1) });
    let said: Vec<u64> = (0..7).map(|_| next(&pool)).collect();
    assert_eq!(said, [1, 2, 3, 1, 2, 3, 1]);
    assert_eq!(pool.status().workers[0].crashes, 0);
}

#[test]
fn p2_calls_of_many_callers_each_have_their_own_answer_while_guests_die() {
    let pool = load("stays").pool(kept(2));
    thread::scope(|scope| {
        for caller in 0..4_u64 {
            let pool = &pool;
            scope.spawn(move || {
                for call in 0..500_u64 {
                    match call % 50 {
                        7 => {
                            let report = ended(pool.call("aborts", &()));
                            assert_eq!(report.verdict.label(), Label::CrashedAbort);
                        }
                        11 => {
                            let order = Order::new(Task::invoke("echo", &vec![7_u8; 9]).unwrap());
                            assert_eq!(pool.run(order).value::<Vec<u8>>().unwrap(), [7; 9]);
                        }
                        _ => {
                            let mine = [caller as f64, call as f64, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0];
                            let back: [f64; 8] = pool.call("numbers", &mine).unwrap();
                            assert_eq!(back.map(f64::to_bits), mine.map(f64::to_bits));
                        }
                    }
                }
            });
        }
    });
    let status = pool.status();
    assert_eq!(status.finished, 4 * 500);
    assert_eq!(status.workers.iter().map(|worker| worker.crashes).sum::<u64>(), 4 * 10);
}

fn loaded(wall: Wall) -> Loaded {
    let guest = match wall {
        Wall::Native => guests::native("stays"),
        Wall::Wasm => guests::wasm("stays"),
    };
    Runtime::new().unwrap().load(Program::file(guest)).unwrap()
}

#[test]
fn a_pool_is_called_in_both_walls_whether_its_guests_are_kept_or_not() {
    for wall in [Wall::Native, Wall::Wasm] {
        for keep in [None, Some(Reuse::default())] {
            let pool = loaded(wall).pool(PoolSettings { keep, ..PoolSettings::with_workers(1) });
            let said = [next(&pool), next(&pool)];
            assert_eq!(said, if keep.is_some() { [1, 2] } else { [1, 1] }, "{wall:?}");
            let report = ended(pool.call("refuses", &()));
            assert_eq!(report.verdict.label(), Label::FailedError, "{wall:?}");
            let large = vec![7_u8; 1 << 20];
            assert_eq!(pool.call::<_, Vec<u8>>("echo", &large).unwrap(), large);
        }
    }
}

#[test]
fn an_executor_is_called_for_a_value_and_tries_again_where_that_may_be() {
    let retry = Some(RetrySettings { first: Duration::ZERO, ..RetrySettings::default() });
    let settings = ExecutorSettings { pool: kept(1), retry, ..ExecutorSettings::default() };
    let executor = load("stays").executor(settings);
    let said: u64 = executor.call("next", &()).unwrap();
    assert_eq!(said, 1);
    let again = ended(executor.call("aborts_again", &()));
    assert_eq!(again.attempts, 3, "its guest's author says that it may be");
    let once = ended(executor.call("aborts", &()));
    assert_eq!((once.verdict.label(), once.attempts), (Label::CrashedAbort, 1));
}

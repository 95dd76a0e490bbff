//! Who is replaced by whom, and who is not; and that a worker's end is told, whatever it was.

use std::thread;

use sandtrap::policy::restart::{Condition, OnExcess, RestartSettings};
use sandtrap::{ExecutorSettings, Rejection, Reuse, StopHandle, StopReason};

use super::kept::kept;
use super::*;

/// Without delays, until there are too many deaths: that is at the second one.
fn after_excess(on_excess: OnExcess) -> RestartSettings {
    let none = Duration::ZERO;
    RestartSettings { first: none, most: none, deaths: 1, on_excess, ..RestartSettings::default() }
}

/// Has a guest die of its task while two spares stand ready, on the caller's own thread or on the worker's.
fn die(pool: &Pool, here: bool) {
    while count(pool, WorkerState::Idle) < 1 || pool.status().spares < 2 {
        thread::yield_now();
    }
    let report = match here {
        true => pool.run(call("fault")),
        false => pool.submit(call("fault")).unwrap().wait(),
    };
    assert_eq!(label(&report), "crashed.memory-fault");
}

#[test]
fn s12_s46_a_pool_that_stops_has_no_use_for_its_spares_until_it_is_reset() {
    for here in [true, false] {
        let wall = Acted::new();
        let settings = PoolSettings { spares: 2, ..PoolSettings::default() };
        let restart = after_excess(OnExcess::Stop);
        let pool = kept(&wall, Reuse::default(), PoolSettings { restart, ..settings });
        for again in [false, true] {
            (0..2).for_each(|_| die(&pool, here));
            let opened = wall.opened();
            // Its worker has the time to do what it must not do.
            for _ in 0..100 {
                thread::yield_now();
                let refused = pool.try_submit(call("ok")).unwrap_err().why;
                assert_eq!(refused, Rejection::NoWorkers, "{here}, {again}");
            }
            let status = pool.status();
            assert_eq!((status.condition, status.spares), (Condition::Stopped, 2));
            assert_eq!((count(&pool, WorkerState::Crashed), wall.opened()), (1, opened));
            pool.reset();
            assert_eq!(label(&pool.run(call("ok"))), "completed");
        }
    }
}

#[test]
fn s12_where_restarts_are_rare_spares_are_taken_as_rarely() {
    for here in [true, false] {
        let wall = Acted::new();
        let settings = PoolSettings { spares: 2, ..PoolSettings::default() };
        let restart = after_excess(OnExcess::Slow(LONG));
        let pool = kept(&wall, Reuse::default(), PoolSettings { restart, ..settings });
        // The second death makes them rare, and its own restart is the first of the rare ones.
        (0..3).for_each(|_| die(&pool, here));
        assert_eq!(pool.status().condition, Condition::Degraded);
        let report = pool.run(call("ok").within(Duration::from_millis(5)));
        assert_eq!(label(&report), "unstarted.rejected", "{here}");
        assert_eq!(pool.status().spares, 2);
        pool.reset();
        assert_eq!(label(&pool.run(call("ok"))), "completed");
    }
}

#[test]
fn s5_s52_a_worker_that_ends_in_order_is_told_of_and_is_no_more() {
    for ends in ["leaves", "waits", "alone"] {
        let (wall, told) = (Acted::new(), Told::default());
        let settings = PoolSettings {
            keep: Some(Reuse::default()),
            telemetry: told.telemetry(),
            ..PoolSettings::with_workers(1)
        };
        let settings = ExecutorSettings { pool: settings, ..ExecutorSettings::default() };
        let executor = load(&wall).executor(settings);
        let stop = StopHandle::new();
        let (order, expected) = match ends {
            "alone" => (Order { alone: true, ..call("ok") }, "completed"),
            "waits" => (call("waits"), "stopped.cancelled"),
            _ => (call(ends), "completed"),
        };
        thread::scope(|scope| {
            let ended = scope.spawn(|| executor.run_with(order, &stop));
            wall.wait_for(1);
            if ends == "waits" {
                stop.stop(StopReason::Cancelled);
            }
            assert_eq!(label(&ended.join().unwrap()), expected);
        });
        // What is told is told in the order in which it happened.
        while executor.worker(2).is_none() {
            thread::yield_now();
        }
        assert_eq!(executor.worker(1), None, "{ends}");
        assert_eq!(executor.health().unwrap().workers, 1, "{ends}");
        let names = told.names();
        assert_eq!(told.count("worker.recycled"), 1, "{ends}: {names:?}");
        assert_eq!(told.count("worker.crashed"), 0, "{ends}: {names:?}");
    }
}

#[test]
fn times_beyond_all_clocks_are_as_good_as_none() {
    let (wall, never) = (Acted::new(), Duration::MAX);
    let restart = RestartSettings {
        first: never,
        most: never,
        deaths: 2,
        on_excess: OnExcess::Slow(never),
        window: never,
        ..RestartSettings::default()
    };
    let reuse = Reuse { max_age: never, ..Reuse::default() };
    let settings = PoolSettings { restart, patience: never, ..PoolSettings::default() };
    let pool = kept(&wall, reuse, PoolSettings { queue_time: Some(never), ..settings });
    for number in 1..=5 {
        assert_eq!(label(&pool.submit(call("fault")).unwrap().wait()), "crashed.memory-fault");
        if number > 1 {
            // It comes back in a hundred years.
            pool.reset();
        }
    }
    let waits = pool.submit(call("waits").within(never)).unwrap();
    wall.wait_for(6);
    waits.cancel();
    assert_eq!(label(&waits.wait()), "stopped.cancelled");
    let ended = pool.drain(never);
    assert_eq!((ended.finished, ended.killed), (0, 0));
}

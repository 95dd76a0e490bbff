//! Kept guests: restarts, spares, recycling, a task alone.

use std::time::Instant;

use sandtrap::policy::restart::{Condition, OnExcess, RestartSettings};
use sandtrap::{ByteSize, Rejection, Reuse};

use super::*;

fn kept(wall: &Acted, reuse: Reuse, settings: PoolSettings) -> Pool {
    pool(wall, PoolSettings { workers: 1, keep: Some(reuse), ..settings })
}

#[test]
fn one_guest_serves_task_after_task_and_one_that_left_is_replaced() {
    let wall = Acted::new();
    let pool = kept(&wall, Reuse::default(), PoolSettings::default());
    (0..10).for_each(|_| assert_eq!(label(&pool.run(call("ok"))), "completed"));
    assert_eq!(wall.opened(), 1);
    pool.run(call("leaves"));
    assert_eq!(label(&pool.run(call("ok"))), "completed");
    assert_eq!((wall.opened(), pool.status().workers[0].crashes), (2, 0), "it left in order");
}

#[test]
fn s8_s11_s57_a_guest_that_died_is_replaced_at_once_the_first_time() {
    let (wall, told) = (Acted::new(), Told::default());
    // The second time it would take an hour, if chance is not very kind.
    let restart = RestartSettings { first: LONG, most: LONG, ..RestartSettings::default() };
    let settings = PoolSettings { restart, telemetry: told.telemetry(), ..PoolSettings::default() };
    let pool = kept(&wall, Reuse::default(), settings);
    assert_eq!(label(&pool.run(call("fault"))), "crashed.memory-fault");
    assert_eq!(label(&pool.run(call("ok"))), "completed");
    let status = pool.status().workers.remove(0);
    assert_eq!((status.crashes, status.tasks, status.worker), (1, 2, 2));
    drop(pool);
    assert_eq!(told.count("worker.restarted"), 1);
}

#[test]
fn s11_further_restarts_wait_and_the_worker_is_seen_to_be_crashed() {
    let wall = Acted::new();
    let restart = RestartSettings { first: LONG, most: LONG, ..RestartSettings::default() };
    let pool = kept(&wall, Reuse::default(), PoolSettings { restart, ..PoolSettings::default() });
    pool.run(call("fault"));
    pool.run(call("fault"));
    while count(&pool, WorkerState::Crashed) == 0 {
        std::thread::yield_now();
    }
    // Nobody is there for it, and it is told so in time.
    let report = pool.run(call("ok").within(Duration::from_millis(5)));
    assert_eq!(label(&report), "unstarted.rejected");
    pool.reset();
    assert_eq!(label(&pool.run(call("ok"))), "completed", "a reset is the end of waiting, too");
}

#[test]
fn p2_with_a_spare_a_death_costs_no_waiting() {
    let wall = Acted::new();
    let restart = RestartSettings { first: LONG, most: LONG, ..RestartSettings::default() };
    let pool = kept(
        &wall,
        Reuse::default(),
        PoolSettings { restart, spares: 2, ..PoolSettings::default() },
    );
    for _ in 0..10 {
        while pool.status().spares < 2 {
            std::thread::yield_now();
        }
        assert_eq!(label(&pool.run(call("fault"))), "crashed.memory-fault");
    }
    assert_eq!(label(&pool.run(call("ok"))), "completed");
}

#[test]
fn s12_too_many_deaths_degrade_the_pool_and_it_says_so() {
    let wall = Acted::new();
    let restart = RestartSettings {
        first: Duration::ZERO,
        deaths: 2,
        on_excess: OnExcess::Slow(Duration::from_millis(1)),
        ..RestartSettings::default()
    };
    let pool = kept(&wall, Reuse::default(), PoolSettings { restart, ..PoolSettings::default() });
    (0..3).for_each(|_| _ = pool.run(call("fault")));
    assert_eq!(pool.status().condition, Condition::Degraded);
    assert_eq!(label(&pool.run(call("ok"))), "completed", "it goes on all the same");
}

#[test]
fn s12_s46_a_pool_that_stops_refuses_until_it_is_reset() {
    let wall = Acted::new();
    let restart = RestartSettings {
        deaths: 1,
        first: Duration::ZERO,
        on_excess: OnExcess::Stop,
        ..RestartSettings::default()
    };
    let pool = kept(&wall, Reuse::default(), PoolSettings { restart, ..PoolSettings::default() });
    pool.run(call("fault"));
    let waits = ["gate", "fault", "ok"].map(|does| pool.try_submit(call(does)).unwrap());
    wall.let_go();
    let labels = waits.map(|ticket| label(&ticket.wait()));
    assert_eq!(labels, ["completed", "crashed.memory-fault", "unstarted.rejected"]);
    assert_eq!(pool.try_submit(call("ok")).unwrap_err().why, Rejection::NoWorkers);
    assert_eq!(pool.status().condition, Condition::Stopped);
    pool.reset();
    assert_eq!(label(&pool.run(call("ok"))), "completed");
}

#[test]
fn s70_guests_are_recycled_by_tasks_by_what_they_hold_and_by_age_and_that_is_no_death() {
    let (hour, most) = (LONG, ByteSize::mib(1));
    let usual = Reuse { max_tasks: 1_000, max_age: hour, max_resident: most, ..Reuse::default() };
    let tasks = Reuse { max_tasks: 5, ..usual };
    let resident = Reuse { max_resident: ByteSize::bytes(499), ..usual };
    for (reuse, opened) in [(usual, 1), (tasks, 4), (resident, 4)] {
        let (wall, told) = (Acted::new(), Told::default());
        wall.grow_by(100);
        let pool = kept(
            &wall,
            reuse,
            PoolSettings { telemetry: told.telemetry(), ..PoolSettings::default() },
        );
        (0..16).for_each(|_| assert_eq!(label(&pool.run(call("ok"))), "completed"));
        assert_eq!(wall.opened(), opened, "{reuse:?}");
        assert_eq!(pool.status().workers[0].crashes, 0);
        drop(pool);
        assert_eq!(told.count("worker.recycled") as u64, opened - 1);
        assert_eq!(told.count("worker.crashed"), 0);
    }
    // A guest that has nothing to do gets old, too.
    let wall = Acted::new();
    let pool =
        kept(&wall, Reuse { max_age: Duration::from_millis(20), ..usual }, PoolSettings::default());
    pool.run(call("ok"));
    while wall.opened() < 3 {
        std::thread::yield_now();
    }
}

#[test]
fn s69_a_suspect_runs_alone_in_a_guest_that_nobody_used_before_or_after() {
    let wall = Acted::new();
    let pool = kept(&wall, Reuse::default(), PoolSettings::default());
    pool.run(call("ok"));
    let alone = Order { alone: true, ..call("ok") };
    assert_eq!(label(&pool.run(alone)), "completed");
    pool.run(call("ok"));
    assert_eq!(wall.opened(), 3);
}

#[test]
fn a_task_that_was_cancelled_is_no_death_of_its_worker() {
    let wall = Acted::new();
    let pool = kept(&wall, Reuse::default(), PoolSettings::default());
    let began = Instant::now();
    for number in 1..=5 {
        let ticket = pool.try_submit(call("waits")).unwrap();
        wall.wait_for(number);
        ticket.cancel();
        assert_eq!(label(&ticket.wait()), "stopped.cancelled");
    }
    assert!(began.elapsed() < LONG);
    assert_eq!(pool.status().workers[0].crashes, 0);
}

#[test]
fn s11_a_worker_that_finds_its_guest_gone_calls_another_one_for_the_task_it_was_called_for() {
    let wall = Acted::new();
    let restart = RestartSettings { first: LONG, most: LONG, ..RestartSettings::default() };
    let settings = PoolSettings { restart, workers: 2, ..PoolSettings::default() };
    let pool = pool(&wall, PoolSettings { keep: Some(Reuse::default()), ..settings });
    let both = [call("gate"), call("gate")].map(|gate| pool.try_submit(gate).unwrap());
    wall.wait_for(2);
    wall.let_go();
    both.into_iter().for_each(|ticket| drop(ticket.wait()));
    // The next death of this place is not made good for an hour.
    pool.run(call("fault"));
    // As soon as it has come to rest it is the first to be called, and so again after each task.
    let is_first = |pool: &Pool| {
        let workers = pool.status().workers;
        workers.iter().any(|worker| (worker.crashes, worker.tasks) == (1, 3))
    };
    while !is_first(&pool) {
        pool.run(call("ok"));
    }
    wall.end_last();
    let ticket = pool.try_submit(call("ok")).unwrap();
    assert_eq!(label(&ticket.wait()), "completed");
}

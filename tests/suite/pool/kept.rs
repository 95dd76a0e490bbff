//! Kept guests: restarts, spares, recycling, a task alone.

use std::time::Instant;

use sandtrap::policy::restart::{Condition, OnExcess, RestartSettings, Strategy};
use sandtrap::{ByteSize, Rejection, Reuse};

use super::*;

pub(super) fn kept(wall: &Acted, reuse: Reuse, settings: PoolSettings) -> Pool {
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
fn s70_guests_that_began_together_are_not_recycled_together() {
    let (wall, told) = (Acted::new(), Told::default());
    let reuse = Reuse { max_tasks: 20, ..Reuse::default() };
    let settings =
        PoolSettings { keep_spread: 50, telemetry: told.telemetry(), ..PoolSettings::default() };
    let pool = kept(&wall, reuse, settings);
    (0..400).for_each(|_| assert_eq!(label(&pool.run(call("ok"))), "completed"));
    drop(pool);
    let whys = told.0.lock().unwrap().clone().into_iter().filter_map(|happening| match happening {
        Happening::WorkerRecycled { why, .. } => Some(why),
        _ => None,
    });
    let ran = |why: String| why.split(' ').find_map(|word| word.parse::<u32>().ok());
    let lives: Vec<u32> = whys.map(|why| ran(why).unwrap()).collect();
    assert!(lives.iter().all(|tasks| (10..=20).contains(tasks)), "{lives:?}");
    assert!(lives.iter().any(|tasks| *tasks != lives[0]), "{lives:?}");
}

/// The numbers of workers of whom something was told.
fn workers_told(told: &Told, of: impl Fn(&Happening) -> Option<u64>) -> Vec<u64> {
    told.0.lock().unwrap().iter().filter_map(of).collect()
}

#[test]
fn s3_who_is_replaced_with_a_worker_that_died_is_a_strategy_and_nobody_is_killed_for_it() {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll] {
        let (wall, told) = (Acted::new(), Told::default());
        let restart = RestartSettings { strategy, ..RestartSettings::default() };
        let (keep, telemetry) = (Some(Reuse::default()), told.telemetry());
        let settings =
            PoolSettings { keep, restart, telemetry, spares: 1, ..PoolSettings::with_workers(3) };
        let pool = pool(&wall, settings);
        while count(&pool, WorkerState::Idle) < 3 || pool.status().spares < 1 {
            std::thread::yield_now();
        }
        let busy = pool.try_submit(task("gate")).unwrap();
        wall.wait_for(1);
        assert_eq!(label(&pool.submit(task("fault")).unwrap().wait()), "crashed.memory-fault");
        wall.let_go();
        assert_eq!(label(&busy.wait()), "completed", "it ends its task first");
        let crashed = |told: &Happening| match told {
            Happening::WorkerCrashed { worker, .. } => Some(*worker),
            _ => None,
        };
        let recycled = |told: &Happening| match told {
            Happening::WorkerRecycled { worker, .. } => Some(*worker),
            _ => None,
        };
        while workers_told(&told, crashed).is_empty() {
            std::thread::yield_now();
        }
        let dead = workers_told(&told, crashed);
        let goes = |worker: &u64| match strategy {
            Strategy::OneForOne => false,
            Strategy::RestForOne => *worker > dead[0],
            Strategy::OneForAll => *worker != dead[0],
        };
        let expected: Vec<u64> = (1..=3).filter(goes).collect();
        while workers_told(&told, recycled).len() < expected.len() {
            std::thread::yield_now();
        }
        assert_eq!(label(&pool.run(task("ok"))), "completed");
        drop(pool);
        let mut found = workers_told(&told, recycled);
        found.sort_unstable();
        assert_eq!((found, workers_told(&told, crashed).len()), (expected, 1), "{strategy:?}");
    }
}

#[test]
fn s5_s6_a_worker_says_its_age_generation_device_and_memory_as_json_too() {
    let wall = Acted::new();
    wall.grow_by(100);
    let pool = kept(&wall, Reuse::default(), PoolSettings::default());
    pool.run(call("ok").device("cuda:0"));
    let worker = loop {
        let worker = pool.status().workers.remove(0);
        if worker.resident_bytes == 100 && worker.task.is_none() {
            break worker;
        }
        std::thread::yield_now();
    };
    assert!(worker.started.is_some() && worker.age().is_some());
    assert_eq!((worker.generation, worker.device.as_deref()), (0, Some("cuda:0")));
    let json = serde_json::to_value(&worker).unwrap();
    assert_eq!(
        (&json["worker"], &json["tasks"], &json["resident_bytes"]),
        (&1.into(), &1.into(), &100.into())
    );
    assert_eq!((&json["state"], &json["device"]), (&worker.state.name().into(), &"cuda:0".into()));
    assert!(json["age_us"].is_u64() && json["task"].is_null() && json["running_us"].is_null());
    let ticket = pool.submit(call("gate").device("cuda:1")).unwrap();
    wall.wait_for(2);
    let json = serde_json::to_value(&pool.status().workers[0]).unwrap();
    assert_eq!(
        (&json["task"], &json["device"]),
        (&ticket.task().to_string().into(), &"cuda:1".into())
    );
    assert!(json["running_us"].is_u64() && json["state"] == "busy");
    wall.let_go();
    assert_eq!(label(&ticket.wait()), "completed");
    // One that died is nobody until there is another one.
    let restart = RestartSettings { first: LONG, most: LONG, ..RestartSettings::default() };
    let wall = Acted::new();
    let pool = kept(&wall, Reuse::default(), PoolSettings { restart, ..PoolSettings::default() });
    (0..2).for_each(|_| _ = pool.submit(call("fault")).unwrap().wait());
    while pool.status().workers[0].state != WorkerState::Crashed {
        std::thread::yield_now();
    }
    let worker = pool.status().workers.remove(0);
    assert_eq!((worker.started, worker.crashes), (None, 2));
    assert!(serde_json::to_value(&worker).unwrap()["last_crash_us_ago"].is_u64());
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

#[test]
fn s7_s44_a_start_that_took_the_whole_wall_time_is_told_to_those_who_wait_and_not_made_for_them_again()
 {
    let wall = Acted::new();
    wall.start_late(1);
    let pool = kept(&wall, Reuse::default(), PoolSettings::with_workers(1));
    let waiting = [(); 3].map(|()| pool.try_submit(task("ok")).unwrap());
    wall.let_go();
    for ticket in waiting {
        let report = ticket.wait();
        assert_eq!(label(&report), "stopped.wall-time", "{}", report.verdict);
    }
    assert_eq!(label(&pool.run(task("ok"))), "completed", "later it may start");
}

#[test]
fn s7_a_start_that_took_the_whole_wall_time_costs_no_task_while_another_worker_is_there() {
    let (wall, told) = (Acted::new(), Told::default());
    wall.start_late(1);
    let keep = Some(Reuse::default());
    let settings = PoolSettings { keep, ..PoolSettings::with_workers(2) };
    let pool = pool(&wall, PoolSettings { telemetry: told.telemetry(), ..settings });
    let busy = pool.try_submit(task("waits")).unwrap();
    wall.wait_for(2);
    let next = pool.try_submit(task("ok")).unwrap();
    wall.let_go();
    while told.count("worker.failed-to-start") == 0 {
        std::thread::yield_now();
    }
    busy.cancel();
    assert_eq!(label(&busy.wait()), "stopped.cancelled");
    assert_eq!(label(&next.wait()), "completed");
}

#[test]
fn s7_the_last_of_the_starts_that_began_together_tells_those_who_wait() {
    for (late, slow, expected) in [(1, 1, "completed"), (100, 0, "stopped.wall-time")] {
        let wall = Acted::new();
        wall.start_late(late);
        wall.start_slowly(slow);
        let keep = Some(Reuse::default());
        let pool = pool(&wall, PoolSettings { keep, ..PoolSettings::with_workers(2) });
        wall.wait_for(2);
        let waiting = [(); 3].map(|()| pool.try_submit(task("ok")).unwrap());
        wall.let_go();
        assert_eq!(waiting.map(|ticket| label(&ticket.wait())), [expected; 3]);
    }
}

#[test]
fn s44_a_task_ends_in_time_while_its_worker_is_still_starting() {
    let wall = Acted::new();
    wall.start_late(1);
    let pool = kept(&wall, Reuse::default(), PoolSettings::with_workers(1));
    wall.wait_for(1);
    let ticket = pool.try_submit(task("ok")).unwrap();
    ticket.cancel();
    assert_eq!(label(&ticket.wait()), "stopped.cancelled");
    let soon = task("ok").within(Duration::from_millis(5));
    let report = match pool.try_submit(soon) {
        Ok(ticket) => ticket.wait(),
        // It may be over by then.
        Err(refused) => pool.report_of(&refused),
    };
    assert_eq!(label(&report), "unstarted.rejected", "{}", report.verdict);
    assert!(report.verdict.to_string().contains("deadline"), "{}", report.verdict);
    let waiting = pool.try_submit(task("ok")).unwrap();
    drop(pool);
    assert_eq!(label(&waiting.wait()), "unstarted.rejected");
    assert_eq!((wall.opened(), wall.began().len()), (0, 1), "the start was ended with its pool");
}

#[test]
fn a_guest_that_is_used_up_before_its_first_task_is_no_guest_and_whoever_waits_is_told() {
    let for_nothing = Reuse { max_tasks: 0, ..Reuse::default() };
    let for_no_time = Reuse { max_age: Duration::ZERO, ..Reuse::default() };
    for (reuse, words) in [(for_nothing, "it has run 0 tasks"), (for_no_time, "it is 0 s old")] {
        let wall = Acted::new();
        let report = kept(&wall, reuse, PoolSettings::default()).run(task("ok"));
        assert_eq!(report.verdict.label().kind(), "unstarted", "{}", report.verdict);
        for words in [words, "used up before its first task", "kept for more tasks"] {
            assert!(report.verdict.to_string().contains(words), "{}", report.verdict);
        }
        assert!(wall.began().is_empty() && wall.opened() < 100, "{}", wall.opened());
    }
}

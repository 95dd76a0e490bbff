//! Deaths: each costs its own task and nothing else.

use sandtrap::Limits;
use sandtrap::policy::restart::{RestartSettings, Strategy};

use super::*;

/// Delays that no test has to wait for.
const AT_ONCE: RestartSettings = RestartSettings {
    first: Duration::from_millis(1),
    most: Duration::from_millis(2),
    healthy_after: Duration::from_secs(10),
    deaths: 1_000_000,
    window: Duration::from_secs(60),
    on_excess: sandtrap::policy::restart::OnExcess::Slow(Duration::from_millis(1)),
    failed_starts: 3,
    strategy: Strategy::OneForOne,
};

#[test]
fn p1_s57_one_crash_beside_five_innocents_costs_one_task() {
    // loky and concurrent.futures lose all six, and the pool.
    let wall = Acted::new();
    let pool = workers(&wall, 2);
    for crash in ["fault", "abort", "killed", "memory", "leaves", "exit", "panics"] {
        let tasks = ["ok", "ok", crash, "ok", "ok", "ok"].map(task);
        let labels: Vec<_> = pool.map(tasks).map(|report| label(&report)).collect();
        let others = labels.iter().enumerate().filter(|(at, _)| *at != 2);
        assert_eq!(others.filter(|(_, label)| **label == "completed").count(), 5, "{labels:?}");
    }
}

#[test]
fn p2_the_same_pool_goes_on() {
    let pool = workers(&Acted::new(), 1);
    assert_eq!(label(&pool.run(task("fault"))), "crashed.memory-fault");
    assert_eq!(label(&pool.run(task("ok"))), "completed");
}

#[test]
fn p4_p5_p6_what_a_guest_says_or_does_to_end_is_a_verdict() {
    let pool = workers(&Acted::new(), 1);
    for (does, says) in [
        ("error", "failed.exit"),
        ("exit", "failed.exit"),
        ("leaves", "completed"),
        ("killed", "crashed.killed"),
        ("memory", "crashed.out-of-memory"),
        ("panics", "crashed.unknown"),
    ] {
        assert_eq!(label(&pool.run(task(does))), says, "{does}");
    }
}

#[test]
fn p1_a_storm_of_deaths_leaves_every_task_its_own_report_and_the_pool_full() {
    for keep in [None, Some(sandtrap::Reuse::default())] {
        let wall = Acted::new();
        let settings = PoolSettings { keep, restart: AT_ONCE, ..PoolSettings::with_workers(4) };
        let pool = pool(&wall, settings);
        let crashes = ["fault", "abort", "killed", "memory"];
        let says =
            ["crashed.memory-fault", "crashed.abort", "crashed.killed", "crashed.out-of-memory"];
        let does =
            |number: usize| if number.is_multiple_of(3) { crashes[number / 3 % 4] } else { "ok" };
        let reports: Vec<Report> = pool.map((0..9_000).map(|number| call(does(number)))).collect();
        assert_eq!(reports.len(), 9_000);
        for (number, report) in reports.iter().enumerate() {
            let crashed = number.is_multiple_of(3);
            let expected = if crashed { says[number / 3 % 4] } else { "completed" };
            assert_eq!(label(report), expected, "{number}");
        }
        assert_eq!(pool.status().finished, 9_000);
        drop(pool);
        assert_eq!(wall.alive(), 0, "no cell is left");
    }
}

#[test]
fn s7_a_pool_that_cannot_start_tells_those_who_wait_what_the_start_said_and_heals() {
    let wall = Acted::new();
    wall.fail_to_open(3);
    let told = Told::default();
    let settings = PoolSettings {
        workers: 1,
        restart: AT_ONCE,
        telemetry: told.telemetry(),
        ..PoolSettings::default()
    };
    let pool = pool(&wall, settings);
    let report = pool.run(task("ok"));
    // Whoever comes after the third failure finds a pool that has healed.
    if label(&report) != "completed" {
        assert_eq!(label(&report), "unstarted.resources");
        assert!(report.verdict.to_string().contains("no room"), "{}", report.verdict);
    }
    assert_eq!(label(&pool.run(task("ok"))), "completed");
    assert_eq!(pool.status().workers[0].crashes, 0, "nobody has died");
    // Whoever tells may still be about to: at its end all is told.
    drop(pool);
    assert_eq!(told.count("worker.failed-to-start"), 3);
}

#[test]
fn s7_two_starts_that_fail_cost_no_task() {
    let wall = Acted::new();
    wall.fail_to_open(2);
    let pool =
        pool(&wall, PoolSettings { workers: 1, restart: AT_ONCE, ..PoolSettings::default() });
    assert_eq!(label(&pool.run(task("ok"))), "completed");
}

#[test]
fn s9_s45_a_worker_that_neither_answers_nor_dies_is_replaced() {
    // The original hands a worker whose task timed out back to the pool, still at work.
    let (wall, told) = (Acted::new(), Told::default());
    let settings = PoolSettings {
        workers: 1,
        patience: Duration::from_millis(5),
        restart: AT_ONCE,
        telemetry: told.telemetry(),
        ..PoolSettings::default()
    };
    let pool = pool(&wall, settings);
    let wall_time = Limits { wall: Duration::from_millis(5), ..Limits::default() };
    let deaf = Order::new(Task::command(["deaf"]).limits(wall_time));
    let deaf = pool.try_submit(deaf).unwrap();
    let next = pool.try_submit(task("ok")).unwrap();
    assert_eq!(label(&deaf.wait()), "stopped.wall-time");
    assert_eq!(label(&next.wait()), "completed");
    assert_eq!(pool.status().abandoned, 1);
    // It comes back at last, and what it says counts no more.
    wall.let_go();
    assert_eq!(label(&pool.run(task("ok"))), "completed");
    assert_eq!(pool.status().finished, 3);
    drop(pool);
    assert_eq!(told.count("worker.abandoned"), 1);
}

#[test]
fn s45_a_cancelled_task_that_does_not_end_is_given_up_too() {
    let wall = Acted::new();
    let patience = Duration::from_millis(5);
    let pool = pool(
        &wall,
        PoolSettings { workers: 1, patience, restart: AT_ONCE, ..PoolSettings::default() },
    );
    let deaf = pool.try_submit(task("deaf")).unwrap();
    wall.wait_for(1);
    deaf.cancel();
    assert_eq!(label(&deaf.wait()), "stopped.cancelled");
    assert_eq!(label(&pool.run(task("ok"))), "completed");
    wall.let_go();
}

#[test]
fn s4_workers_go_only_where_the_table_of_states_lets_them() {
    use WorkerState::{Busy, Crashed, Draining, Ended, Idle, Starting};
    let all = [Starting, Idle, Busy, Crashed, Draining, Ended];
    let ways: Vec<String> = all
        .iter()
        .flat_map(|from| all.iter().map(move |to| (from, to)))
        .filter(|(from, to)| from.may_become(**to))
        .map(|(from, to)| format!("{}-{}", from.name(), to.name()))
        .collect();
    let expected = [
        "starting-idle",
        "starting-crashed",
        "starting-ended",
        "idle-starting",
        "idle-busy",
        "idle-crashed",
        "idle-ended",
        "busy-starting",
        "busy-idle",
        "busy-crashed",
        "busy-draining",
        "crashed-starting",
        "crashed-ended",
        "draining-starting",
        "draining-idle",
        "draining-crashed",
        "draining-ended",
    ];
    assert_eq!(ways, expected);
    let wall = Acted::new();
    let pool = workers(&wall, 3);
    let tickets: Vec<_> = (0..2).map(|_| pool.try_submit(task("gate")).unwrap()).collect();
    wall.wait_for(2);
    assert_eq!(count(&pool, Busy), 2);
    wall.let_go();
    tickets.into_iter().for_each(|ticket| _ = ticket.wait());
}

#[test]
fn s52_every_step_is_told() {
    let (wall, told) = (Acted::new(), Told::default());
    let settings = PoolSettings { telemetry: told.telemetry(), ..PoolSettings::with_workers(1) };
    let pool = pool(&wall, settings);
    pool.run(task("ok"));
    pool.run(task("fault"));
    drop(pool);
    for (name, times) in [
        ("worker.started", 1),
        ("task.queued", 2),
        ("task.started", 2),
        ("task.finished", 2),
        ("worker.crashed", 1),
    ] {
        assert_eq!(told.count(name), times, "{name}: {:?}", told.names());
    }
}

#[test]
fn s3_a_callback_that_panics_costs_no_worker_and_no_report() {
    // In the original a mistake in its monitor restarts every worker.
    let wall = Acted::new();
    let telemetry = Telemetry::to(|happening| panic!("no listener for {}", happening.name()));
    let pool = pool(&wall, PoolSettings { telemetry, ..PoolSettings::with_workers(2) });
    for _ in 0..20 {
        assert_eq!(label(&pool.run(task("ok"))), "completed");
        assert_eq!(label(&pool.run(task("fault"))), "crashed.memory-fault");
    }
    assert!(pool.status().workers.iter().all(|worker| worker.crashes == 0));
}

#[test]
fn s5_a_worker_says_what_it_runs_and_when_it_died_last() {
    let wall = Acted::new();
    let keep = Some(sandtrap::Reuse::default());
    let settings = PoolSettings { keep, restart: AT_ONCE, ..PoolSettings::with_workers(1) };
    let pool = pool(&wall, settings);
    pool.run(call("fault"));
    let ticket = pool.try_submit(call("gate")).unwrap();
    wall.wait_for(2);
    let worker = pool.status().workers.remove(0);
    assert_eq!(worker.task.map(|(task, _)| task), Some(ticket.task().clone()));
    assert_eq!((worker.state, worker.crashes, worker.tasks), (WorkerState::Busy, 1, 1));
    assert!(worker.last_crash.is_some());
    wall.let_go();
    assert_eq!(label(&ticket.wait()), "completed");
}

#[test]
fn s8_a_wall_that_panics_while_it_clears_up_costs_no_worker_and_no_task() {
    for keep in [None, Some(sandtrap::Reuse::default())] {
        let wall = Acted::new();
        let settings = PoolSettings { keep, restart: AT_ONCE, ..PoolSettings::with_workers(2) };
        let pool = pool(&wall, settings);
        wall.burst(5);
        for _ in 0..20 {
            assert_eq!(label(&pool.run(call("fault"))), "crashed.memory-fault");
            assert_eq!(label(&pool.run(call("ok"))), "completed");
        }
        assert_eq!(pool.status().finished, 40);
    }
}

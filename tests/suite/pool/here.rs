//! A task that somebody waits for at once, on his own thread: the same as on a worker's in everything else.

use std::thread;

use sandtrap::{
    Drained, ExecutorSettings, Limits, Reuse, StopHandle, StopReason,
    policy::restart::RestartSettings,
};

use super::*;

/// Has the pool run tasks until its worker has come to rest, from when on the caller's thread is the one.
fn settle(pool: &Pool, wall: &Acted) {
    let ours = Some(thread::current().id());
    while wall.thread() != ours {
        assert_eq!(label(&pool.run(call("ok"))), "completed");
    }
}

/// Waits until all ends are told: whoever tells may be another thread. Says how many there are.
fn until_told(pool: &Pool, told: &Told) -> u64 {
    let finished = pool.status().finished;
    while (told.count("task.finished") as u64) < finished {
        thread::yield_now();
    }
    finished
}

#[test]
fn who_waits_for_his_task_runs_it_himself_where_a_worker_is_idle_and_it_is_told_of_as_ever() {
    for keep in [None, Some(Reuse::default())] {
        let (wall, told) = (Acted::new(), Told::default());
        let telemetry = told.telemetry();
        let pool = pool(&wall, PoolSettings { keep, telemetry, ..PoolSettings::with_workers(1) });
        settle(&pool, &wall);
        let finished = until_told(&pool, &told);
        let before = told.names().len();
        assert_eq!(label(&pool.run(call("ok"))), "completed");
        until_told(&pool, &told);
        let names = ["task.queued", "task.started", "task.finished"];
        assert_eq!(told.names()[before..], names, "{keep:?}");
        assert_eq!(wall.thread(), Some(thread::current().id()));
        let status = pool.status();
        assert_eq!((status.finished, status.workers[0].tasks), (finished + 1, finished + 1));
        // Whoever doesn't wait leaves it to the pool.
        assert_eq!(label(&pool.submit(call("ok")).unwrap().wait()), "completed");
        assert_ne!(wall.thread(), Some(thread::current().id()));
    }
}

#[test]
fn the_worker_whose_cell_a_caller_has_is_busy_and_what_is_queued_waits_for_it() {
    let wall = Acted::new();
    let pool = pool(&wall, PoolSettings { queue: 10, ..PoolSettings::with_workers(1) });
    settle(&pool, &wall);
    let began = wall.began().len();
    thread::scope(|scope| {
        let first = scope.spawn(|| pool.run(named("gate", "first")));
        wall.wait_for(began + 1);
        let worker = pool.status().workers.remove(0);
        assert_eq!(worker.state, WorkerState::Busy);
        assert!(worker.task.is_some());
        let second = pool.submit(named("ok", "second")).unwrap();
        assert_eq!(pool.status().waiting, 1);
        wall.let_go();
        assert_eq!(label(&first.join().unwrap()), "completed");
        assert_eq!(label(&second.wait()), "completed");
    });
    assert_eq!(wall.began()[began..], ["first", "second"]);
}

#[test]
fn a_crash_on_the_callers_thread_is_the_death_of_the_worker_and_its_spare_is_there_at_once() {
    let (wall, told) = (Acted::new(), Told::default());
    // Nobody is started again without a spare.
    let restart = RestartSettings { first: LONG, most: LONG, ..RestartSettings::default() };
    let settings = PoolSettings {
        keep: Some(Reuse::default()),
        spares: 2,
        restart,
        telemetry: told.telemetry(),
        ..PoolSettings::with_workers(1)
    };
    let pool = pool(&wall, settings);
    settle(&pool, &wall);
    for deaths in 1..=5 {
        while pool.status().spares < 2 {
            thread::yield_now();
        }
        assert_eq!(label(&pool.run(call("fault"))), "crashed.memory-fault");
        assert_eq!(pool.status().workers[0].crashes, deaths);
        assert_eq!(label(&pool.run(call("ok"))), "completed");
        assert_eq!(wall.thread(), Some(thread::current().id()), "nobody had to be woken for it");
    }
    drop(pool);
    assert_eq!((told.count("worker.crashed"), told.count("worker.restarted")), (5, 5));
    assert_eq!(wall.alive(), 0);
}

#[test]
fn a_caller_whose_wall_never_ends_is_given_up_like_any_worker_and_comes_back_when_it_does() {
    let (wall, patience) = (Acted::new(), Duration::from_millis(5));
    let pool = pool(&wall, PoolSettings { patience, ..PoolSettings::with_workers(1) });
    settle(&pool, &wall);
    let wall_time = Limits { wall: Duration::from_millis(5), ..Limits::default() };
    thread::scope(|scope| {
        let deaf = Order::new(Task::command(["deaf"]).limits(wall_time));
        let deaf = scope.spawn(|| pool.run(deaf));
        while pool.status().abandoned == 0 {
            thread::yield_now();
        }
        assert_eq!(label(&pool.run(task("ok"))), "completed", "another worker is there");
        assert!(!deaf.is_finished());
        wall.let_go();
        assert_eq!(label(&deaf.join().unwrap()), "stopped.wall-time");
    });
    settle(&pool, &wall);
    drop(pool);
    assert_eq!(wall.alive(), 0);
}

#[test]
fn behind_a_wall_that_promises_nothing_a_caller_has_his_report_though_it_never_ends() {
    let (wall, patience) = (Acted::new(), Duration::from_millis(5));
    wall.be_late();
    let pool = pool(&wall, PoolSettings { patience, ..PoolSettings::with_workers(1) });
    for _ in 0..100 {
        assert_eq!(label(&pool.run(task("ok"))), "completed");
        assert_ne!(wall.thread(), Some(thread::current().id()));
    }
    let wall_time = Limits { wall: Duration::from_millis(5), ..Limits::default() };
    let deaf = pool.run(Order::new(Task::command(["deaf"]).limits(wall_time)));
    assert_eq!(label(&deaf), "stopped.wall-time");
    wall.let_go();
}

#[test]
fn what_a_caller_runs_himself_is_stopped_by_a_drain_and_by_its_own_handle() {
    let wall = Acted::new();
    let pool = pool(&wall, PoolSettings::with_workers(1));
    settle(&pool, &wall);
    let began = wall.began().len();
    thread::scope(|scope| {
        let waits = scope.spawn(|| pool.run(task("waits")));
        wall.wait_for(began + 1);
        let expected = Drained { finished: 0, returned: 0, killed: 1 };
        assert_eq!(pool.drain(Duration::from_millis(2)), expected);
        assert_eq!(label(&waits.join().unwrap()), "stopped.shutdown");
    });
    let wall = Acted::new();
    let executor = load(&wall).executor(ExecutorSettings::with_workers(1));
    let ours = Some(thread::current().id());
    while wall.thread() != ours {
        assert_eq!(label(&executor.run(call("ok"))), "completed");
    }
    let (began, stop) = (wall.began().len(), StopHandle::new());
    thread::scope(|scope| {
        let waits = scope.spawn(|| executor.run_with(call("waits"), &stop));
        wall.wait_for(began + 1);
        stop.stop(StopReason::Cancelled);
        assert_eq!(label(&waits.join().unwrap()), "stopped.cancelled");
    });
}

#[test]
fn many_callers_who_run_their_own_tasks_lose_none_beside_those_who_queue_them() {
    for keep in [None, Some(Reuse { max_tasks: 7, ..Reuse::default() })] {
        let wall = Acted::new();
        let restart = RestartSettings { first: Duration::ZERO, ..RestartSettings::default() };
        let settings = PoolSettings { keep, spares: 1, restart, ..PoolSettings::with_workers(2) };
        let pool = pool(&wall, settings);
        thread::scope(|scope| {
            for caller in 0..4 {
                let pool = &pool;
                scope.spawn(move || {
                    for number in 0..500 {
                        let does = if number % 50 == caller { "leaves" } else { "ok" };
                        let report = match number % 3 {
                            0 => pool.submit(call(does)).unwrap().wait(),
                            _ => pool.run(call(does)),
                        };
                        assert_eq!(label(&report), "completed");
                    }
                });
            }
        });
        assert_eq!(pool.status().finished, 2_000);
        drop(pool);
        assert_eq!(wall.alive(), 0);
    }
}

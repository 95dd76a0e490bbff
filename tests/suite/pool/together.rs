//! Kept guests that go together: with the one that died go its spares, and those that were being made.

use std::sync::mpsc::{Sender, channel};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sandtrap::Reuse;
use sandtrap::policy::restart::{OnExcess, RestartSettings, Strategy};

use super::kept::kept;
use super::*;

#[test]
fn s3_spares_that_go_with_a_worker_do_not_outlive_it_while_it_may_not_be_started_again() {
    let strategy = Strategy::OneForAll;
    let later = RestartSettings {
        first: LONG,
        most: LONG,
        healthy_after: LONG,
        strategy,
        ..RestartSettings::default()
    };
    let never = RestartSettings { deaths: 1, on_excess: OnExcess::Stop, ..later };
    for restart in [later, never] {
        let wall = Acted::new();
        let settings = PoolSettings { restart, spares: 2, ..PoolSettings::default() };
        let pool = kept(&wall, Reuse::default(), settings);
        // The first time it is replaced at once, the second time not before an hour is over.
        for _ in 0..2 {
            while count(&pool, WorkerState::Idle) < 1 || pool.status().spares < 2 {
                std::thread::yield_now();
            }
            assert_eq!(label(&pool.submit(call("fault")).unwrap().wait()), "crashed.memory-fault");
        }
        while wall.alive() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(count(&pool, WorkerState::Crashed), 1);
    }
}

/// A pool in which all go together.
fn together(wall: &Acted, settings: PoolSettings) -> Pool {
    let restart = RestartSettings { strategy: Strategy::OneForAll, ..RestartSettings::default() };
    pool(wall, PoolSettings { keep: Some(Reuse::default()), restart, ..settings })
}

#[test]
fn s3_a_guest_that_was_being_made_when_another_one_died_goes_with_it() {
    for spares in [0, 1] {
        let wall = Acted::new();
        match spares {
            0 => wall.start_slowly(1),
            _ => wall.start_spares_slowly(1),
        }
        let workers = 2 - spares;
        let pool = together(&wall, PoolSettings { spares, ..PoolSettings::with_workers(workers) });
        wall.wait_for(1);
        assert_eq!(label(&pool.submit(task("fault")).unwrap().wait()), "crashed.memory-fault");
        wall.let_go();
        // The one that died and the next one, the one that was being made and the one in its place.
        while wall.opened() < 4 || wall.alive() > 2 || pool.status().spares < spares {
            std::thread::yield_now();
        }
        assert_eq!((wall.opened(), wall.alive()), (4, 2));
    }
}

#[test]
fn s3_one_that_dies_of_what_it_was_to_be_replaced_for_takes_nobody_along() {
    let (wall, told) = (Acted::new(), Told::default());
    let settings = PoolSettings { telemetry: told.telemetry(), ..PoolSettings::with_workers(2) };
    let pool = together(&wall, settings);
    let busy = pool.submit(task("breaks")).unwrap();
    wall.wait_for(1);
    assert_eq!(label(&pool.submit(task("fault")).unwrap().wait()), "crashed.memory-fault");
    // The next one is there, and has nothing to do with it.
    assert_eq!(label(&pool.submit(task("ok")).unwrap().wait()), "completed");
    wall.let_go();
    assert_eq!(label(&busy.wait()), "crashed.memory-fault");
    let both = [task("waits"), task("waits")].map(|waits| pool.submit(waits).unwrap());
    wall.wait_for(5);
    assert_eq!((wall.opened(), told.count("worker.recycled")), (4, 0));
    both.iter().for_each(|ticket| ticket.cancel());
}

fn own(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// As much address space as this process has, and so little more that no thread finds room in it: those that wait here have
/// the stacks of all that have ended by now.
fn no_room_for_threads() -> Vec<Sender<()>> {
    let wait = || {
        let ((hold, wait), (say, began)) = (channel::<()>(), channel());
        std::thread::spawn(move || {
            say.send(()).unwrap();
            wait.recv()
        });
        began.recv().unwrap();
        hold
    };
    let waiting = (0..64).map(|_| wait()).collect();
    let (_, most) = getrlimit(Resource::RLIMIT_AS).unwrap();
    setrlimit(Resource::RLIMIT_AS, (own("VmSize:") + 512) * 1024, most).unwrap();
    waiting
}

fn guests_are_cleared_away_where_there_is_no_thread_for_them(workers: usize) {
    if std::env::var_os("NEXTEST").is_none() {
        // Other tests would be in the same process, and have no room either.
        return;
    }
    let threads = own("Threads:");
    let restart = RestartSettings { strategy: Strategy::OneForAll, ..RestartSettings::default() };
    let wall = Acted::new();
    let patience = Duration::from_millis(5);
    let settings =
        PoolSettings { spares: 2, restart, patience, ..PoolSettings::with_workers(workers) };
    let pool = together(&wall, settings);
    while count(&pool, WorkerState::Idle) < workers || pool.status().spares < 2 {
        std::thread::yield_now();
    }
    let deaf = pool.submit(call("deaf")).unwrap();
    wall.wait_for(1);
    // Its workers and its supervisor: those who made the spares have ended.
    while own("Threads:") > threads + workers as u64 + 1 {
        std::thread::yield_now();
    }
    let (least, most) = getrlimit(Resource::RLIMIT_AS).unwrap();
    let waiting = no_room_for_threads();
    deaf.cancel();
    while pool.status().abandoned == 0 {
        std::thread::yield_now();
    }
    setrlimit(Resource::RLIMIT_AS, least, most).unwrap();
    drop(waiting);
    // One is in the hands of the thread that was given up. Where there is another worker, it has a new one, and new spares.
    let (opened, alive) = if workers == 1 { (3, 1) } else { (7, 4) };
    while wall.opened() < opened || wall.alive() > alive {
        std::thread::yield_now();
    }
    wall.let_go();
    let deaf = deaf.wait();
    assert_eq!(label(&deaf), "stopped.cancelled", "{workers}");
}

#[test]
fn guests_at_the_only_place_are_cleared_away_where_it_gets_no_thread_any_more() {
    guests_are_cleared_away_where_there_is_no_thread_for_them(1);
}

#[test]
fn guests_at_a_place_that_gets_no_thread_any_more_are_cleared_away_by_whoever_comes_next() {
    guests_are_cleared_away_where_there_is_no_thread_for_them(2);
}

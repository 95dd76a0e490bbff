//! Kept guests that go together: with the one that died go its spares, and those that were being made.

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

//! The time of grace on each road to a guest: kept, forked, standing ready, in a pool, by an executor; and what a guest that
//! is kept is after it.

use std::sync::mpsc;
use std::time::Duration;

use sandtrap::{
    Event, ExecutorSettings, HostContext, Kept, Loaded, Order, Permissions, PoolSettings, Report,
    Reuse, Runtime, Start, StopHandle, StopReason, Task, Ticket, Wall,
};

use super::grace::{LONG, WALLS, asking, ends, label, limits, load, program};

const SOON: Duration = Duration::from_millis(20);

/// What each guest makes of it, and what is made of that.
const ENDS: [(&str, &str); 3] =
    [("all", "completed"), ("fails", "stopped.cancelled"), ("never", "stopped.cancelled")];

fn grace_of(how: &str) -> Duration {
    if how == "never" { SOON } else { LONG }
}

fn keep(wall: Wall) -> Kept {
    load(wall).keep(Reuse::default()).unwrap()
}

/// How often it was called before, and whether it hears that it is to end.
fn next(kept: &mut Kept) -> (u64, bool) {
    kept.call("next", &()).unwrap()
}

fn cancelled(kept: &mut Kept, how: &str) -> Report {
    let stop = StopHandle::new();
    let report =
        kept.run_with(&ends(how, grace_of(how)), &stop, &mut asking(&stop, StopReason::Cancelled));
    assert!(stop.reason().is_some());
    report
}

#[test]
fn a_guest_that_has_answered_in_its_time_is_called_again() {
    for wall in WALLS {
        let mut kept = keep(wall);
        let mut guests = Vec::new();
        for calls in 0..4 {
            // From the second one on its calls come by the lane, if it is a process.
            assert_eq!(next(&mut kept), (3 * calls + 1, false), "{wall:?}");
            assert_eq!(next(&mut kept), (3 * calls + 2, false), "{wall:?}");
            for (how, expected) in &ENDS[..2] {
                let report = cancelled(&mut kept, how);
                assert_eq!(label(&report), *expected, "{wall:?} {how}");
                assert_eq!(report.facts.told_to_end, Some(StopReason::Cancelled), "{wall:?}");
                guests.push(report.task.pid);
            }
            let report = kept.run(&Task::invoke("next", &()).unwrap());
            assert_eq!(report.value::<(u64, bool)>().unwrap(), (3 * calls + 3, false));
        }
        guests.dedup();
        assert_eq!(guests.len(), 1, "{wall:?}: it was one guest all the time");
        let report = cancelled(&mut kept, "gives up");
        assert_eq!((label(&report), kept.is_usable()), ("stopped.cancelled", false), "{wall:?}");
    }
}

#[test]
fn one_that_stays_after_its_time_is_not_called_again() {
    for wall in WALLS {
        let mut kept = keep(wall);
        assert_eq!(next(&mut kept), (1, false));
        assert_eq!(label(&cancelled(&mut kept, "never")), "stopped.cancelled", "{wall:?}");
        assert!(!kept.is_usable(), "{wall:?}");
    }
}

#[test]
fn what_comes_too_late_for_a_call_is_not_the_next_ones() {
    for wall in WALLS {
        let mut kept = keep(wall);
        for calls in 0..100 {
            // It is told as it answers: whether it was in time is chance.
            assert_eq!(label(&cancelled(&mut kept, "at once")), "completed", "{wall:?}");
            assert_eq!(next(&mut kept), (2 * calls + 1, false), "{wall:?}");
            let late = StopHandle::new();
            let task = Task::invoke("next", &()).unwrap();
            let report = kept.run_with(&task, &late, &mut |_: Event<'_>| {});
            late.stop(StopReason::Cancelled);
            assert_eq!(report.value::<(u64, bool)>().unwrap(), (2 * calls + 2, false));
        }
    }
}

#[test]
fn a_fork_is_told_as_any_other() {
    for (how, expected) in ENDS {
        let program = program(Wall::Native, "told", limits(Duration::ZERO)).started_by(Start::Fork);
        let guest = Runtime::new().unwrap().load(program).unwrap();
        for _ in 0..2 {
            let stop = StopHandle::new();
            let mut ear = asking(&stop, StopReason::Cancelled);
            let report = guest.run_with(&ends(how, grace_of(how)), &stop, &mut ear);
            assert_eq!(label(&report), expected, "{how}: {report:#?}");
        }
    }
}

/// A guest with a function of its host's, and the stop that it is to have when that is called.
fn with_host(
    wall: Wall,
    name: &'static str,
    function: impl Fn(&HostContext) -> String + Send + Sync + 'static,
) -> Loaded {
    let mut permissions = Permissions::default();
    permissions.grant_host_function(name);
    let program = program(wall, "told", limits(LONG)).permissions(permissions);
    let runtime = Runtime::builder().host(name, move |cx, _: String| function(cx));
    runtime.build().unwrap().load(program).unwrap()
}

#[test]
fn a_function_of_the_host_hears_of_it_and_its_answer_comes_through() {
    for wall in WALLS {
        let stop = StopHandle::new();
        let asked = stop.clone();
        let guest = with_host(wall, "wait", move |cx| {
            assert!(!cx.is_cancelled());
            asked.stop(StopReason::Cancelled);
            while !cx.is_cancelled() {
                std::thread::yield_now();
            }
            "given up".to_owned()
        });
        let mut kept = guest.keep(Reuse::default()).unwrap();
        let task = Task::invoke("asks", "wait").unwrap();
        let report = kept.run_with(&task, &stop, &mut |_: Event<'_>| {});
        let expected = ("given up".to_owned(), true);
        assert_eq!(report.value::<(String, bool)>().unwrap(), expected, "{wall:?}");
        assert_eq!(next(&mut kept), (1, false), "{wall:?}");
    }
}

#[test]
fn a_guest_may_still_ask_its_host_in_its_time() {
    for wall in WALLS {
        let guest = with_host(wall, "save", |cx| format!("saved, {}", cx.is_cancelled()));
        let stop = StopHandle::new();
        let mut ear = asking(&stop, StopReason::Cancelled);
        let report = guest.run_with(&ends("saves", LONG), &stop, &mut ear);
        assert_eq!(report.value::<String>().unwrap(), "saved, true", "{wall:?}");
    }
}

/// A guest that says when one of its tasks has begun.
fn telling(wall: Wall) -> (Loaded, mpsc::Receiver<()>) {
    let (begins, begun) = mpsc::channel();
    let loaded = load(wall).heard_by(move |_, event| {
        if matches!(event, Event::Emitted { .. }) {
            // A test that is done hears no more.
            begins.send(()).unwrap_or_default();
        }
    });
    (loaded, begun)
}

fn pools() -> [(&'static str, PoolSettings); 3] {
    let one = || PoolSettings::with_workers(1);
    [
        ("fresh", one()),
        ("kept", PoolSettings { keep: Some(Reuse::default()), ..one() }),
        ("ready", PoolSettings { spares: 1, ..one() }),
    ]
}

#[test]
fn a_task_of_a_pool_has_its_time_and_a_waiting_one_is_told_at_once() {
    for wall in WALLS {
        for (name, settings) in pools() {
            for (how, expected) in ENDS {
                let (loaded, begun) = telling(wall);
                let pool = loaded.pool(settings.clone());
                let running = pool.try_submit(ends(how, grace_of(how))).unwrap();
                begun.recv().unwrap();
                let waiting = pool.try_submit(ends(how, grace_of(how))).unwrap();
                waiting.cancel();
                assert_eq!(label(&waiting.wait()), "stopped.cancelled");
                running.cancel();
                let report = running.wait();
                assert_eq!(label(&report), expected, "{wall:?} {name} {how}");
                assert_eq!(report.facts.told_to_end, Some(StopReason::Cancelled), "{name} {how}");
                let after: (u64, bool) =
                    pool.run(Task::invoke("next", &()).unwrap()).value().unwrap();
                assert_eq!(after, (1, false), "{wall:?} {name} {how}");
                let worker = pool.status().workers[0].worker;
                assert_eq!(worker, if name == "kept" && how == "never" { 2 } else { 1 });
            }
        }
    }
}

#[test]
fn a_pool_that_ends_gives_what_runs_its_time_unless_somebody_insists() {
    for wall in WALLS {
        let (loaded, begun) = telling(wall);
        let pool = loaded.pool(PoolSettings::with_workers(1));
        let ticket = pool.try_submit(ends("all", LONG)).unwrap();
        begun.recv().unwrap();
        assert_eq!(pool.drain(Duration::ZERO).killed, 1);
        assert_eq!(label(&ticket.wait()), "completed", "{wall:?}");

        let insists: [fn(&sandtrap::Pool, &Ticket); 2] =
            [|pool, _| _ = pool.shut_down_now(), |_, ticket| ticket.cancel_now()];
        for insist in insists {
            let (loaded, begun) = telling(wall);
            let pool = loaded.pool(PoolSettings::with_workers(1));
            let ticket = pool.try_submit(ends("lingers", LONG)).unwrap();
            begun.recv().unwrap();
            ticket.cancel();
            insist(&pool, &ticket);
            assert_eq!(label(&ticket.wait()), "stopped.cancelled", "{wall:?}");
        }
    }
}

#[test]
fn the_time_of_a_pool_is_its_tasks_and_a_task_of_an_executor_is_not_tried_again() {
    for wall in WALLS {
        for (how, expected) in [ENDS[0], ENDS[1], ("aborts", "crashed.abort")] {
            let (loaded, begun) = telling(wall);
            let mut settings = ExecutorSettings::with_workers(1);
            settings.pool.grace = Some(LONG);
            let executor = loaded.executor(settings);
            let stop = StopHandle::new();
            let report = std::thread::scope(|scope| {
                let stop = &stop;
                scope.spawn(move || {
                    begun.recv().unwrap();
                    stop.stop(StopReason::Cancelled);
                });
                executor.run_with(Order::new(Task::invoke("ends", how).unwrap()).idempotent(), stop)
            });
            assert_eq!((label(&report), report.attempts), (expected, 1), "{wall:?} {how}");
        }
    }
}

//! Guests that are kept, the same behind both walls: who says that it must not be used again, who is used up,
//! and who has been silent for too long.

use std::time::Duration;

use sandtrap::{
    ByteSize, Failure, Kept, Limits, Loaded, Order, Payload, Permissions, PoolSettings, Program,
    Record, Report, Reuse, Runtime, StopReason, Task, Verdict, Wall,
};
use sandtrap_tests::guests;

const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];

fn program(wall: Wall, guest: &str) -> Program {
    let path = match wall {
        Wall::Native => guests::native(guest),
        Wall::Wasm => guests::wasm(guest),
    };
    let ample = Duration::from_secs(120);
    let limits = Limits { wall: ample, cpu: ample, ..Limits::default() };
    Program::file(path).within(wall).limits(limits)
}

fn load_guest(wall: Wall, guest: &str) -> Loaded {
    Runtime::new().unwrap().load(program(wall, guest)).unwrap()
}

fn load(wall: Wall) -> Loaded {
    load_guest(wall, "calls")
}

fn keep(wall: Wall, reuse: Reuse) -> Kept {
    load(wall).keep(reuse).unwrap()
}

fn next() -> Task {
    Task::invoke("next", &()).unwrap()
}

fn failure(report: &Report) -> &str {
    match &report.verdict {
        Verdict::Failed(Failure::Error { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_that_its_author_marks_as_fatal_is_told_as_ever_and_ends_its_guest() {
    let gives_up = Task::invoke("gives_up", "no more").unwrap();
    for wall in WALLS {
        let mut kept = keep(wall, Reuse::default());
        assert_eq!(kept.run(&next()).value::<u64>().unwrap(), 1, "{wall:?}");
        let report = kept.run(&Task::invoke("refuse", "not now").unwrap());
        assert_eq!((failure(&report), report.facts.is_fatal), ("not now", false), "{wall:?}");
        assert_eq!(kept.run(&next()).value::<u64>().unwrap(), 2, "{wall:?}: it goes on");
        let report = kept.run(&gives_up);
        assert_eq!((failure(&report), report.facts.is_fatal), ("no more", true), "{wall:?}");
        let record = serde_json::to_value(Record::from(&report)).unwrap();
        assert_eq!(record["evidence"]["fatal"], true, "{wall:?}");
        assert!(!kept.is_usable(), "{wall:?}");
        let refused = kept.run(&next());
        assert_eq!(refused.verdict.label().as_str(), "unstarted.rejected", "{wall:?}");
    }
}

#[test]
fn a_pool_has_another_guest_after_an_error_that_was_fatal() {
    let gives_up = || Order::new(Task::invoke("gives_up", "no more").unwrap());
    for wall in WALLS {
        let keep = Some(Reuse::default());
        let pool = load(wall).pool(PoolSettings { keep, ..PoolSettings::with_workers(1) });
        let count = || pool.run(Order::new(next())).value::<u64>().unwrap();
        assert_eq!((count(), count()), (1, 2), "{wall:?}");
        assert_eq!(failure(&pool.run(gives_up())), "no more", "{wall:?}");
        assert_eq!((count(), count()), (1, 2), "{wall:?}: it has no past");
        assert_eq!(failure(&pool.run(gives_up())), "no more", "{wall:?}");
        assert_eq!(count(), 1, "{wall:?}");
    }
}

#[test]
fn a_guest_is_used_up_by_calls_by_age_and_by_what_it_holds_behind_both_walls() {
    for wall in WALLS {
        for (reuse, words) in [
            (Reuse { max_tasks: 1, ..Reuse::default() }, "it has run 1 tasks"),
            (Reuse { max_age: Duration::ZERO, ..Reuse::default() }, "it is 0 s old"),
            (Reuse { max_resident: ByteSize::bytes(1), ..Reuse::default() }, "it holds"),
        ] {
            let mut kept = keep(wall, reuse);
            // One that is too old or too large is so from the beginning, if it is there then.
            let mut last = kept.run(&next());
            if last.verdict.is_completed() {
                last = kept.run(&next());
            }
            let told = last.verdict.to_string();
            assert!(told.contains(words), "{wall:?}: {told}");
            assert!(!kept.is_usable(), "{wall:?}");
        }
    }
}

#[test]
fn a_guest_that_grows_is_replaced_when_it_is_over_its_bound_and_not_before_behind_both_walls() {
    /// What it takes and keeps in each call, and how many of those it may hold.
    const PIECE: usize = 8 << 20;
    const PIECES: usize = 6;
    let bound = ByteSize::bytes((PIECE * PIECES) as u64);
    for wall in WALLS {
        let keep = Some(Reuse { max_resident: bound, ..Reuse::default() });
        let pool =
            load_guest(wall, "stays").pool(PoolSettings { keep, ..PoolSettings::with_workers(1) });
        let (mut lives, mut calls) = (Vec::new(), 0);
        while lives.len() < 3 {
            if pool.run(Order::new(next())).value::<u64>().unwrap() == 1 {
                lives.push(std::mem::take(&mut calls));
            }
            let report = pool.run(Order::new(Task::invoke("holds", &PIECE).unwrap()));
            assert!(report.verdict.is_completed(), "{wall:?}: {}", report.verdict);
            calls += 1;
        }
        // Nobody was there before the first. What a guest holds besides is less than two pieces, and it may be asked a
        // moment too early once.
        assert_eq!(lives[0], 0, "{wall:?}");
        assert!(
            lives[1..].iter().all(|calls| (PIECES - 2..=PIECES + 1).contains(calls)),
            "{wall:?}: {lives:?}"
        );
        assert_eq!(pool.status().workers[0].crashes, 0, "{wall:?}: none of that is a death");
    }
}

fn silent_for(most: Duration) -> Reuse {
    Reuse { max_silence: Some(most), ..Reuse::default() }
}

/// So long that a guest on a busy machine is heard within it.
const LONG: Duration = Duration::from_secs(5);

#[test]
fn a_guest_that_neither_answers_nor_beats_within_its_time_is_ended() {
    let sleeps = Task::invoke("sleeps", &()).unwrap();
    for wall in WALLS {
        let mut kept = load_guest(wall, "stays").keep(silent_for(LONG / 5)).unwrap();
        let report = kept.run(&sleeps);
        assert_eq!(report.verdict.label().as_str(), "stopped.wall-time", "{wall:?}");
        assert_eq!(report.facts.stopped_by_us, Some(StopReason::Silence), "{wall:?}");
        assert!(!kept.is_usable(), "{wall:?}");
        let keep = Some(silent_for(LONG / 5));
        let settings = PoolSettings { keep, ..PoolSettings::with_workers(1) };
        let pool = load_guest(wall, "stays").pool(settings);
        for _ in 0..2 {
            let report = pool.run(Order::new(sleeps.clone()));
            assert_eq!(report.facts.stopped_by_us, Some(StopReason::Silence), "{wall:?}");
        }
        let spins = pool.run(Order::new(Task::invoke("spins", &()).unwrap()));
        assert_eq!(spins.facts.stopped_by_us, Some(StopReason::Silence), "{wall:?}");
    }
}

#[test]
fn a_guest_that_beats_goes_on_for_as_long_as_it_needs() {
    let millis = u64::try_from(LONG.as_millis()).unwrap() * 5 / 4;
    std::thread::scope(|scope| {
        for wall in WALLS {
            scope.spawn(move || {
                let mut kept = load_guest(wall, "stays").keep(silent_for(LONG)).unwrap();
                for _ in 0..2 {
                    let report = kept.run(&Task::invoke("beats", &millis).unwrap());
                    assert!(report.verdict.is_completed(), "{wall:?}: {:?}", report.verdict);
                }
                assert!(kept.is_usable(), "{wall:?}");
            });
        }
    });
}

#[test]
fn waiting_for_a_function_of_the_host_is_no_silence() {
    std::thread::scope(|scope| {
        for wall in WALLS {
            scope.spawn(move || {
                let mut permissions = Permissions::default();
                permissions.grant_host_function("thinks");
                let runtime = Runtime::builder().host("thinks", |_, text: String| {
                    // This is its work, and a wait for nobody.
                    std::thread::sleep(LONG * 5 / 4);
                    text
                });
                let program = program(wall, "calls").permissions(permissions);
                let loaded = runtime.build().unwrap().load(program).unwrap();
                let mut kept = loaded.keep(silent_for(LONG)).unwrap();
                let said = kept.call::<_, String>("asks", &("thinks", "at length"));
                assert_eq!(said.unwrap(), "at length", "{wall:?}");
            });
        }
    });
}

#[test]
fn a_bound_on_silence_is_refused_for_what_can_not_speak() {
    let module = "(module (func (export \"f\")))";
    let loaded = Runtime::new().unwrap().load(Program::module("f", module.as_bytes())).unwrap();
    let mut kept = loaded.keep(silent_for(LONG)).unwrap();
    let refused = kept.run(&Task::call("f", [])).verdict.to_string();
    assert!(refused.contains("`max_silence`"), "{refused}");
    let keep = Some(silent_for(LONG));
    let pool = loaded.pool(PoolSettings { keep, ..PoolSettings::with_workers(1) });
    let refused = pool.run(Order::new(Task::call("f", []))).verdict.to_string();
    assert!(refused.contains("`max_silence`"), "{refused}");
    let component = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    let component = Program::module("f", component.as_bytes());
    let mut kept = Runtime::new().unwrap().load(component).unwrap().keep(silent_for(LONG)).unwrap();
    let refused =
        kept.run(&Task::invoke_with("f", Payload::json(&()).unwrap())).verdict.to_string();
    assert!(refused.contains("`max_silence`"), "{refused}");
}

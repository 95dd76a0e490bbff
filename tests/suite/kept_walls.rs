//! Guests that are kept, the same behind both walls: who says that it must not be used again, and who is used up.

use std::time::Duration;

use sandtrap::{
    ByteSize, Failure, Kept, Limits, Loaded, Order, PoolSettings, Program, Record, Report, Reuse,
    Runtime, Task, Verdict, Wall,
};
use sandtrap_tests::guests;

const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];

fn load(wall: Wall) -> Loaded {
    let path = match wall {
        Wall::Native => guests::native("calls"),
        Wall::Wasm => guests::wasm("calls"),
    };
    let ample = Duration::from_secs(120);
    let limits = Limits { wall: ample, cpu: ample, ..Limits::default() };
    Runtime::new().unwrap().load(Program::file(path).within(wall).limits(limits)).unwrap()
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

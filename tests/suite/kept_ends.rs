//! Every way in which a call ends the process that was kept for it: with the verdict that a fresh one has, and no
//! other call is hit.

use std::sync::mpsc;
use std::time::Duration;

use sandtrap::{
    ByteSize, Codec, Event, Kept, Limits, OnMemoryLimit, Payload, Program, Report, Reuse, Runtime,
    StopHandle, StopReason, Task,
};
use sandtrap_protocol::{FromGuest, Level, PanicReport, VERSION, encode};
use sandtrap_tests::guests;

fn limits() -> Limits {
    let ample = Duration::from_secs(120);
    Limits { wall: ample, cpu: ample, memory: ByteSize::mib(64), ..Limits::default() }
}

fn keep(guest: &str, limits: Limits) -> Kept {
    let program = Program::file(guests::native(guest)).limits(limits);
    Runtime::new().unwrap().load(program).unwrap().keep(Reuse::default()).unwrap()
}

fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

/// A function, its input in JSON, what is changed about the limits, and how it ends.
type Row = (&'static str, &'static str, fn(&mut Limits), &'static str);

const ROWS: [Row; 15] = [
    ("reads_wild", "[]", |_| (), "crashed.memory-fault"),
    ("calls_nothing", "[]", |_| (), "crashed.bad-call"),
    ("overflows", "[]", |_| (), "crashed.stack-overflow"),
    ("aborts", "[]", |_| (), "crashed.abort"),
    ("panics", "[]", |_| (), "failed.panic"),
    ("exits", "0", |_| (), "crashed.protocol"),
    ("exits", "3", |_| (), "failed.exit"),
    ("holds", "268435456", |_| (), "crashed.out-of-memory"),
    (
        "holds",
        "268435456",
        |limits| limits.on_memory_limit = OnMemoryLimit::Refuse,
        "crashed.out-of-memory",
    ),
    ("spins", "[]", |limits| limits.cpu = Duration::from_millis(100), "stopped.cpu-time"),
    ("spins", "[]", |limits| limits.wall = Duration::from_millis(300), "stopped.wall-time"),
    ("sleeps", "[]", |limits| limits.wall = Duration::from_millis(300), "stopped.wall-time"),
    ("floods", "[]", |_| (), "stopped.output"),
    ("returns", "100000", |limits| limits.result = ByteSize::kib(1), "stopped.result"),
    ("starts_threads", "[]", |limits| limits.threads = 8, "stopped.processes"),
];

#[test]
fn p1_each_disorderly_end_is_told_exactly_and_is_the_end_of_its_process() {
    let mut wrong = Vec::new();
    for (function, input, change, expected) in ROWS {
        let mut hard = limits();
        change(&mut hard);
        // A short time is for the one call that is to be hit by it.
        let mut kept =
            keep("stays", Limits { wall: limits().wall, cpu: limits().cpu, ..hard.clone() });
        let before = kept.call::<_, u64>("next", &());
        // By now its guest looks for calls in its lane.
        let is_warm = (2..5_u64).all(|next| kept.call("next", &()).ok() == Some(next));
        let input = Payload::new(Codec::Json, input.as_bytes());
        let report = kept.run(&Task::invoke_with(function, input).limits(hard));
        if label(&report) != expected || before.ok() != Some(1) || !is_warm {
            wrong.push(format!("{function}: {:?}", report.verdict));
        }
        let after = kept.run(&Task::invoke("next", &()).unwrap());
        if kept.is_usable() || label(&after) != "unstarted.rejected" {
            wrong.push(format!("{function}: it goes on: {:?}", after.verdict));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_stop_ends_the_call_that_it_was_given_to_and_its_process() {
    let mut kept = keep("stays", limits());
    let (first, second) = (StopHandle::new(), StopHandle::new());
    let next = Task::invoke("next", &()).unwrap();
    kept.run_with(&next, &first, &mut |_: Event<'_>| {});
    // Its call is over: it is nobody's any more.
    first.stop(StopReason::Cancelled);
    assert_eq!(kept.run(&next).value::<u64>().unwrap(), 2);
    let (asleep, sleeps) = mpsc::channel();
    let mut ear = |event: Event<'_>| {
        if matches!(event, Event::Log { .. }) {
            asleep.send(()).unwrap();
        }
    };
    let report = std::thread::scope(|scope| {
        let second = &second;
        scope.spawn(move || {
            sleeps.recv().unwrap();
            second.stop(StopReason::Shutdown)
        });
        kept.run_with(&Task::invoke("sleeps", &()).unwrap(), second, &mut ear)
    });
    assert_eq!(label(&report), "stopped.shutdown");
    assert!(!kept.is_usable());
}

#[test]
fn an_ear_that_panics_ends_the_process_and_not_the_host() {
    let mut kept = keep("stays", limits());
    let task = Task::invoke("sleeps", &()).unwrap();
    let mut ear = |event: Event<'_>| assert!(!matches!(event, Event::Log { .. }), "on purpose");
    let run = std::panic::AssertUnwindSafe(|| kept.run_with(&task, &StopHandle::new(), &mut ear));
    assert!(std::panic::catch_unwind(run).is_err());
    assert!(!kept.is_usable());
}

/// What a guest says, frame after frame, before it spins.
fn speaks(frames: &[FromGuest]) -> Task {
    let mut script = Vec::new();
    let hello = FromGuest::Hello { version: VERSION };
    for frame in std::iter::once(&hello).chain(frames) {
        let bytes = encode(frame).unwrap();
        script.push(b's');
        script.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        script.extend_from_slice(&bytes);
    }
    script.push(b'h');
    Task::invoke_with("f", Payload::raw(script))
}

fn result() -> FromGuest {
    FromGuest::Return { id: 1, codec: Codec::Raw }
}

#[test]
fn an_answer_is_the_end_of_a_call_and_not_of_its_process() {
    let mut kept = keep("speaks_raw", limits());
    assert_eq!(label(&kept.run(&speaks(&[result()]))), "completed");
    assert!(kept.is_usable());
}

#[test]
fn a_panic_that_nothing_can_catch_is_the_end_of_a_process_that_answers_all_the_same() {
    for fatal in [false, true] {
        let mut kept = keep("speaks_raw", limits());
        let panic = PanicReport { message: "x".to_owned(), place: None, fatal };
        let report = kept.run(&speaks(&[FromGuest::Panic(panic), result()]));
        assert_eq!(label(&report), "completed", "a lie changes nothing about how it ended");
        assert_eq!(kept.is_usable(), !fatal);
    }
}

#[test]
fn nothing_may_be_said_after_an_answer() {
    for late in [FromGuest::Beat, FromGuest::Log { level: Level::Info }, result()] {
        let mut kept = keep("speaks_raw", limits());
        let report = kept.run(&speaks(&[result(), late]));
        match label(&report) {
            // It came with the answer.
            "crashed.protocol" => {}
            // Nobody's call is hit by what comes later.
            "completed" => {
                while kept.is_usable() {
                    std::thread::yield_now();
                }
            }
            other => panic!("{other}: {:?}", report.verdict),
        }
        assert!(!kept.is_usable());
    }
}

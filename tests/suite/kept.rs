//! Guests that are kept between tasks: their state stays, and nothing that went wrong is used again.

use std::time::Duration;

use sandtrap::{
    ByteSize, Event, Kept, Label, Limits, Loaded, Program, Report, Reuse, Runtime, StopHandle,
    StopReason, Task, Value,
};

/// Counts its calls, and can end in several ways.
const COUNTER: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\05\00\00\00hello")
    (global $n (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $n (i32.const 100)))
    (func $next (export "next") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
    (func (export "says") (result i32)
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64))) (call $next))
    (func (export "grows") (result i32) (memory.grow (i32.const 16)))
    (func (export "traps") unreachable)
    (func (export "exits") (call $exit (i32.const 0)))
    (func (export "spins") (loop br 0)))"#;

fn counter() -> Loaded {
    let limits = Limits { output: ByteSize::bytes(8), ..Limits::default() };
    let program = Program::module("counter", COUNTER.as_bytes()).limits(limits);
    Runtime::new().unwrap().load(program).unwrap()
}

fn call(kept: &mut Kept, function: &str) -> Report {
    kept.run(&Task::call(function, []))
}

fn value(report: &Report) -> i32 {
    match report.output.values[..] {
        [Value::I32(value)] => value,
        _ => panic!("{:?}: {:?}", report.verdict, report.output.values),
    }
}

#[test]
fn state_stays_from_call_to_call_and_is_set_up_once() {
    let loaded = counter();
    let mut kept = loaded.keep(Reuse::default()).unwrap();
    for expected in 101..=110 {
        assert_eq!(value(&call(&mut kept, "next")), expected);
    }
    assert_eq!(
        value(&loaded.run(&Task::call("next", []))),
        101,
        "a fresh guest knows nothing of it"
    );
    assert_eq!((kept.vitals().tasks_run, kept.vitals().resident_bytes), (10, 65_536));
}

#[test]
fn each_task_has_its_own_limits_ear_and_thread() {
    let mut kept = counter().keep(Reuse::default()).unwrap();
    for round in 1..=3 {
        // Five of eight bytes: together they would be too many.
        let mut heard = Vec::new();
        let mut ear = |event: Event<'_>| {
            if let Event::Stdout(bytes) = event {
                heard.extend_from_slice(bytes);
            }
        };
        let task = Task::call("says", []);
        let report = kept.run_with(&task, &StopHandle::new(), &mut ear);
        assert_eq!(value(&report), 100 + round);
        assert_eq!((heard, report.usage.stdout_bytes), (b"hello".to_vec(), 5));
        kept = std::thread::spawn(move || kept).join().unwrap();
    }
    // A stack so small that the guest has to run elsewhere.
    let thread = std::thread::Builder::new().stack_size(256 * 1024);
    let mut kept = thread
        .spawn(move || {
            assert_eq!(value(&call(&mut kept, "says")), 104);
            kept
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(value(&call(&mut kept, "says")), 105);
}

#[test]
fn nothing_that_ended_in_disorder_is_used_again() {
    for (function, label) in
        [("traps", "crashed.abort"), ("exits", "completed"), ("spins", "stopped.wall-time")]
    {
        let mut kept = counter().keep(Reuse::default()).unwrap();
        call(&mut kept, "next");
        let soon = Limits { wall: Duration::from_millis(50), ..Limits::default() };
        let limits = if function == "spins" { soon } else { Limits::default() };
        let report = kept.run(&Task::call(function, []).limits(limits));
        assert_eq!(report.verdict.label().as_str(), label, "{function}");
        assert!(!kept.is_usable(), "{function}");
        let next = call(&mut kept, "next");
        assert_eq!(next.verdict.label().as_str(), "unstarted.rejected", "{function}");
    }
}

#[test]
fn a_stop_ends_the_task_it_was_given_to() {
    let mut kept = counter().keep(Reuse::default()).unwrap();
    let (first, second) = (StopHandle::new(), StopHandle::new());
    kept.run_with(&Task::call("next", []), &first, &mut |_: Event<'_>| {});
    // Its task is over: it is nobody's any more.
    first.stop(StopReason::Cancelled);
    assert_eq!(value(&call(&mut kept, "next")), 102);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| second.stop(StopReason::Shutdown));
        kept.run_with(&Task::call("spins", []), &second, &mut |_: Event<'_>| {})
    });
    assert_eq!(report.verdict.label().as_str(), "stopped.shutdown");
    assert!(!kept.is_usable());
}

#[test]
fn a_guest_is_used_up_by_tasks_by_age_and_by_what_it_holds() {
    let reuse = Reuse { max_tasks: 2, ..Reuse::default() };
    let mut kept = counter().keep(reuse).unwrap();
    call(&mut kept, "next");
    assert!(kept.is_usable());
    call(&mut kept, "next");
    assert!(!kept.is_usable());
    let refused = call(&mut kept, "next").verdict.to_string();
    assert!(refused.contains("it has run 2 tasks"), "{refused}");

    let reuse = Reuse { max_resident: ByteSize::kib(512), ..Reuse::default() };
    let mut kept = counter().keep(reuse).unwrap();
    call(&mut kept, "grows");
    assert!(call(&mut kept, "next").verdict.to_string().contains("it holds"));

    let mut kept = counter().keep(Reuse { max_age: Duration::ZERO, ..Reuse::default() }).unwrap();
    assert!(call(&mut kept, "next").verdict.to_string().contains("s old"));
}

#[test]
fn commands_are_not_kept() {
    let mut kept = counter().keep(Reuse::default()).unwrap();
    let report = kept.run(&Task::command(["x"; 0]));
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    assert!(kept.is_usable(), "nothing of it ran");
}

#[test]
fn fifteen_thousand_guests_live_at_once_and_the_one_too_many_is_refused_by_name() {
    const MANY: u32 = 15_000;
    let runtime = Runtime::builder().instances(MANY).build().unwrap();
    let guest = r#"(module (memory (export "memory") 1) (global $n (mut i32) (i32.const 0))
        (func (export "next") (param i32) (result i32)
          (global.set $n (i32.add (global.get $n) (local.get 0)))
          (i32.store (i32.const 0) (global.get $n)) (i32.load (i32.const 0))))"#;
    let loaded = runtime.load(Program::module("guest", guest.as_bytes())).unwrap();
    let next = |kept: &mut Kept, by: i32| kept.run(&Task::call("next", [Value::I32(by)]));
    let mut guests: Vec<Kept> = (0..MANY)
        .map(|number| {
            let mut kept = loaded.keep(Reuse::default()).unwrap();
            let report = next(&mut kept, number as i32);
            assert_eq!(value(&report), number as i32);
            kept
        })
        .collect();
    let refused = next(&mut loaded.keep(Reuse::default()).unwrap(), 1);
    assert_eq!(refused.verdict.label().as_str(), "unstarted.resources", "{}", refused.verdict);
    for (number, kept) in guests.iter_mut().enumerate() {
        assert_eq!(value(&next(kept, 1)), number as i32 + 1);
    }
    guests.truncate(10);
    assert_eq!(value(&next(&mut loaded.keep(Reuse::default()).unwrap(), 7)), 7);
}

const EIGHT: &str = r#"(module (memory 1) (global $n (mut i64) (i64.const 0))
    (func (export "eight") (param i64 i64 i64 i64 i64 i64 i64 i64)
      (result i64 i64 i64 i64 i64 i64 i64 i64)
      (global.set $n (i64.add (global.get $n) (i64.const 1)))
      global.get $n local.get 1 local.get 2 local.get 3
      local.get 4 local.get 5 local.get 6 local.get 7)
    (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "spin") (param i32)
      (loop (br_if 0 (local.get 0)))))"#;

fn eight(limits: Limits) -> Kept {
    let program = Program::module("eight", EIGHT.as_bytes()).limits(limits);
    let loaded = Runtime::new().expect("a runtime").load(program).expect("a module");
    loaded.keep(Reuse { max_tasks: 1_000, ..Reuse::default() }).expect("a guest")
}

type Eight = (i64, i64, i64, i64, i64, i64, i64, i64);

#[test]
fn a_function_by_its_types_keeps_the_guests_state_from_call_to_call() {
    let mut kept = eight(Limits::default());
    let mut function = kept.function::<Eight, Eight>("eight").expect("it is there");
    for n in 1..=100 {
        let given = (0, 2, 3, 4, 5, 6, 7, i64::MIN);
        assert_eq!(function.call(given).expect("it returns"), (n, 2, 3, 4, 5, 6, 7, i64::MIN));
    }
    let report = kept.run(&Task::call("divide", [Value::I32(42), Value::I32(2)]));
    assert_eq!(report.output.values, [Value::I32(21)], "a task may come in between");
    assert_eq!(kept.vitals().tasks_run, 101);
}

#[test]
fn what_does_not_return_has_its_report_and_is_the_last_of_its_guest() {
    let mut kept = eight(Limits::default());
    let mut divide = kept.function::<(i32, i32), i32>("divide").expect("it is there");
    assert_eq!(divide.call((7, 2)).expect("it returns"), 3);
    assert_eq!(divide.call((9, 2)).expect("it returns"), 4);
    let report = divide.call((7, 0)).expect_err("it can't");
    assert_eq!(report.verdict.label(), Label::CrashedArithmetic);
    assert!(!report.facts.trace.is_empty());
    let report = divide.call((7, 2)).expect_err("it is gone");
    assert_eq!(report.verdict.label(), Label::UnstartedRejected);
    assert!(!kept.is_usable());
}

#[test]
fn calls_in_a_row_have_the_limits_of_a_task_each() {
    let limits =
        Limits { wall: Duration::from_secs(1), memory: ByteSize::mib(1), ..Limits::default() };
    let mut kept = eight(limits.clone());
    let mut spin = kept.function::<i32, ()>("spin").expect("it is there");
    for _ in 0..10 {
        spin.call(0).expect("it returns");
    }
    let report = spin.call(1).expect_err("it never does");
    assert_eq!(report.verdict.label(), Label::StoppedWallTime);
    assert!(report.usage.wall >= limits.wall);

    let mut kept = eight(limits);
    let mut grow = kept.function::<i32, i32>("grow").expect("it is there");
    assert_eq!((grow.call(1).expect("1"), grow.call(2).expect("3")), (1, 2));
    let report = grow.call(100).expect_err("that is too much");
    assert_eq!(report.verdict.label(), Label::CrashedOutOfMemory);
}

#[test]
fn the_processor_time_of_each_call_is_its_own() {
    let limits = Limits {
        cpu: Duration::from_millis(50),
        wall: Duration::from_secs(600),
        ..Limits::default()
    };
    let mut kept = eight(limits);
    let mut spin = kept.function::<i32, ()>("spin").expect("it is there");
    spin.call(0).expect("it returns");
    let report = spin.call(1).expect_err("it never does");
    assert_eq!(report.verdict.label(), Label::StoppedCpuTime);
}

#[test]
fn a_call_is_ended_from_another_thread_and_goes_on_on_another_one() {
    let mut kept = eight(Limits { wall: Duration::from_secs(600), ..Limits::default() });
    let mut eight = kept.function::<Eight, Eight>("eight").expect("it is there");
    for n in 1..=4 {
        let input = (0, 0, 0, 0, 0, 0, 0, 0);
        let called = || eight.call(input).expect("it returns").0;
        let found = std::thread::scope(|scope| scope.spawn(called).join().expect("no panic"));
        assert_eq!(found, n);
    }
    let mut spin = kept.function::<i32, ()>("spin").expect("it is there");
    spin.call(0).expect("it returns");
    spin.call(0).expect("it returns");
    let stop = spin.stop_handle();
    let stopper = std::thread::spawn(move || stop.stop(StopReason::Cancelled));
    let report = loop {
        // It may be stopped before it is called.
        if let Err(report) = spin.call(1) {
            break report;
        }
    };
    assert!(stopper.join().expect("no panic"));
    let label = report.verdict.label();
    assert!([Label::StoppedCancelled, Label::UnstartedRejected].contains(&label), "{label}");
}

#[test]
fn a_function_of_other_types_is_refused_before_it_is_called() {
    let mut kept = eight(Limits::default());
    let error = kept.function::<i32, i32>("divide").expect_err("it takes two");
    assert!(error.to_string().contains("takes (i32, i32) and returns (i32)"), "{error}");
    assert!(kept.function::<(i32, i32), ()>("divide").is_err());
    assert!(kept.function::<(), ()>("nothing").is_err());
}

#[test]
fn a_guest_that_is_used_up_is_called_no_more() {
    let mut kept = eight(Limits::default());
    let mut spin = kept.function::<i32, ()>("spin").expect("it is there");
    for _ in 0..1_000 {
        spin.call(0).expect("it returns");
    }
    let report = spin.call(0).expect_err("a thousand is enough");
    assert!(report.verdict.to_string().contains("1000 tasks"), "{}", report.verdict);
}

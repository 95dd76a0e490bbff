//! A stop reaches a guest wherever it is, and only that guest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::evidence::{StopReason, TrapCause};

/// Sleeps for an hour.
fn sleeps() -> String {
    wasi(
        "(memory (export \"memory\") 1)
         (func (export \"_start\")
           (i32.store (i32.const 16) (i32.const 1))
           (i64.store (i32.const 24) (i64.const 3600000000000))
           (call $proc_exit (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200))))",
    )
}

/// Says that it is there, and computes for ever.
fn spins() -> String {
    wasi(
        "(memory (export \"memory\") 1) (data (i32.const 4) \"\\01\")
         (func (export \"_start\")
           (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
           (loop $again (br $again)))",
    )
}

pub(super) fn soon() -> Limits {
    Limits { wall: Duration::from_millis(100), ..limits() }
}

#[track_caller]
pub(super) fn assert_stopped(evidence: &Evidence, reason: StopReason) {
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Interrupted));
    assert_eq!(evidence.stopped_by_us, Some(reason));
}

#[test]
fn a_deadline_ends_a_guest_that_sleeps() {
    let evidence = run_task(&program(&sleeps()).limits(soon()), &command());
    assert_stopped(&evidence, StopReason::WallTime);
    assert!(evidence.usage.wall >= Duration::from_millis(100));
}

#[test]
fn a_deadline_ends_a_guest_that_computes_wherever_it_does() {
    let looping = "(loop $again (br $again))";
    for text in [
        spins(),
        format!("(module (func $f {looping}) (start $f))"),
        format!("(module (func (export \"_initialize\") {looping}) (func (export \"f\")))"),
    ] {
        let task = if text.contains("_initialize") { Task::call("f", []) } else { command() };
        assert_stopped(&run_task(&program(&text).limits(soon()), &task), StopReason::WallTime);
    }
}

#[test]
fn processor_time_has_a_limit_of_its_own() {
    let limits = Limits { cpu: Duration::from_millis(50), ..limits() };
    let evidence = run_task(&program(&spins()).limits(limits.clone()), &command());
    assert_stopped(&evidence, StopReason::CpuTime);
    assert!(evidence.usage.cpu >= Duration::from_millis(50));
    // A guest that sleeps uses none.
    let wall = Duration::from_millis(200);
    let evidence = run_task(&program(&sleeps()).limits(Limits { wall, ..limits }), &command());
    assert_stopped(&evidence, StopReason::WallTime);
}

#[test]
fn a_guest_that_sleeps_for_a_moment_wakes_by_itself() {
    let text = sleeps().replace("3600000000000", "1000000");
    assert_eq!(run(&text).ending, Ending::Exited(0));
}

#[test]
fn a_guest_cannot_make_the_host_wait_for_thousands_of_things() {
    let text =
        sleeps().replace("(i32.const 104) (i32.const 1)", "(i32.const 104) (i32.const 1025)");
    assert_eq!(run(&text).ending, Ending::Exited(28), "EINVAL of WASI");
}

#[test]
fn a_stop_before_the_start_is_seen() {
    let program = program(&spins());
    let image = load(&program).unwrap();
    let stop = StopHandle::new();
    stop.stop(StopReason::Shutdown);
    let evidence = run_image(&*image, &program, &command(), &stop, &mut Deaf);
    assert_stopped(&evidence, StopReason::Shutdown);
    assert_eq!(evidence.usage.stdout_bytes, 0);
}

#[test]
fn one_handle_ends_every_guest_that_it_was_given_to() {
    let program = program(&spins());
    let image = load(&program).unwrap();
    let stop = StopHandle::new();
    let begun = std::sync::Barrier::new(3);
    let all = std::thread::scope(|scope| {
        let guest = || {
            let mut ear = |_: Event<'_>| {
                begun.wait();
            };
            run_image(&*image, &program, &command(), &stop, &mut ear)
        };
        let all = [scope.spawn(guest), scope.spawn(guest)];
        begun.wait();
        stop.stop(StopReason::Cancelled);
        all.map(|one| one.join().unwrap())
    });
    for evidence in all {
        assert_stopped(&evidence, StopReason::Cancelled);
    }
}

#[test]
fn of_many_guests_at_once_only_the_stopped_one_ends() {
    const GUESTS: usize = 64;
    const WRITES: u64 = 200;
    // Each writes a byte, then computes a while, many times over.
    let text = wasi(&format!(
        "(memory (export \"memory\") 1) (data (i32.const 4) \"\\01\")
         (func (export \"_start\") (local $round i32) (local $i i32)
           (loop $rounds
             (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
             (local.set $i (i32.const 20000))
             (loop $work (br_if $work (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
             (local.set $round (i32.add (local.get $round) (i32.const 1)))
             (br_if $rounds (i32.lt_u (local.get $round) (i32.const {WRITES})))))"
    ));
    assert_only_the_stopped_one_ends(&program(&text), GUESTS, WRITES);
}

#[test]
fn a_caller_inside_an_async_runtime_is_no_trouble() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (slept, wrote) = runtime.block_on(async {
        let wrote = run_task(&program(&spins()).limits(soon()), &command());
        (run_task(&program(&sleeps()).limits(soon()), &command()), wrote)
    });
    assert_stopped(&slept, StopReason::WallTime);
    assert_stopped(&wrote, StopReason::WallTime);
    assert_eq!(wrote.usage.stdout_bytes, 1);
}

#[test]
fn an_ear_that_panics_takes_its_guest_with_it_and_nothing_else() {
    let program = program(&spins());
    let wall = WasmWall::new(Tools::default(), 80);
    let image = wall.image(&program, &StopHandle::new()).unwrap();
    let stop = StopHandle::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut ear = |_: Event<'_>| panic!("an ear that panics, as a test");
        run_image(&image, &program, &command(), &stop, &mut ear)
    }));
    assert!(result.is_err());
    while image.guests() > 0 {
        std::thread::yield_now();
    }
    let evidence = run_task(&program.limits(soon()), &command());
    assert_stopped(&evidence, StopReason::WallTime);
}

#[test]
fn a_stop_that_comes_with_the_end_changes_nothing_for_the_next_attempt() {
    let program = program(&start("nop"));
    let image = load(&program).unwrap();
    for _ in 0..50 {
        let stop = StopHandle::new();
        let late = stop.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || late.stop(StopReason::Cancelled));
            let first = run_image(&*image, &program, &command(), &stop, &mut Deaf).ending;
            assert!([Ending::Exited(0), Ending::Trapped(TrapCause::Interrupted)].contains(&first));
        });
        let next = run_image(&*image, &program, &command(), &StopHandle::new(), &mut Deaf);
        assert_eq!((next.ending, next.stopped_by_us), (Ending::Exited(0), None));
    }
}

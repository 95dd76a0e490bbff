//! A stop reaches a component wherever it is, and only that one.

use super::waiting::{assert_stopped, soon};
use super::*;
use crate::evidence::StopReason;

/// Writes a byte, does something, and all that as often as it is told.
fn writes(times: u32, between: &str) -> String {
    format!(
        r#"(component
          (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
          (alias export $error "error" (type $error))
          (import "wasi:io/streams@0.2.0" (instance $streams
            (export "output-stream" (type $out (sub resource)))
            (alias outer 1 $error (type $error))
            (export "error" (type $failure (eq $error)))
            (type $cases (variant (case "last-operation-failed" (own $failure)) (case "closed")))
            (export "stream-error" (type $fault (eq $cases)))
            (export "[method]output-stream.blocking-write-and-flush" (func
              (param "self" (borrow $out)) (param "contents" (list u8))
              (result (result (error $fault)))))))
          (alias export $streams "output-stream" (type $out))
          (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $out (type $out))
            (export "get-stdout" (func (result (own $out))))))
          (core module $libc (memory (export "memory") 1))
          (core instance $libc (instantiate $libc))
          (core func $stdout (canon lower (func $stdout "get-stdout")))
          (core func $write (canon lower
            (func $streams "[method]output-stream.blocking-write-and-flush")
            (memory (core memory $libc "memory"))))
          (core instance $host (export "stdout" (func $stdout)) (export "write" (func $write)))
          (core module $main
            (import "host" "stdout" (func $stdout (result i32)))
            (import "host" "write" (func $write (param i32 i32 i32 i32)))
            (func (export "run") (result i32) (local $stdout i32) (local $round i32) (local $i i32)
              (local.set $stdout (call $stdout))
              (loop $rounds
                (call $write (local.get $stdout) (i32.const 0) (i32.const 1) (i32.const 16))
                {between}
                (local.set $round (i32.add (local.get $round) (i32.const 1)))
                (br_if $rounds (i32.lt_u (local.get $round) (i32.const {times}))))
              (i32.const 0)))
          (core instance $main (instantiate $main (with "host" (instance $host))))
          (func $run (result (result)) (canon lift (core func $main "run")))
          (instance $command (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $command)))"#
    )
}

/// Says that it is there, and computes for ever.
fn spins() -> String {
    writes(1, "(loop $again (br $again))")
}

#[test]
fn one_handle_ends_every_component_that_it_was_given_to() {
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
        assert_eq!(evidence.usage.stdout_bytes, 1);
    }
}

#[test]
fn of_many_components_at_once_only_the_stopped_one_ends() {
    const GUESTS: usize = 32;
    const WRITES: u32 = 50;
    let computes = "(local.set $i (i32.const 20000))
        (loop $work (br_if $work (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))";
    assert_only_the_stopped_one_ends(&program(&writes(WRITES, computes)), GUESTS, WRITES.into());
}

#[test]
fn the_output_of_a_component_is_cut_to_the_byte() {
    let limits = Limits { output: crate::quantity::ByteSize::bytes(7), ..limits() };
    let evidence = run_task(&program(&writes(8, "")).limits(limits.clone()), &command());
    assert_stopped(&evidence, StopReason::Output);
    assert_eq!(evidence.usage.stdout_bytes, 7);
    let evidence = run_task(&program(&writes(7, "")).limits(limits), &command());
    assert_eq!(evidence.ending, Ending::Exited(0));
}

#[test]
fn a_caller_of_a_component_inside_an_async_runtime_is_no_trouble() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let wrote = runtime.block_on(async { run_task(&program(&spins()).limits(soon()), &command()) });
    assert_stopped(&wrote, StopReason::WallTime);
    assert_eq!(wrote.usage.stdout_bytes, 1);
}

//! Components within components: what one passes to the other, and who is blamed for what.

use super::*;
use crate::evidence::{StackState, TrapCause};
use crate::quantity::ByteSize;

/// A component whose `run` has another one take a string at this place, and a number.
fn composed(text_at: i32, number: i32, inner: &str) -> String {
    format!(
        r#"(component
          (component $inner
            (core module $inner
              (memory (export "memory") 1)
              (global $__stack_pointer (mut i32) (i32.const 1024))
              (global (mut i32) (i32.const 0))
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048))
              (func $takes (export "takes") (param i32 i32 i32) {inner}))
            (core instance $inner (instantiate $inner))
            (func (export "takes") (param "text" string) (param "number" s32)
              (canon lift (core func $inner "takes") (memory (core memory $inner "memory"))
                (realloc (core func $inner "realloc")))))
          (component $outer
            (import "takes" (func $takes (param "text" string) (param "number" s32)))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $takes (canon lower (func $takes) (memory (core memory $libc "memory"))))
            (core instance $given (export "takes" (func $takes)))
            (core module $main
              (import "given" "takes" (func $takes (param i32 i32 i32)))
              (global $__stack_pointer (mut i32) (i32.const 512))
              (func $runs (export "run") (result i32)
                (call $takes (i32.const {text_at}) (i32.const 8) (i32.const {number})) (i32.const 0)))
            (core instance $main (instantiate $main (with "given" (instance $given))))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $command)))
          (instance $inner (instantiate $inner))
          (instance $outer (instantiate $outer (with "takes" (func $inner "takes"))))
          (export "wasi:cli/run@0.2.0" (instance $outer "wasi:cli/run@0.2.0")))"#
    )
}

#[test]
fn what_one_component_passes_to_another_arrives() {
    let inner = "(if (i32.ne (local.get 1) (i32.const 8)) (then unreachable))
                 (if (i32.ne (local.get 2) (i32.const 42)) (then unreachable))";
    let evidence = run(&composed(0, 42, inner));
    assert_eq!((evidence.ending, evidence.usage.peak_memory), (Ending::Exited(0), 2 << 16));
    assert_eq!(run(&composed(0, 41, inner)).ending, Ending::Trapped(TrapCause::Unreachable));
    let limits = Limits { memory: ByteSize::kib(127), ..limits() };
    let evidence = run_task(&program(&composed(0, 42, inner)).limits(limits), &command());
    assert!(refusal(&evidence).detail.contains("it needs 128 KiB"), "{:?}", evidence.ending);
}

#[test]
fn a_string_outside_of_its_memory_is_a_memory_fault() {
    let unseen = TrapCause::MemoryOutOfBounds(StackState::Unseen);
    assert_eq!(run(&composed(-4, 42, "")).ending, Ending::Trapped(unseen));
}

#[test]
fn the_stack_of_the_component_that_ran_is_looked_at_and_its_callers_are_named() {
    for (number, stack) in [(-16, StackState::Overrun), (512, StackState::Sound)] {
        let inner = "(global.set $__stack_pointer (local.get 2)) (drop (i32.load (i32.const -8)))";
        let evidence = run(&composed(0, number, inner));
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryOutOfBounds(stack)));
        let names: Vec<&str> = evidence.trace.iter().map(|frame| &*frame.function).collect();
        assert_eq!(names, ["takes", "(between components)", "runs"]);
    }
}

//! The engine's heap: objects, references and exceptions, within the one limit of memory.

use super::*;
use crate::evidence::{Step, Thrown};
use crate::limits::OnMemoryLimit;
use crate::quantity::ByteSize;

fn within(mebibytes: u64) -> Limits {
    Limits { memory: ByteSize::mib(mebibytes), ..limits() }
}

/// Makes a list that is as long as this, or without an end, and holds on to it.
fn list(length: u32) -> String {
    format!(
        "(module (memory 16) (type $node (struct (field (ref null $node)) (field i64)))
           (global $head (mut (ref null $node)) (ref.null $node))
           (func (export \"_start\") (local $n i32)
             (loop
               (global.set $head (struct.new $node (global.get $head) (i64.const 7)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const {length}))))))"
    )
}

#[test]
fn a_heap_and_a_memory_share_one_limit() {
    let evidence = run_task(&program(&list(1_000)).limits(within(4)), &command());
    assert_eq!((&evidence.ending, evidence.refused_memory), (&Ending::Exited(0), None));
    let (heap, memory) = (evidence.usage.peak_memory, 1 << 20);
    assert!(heap > memory && heap < 2 * memory, "{heap}");

    let evidence = run_task(&program(&list(u32::MAX)).limits(within(4)), &command());
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryRefused));
    assert_eq!(evidence.refused_memory.unwrap().limit, 4 << 20);
    assert!(evidence.usage.peak_memory <= 4 << 20);
}

#[test]
fn a_heap_that_may_not_grow_ends_its_guest_whatever_the_guest_could_bear() {
    let limits = Limits { on_memory_limit: OnMemoryLimit::Refuse, ..within(4) };
    let evidence = run_task(&program(&list(u32::MAX)).limits(limits), &command());
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryRefused));
}

/// Makes sixteen times as many objects as there is room for, and forgets each, then does this.
fn litters(then: &str) -> String {
    format!(
        "(module (type $bytes (array (mut i8)))
           (func (export \"_start\") (local $n i32)
             (loop
               (drop (array.new_default $bytes (i32.const 1024)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 65536))))
             {then}))"
    )
}

#[test]
fn what_was_collected_instead_of_growing_is_no_fact_about_the_end() {
    let evidence = run_task(&program(&litters("")).limits(within(4)), &command());
    assert_eq!((evidence.ending, evidence.refused_memory), (Ending::Exited(0), None));
    let evidence = run_task(&program(&litters("unreachable")).limits(within(4)), &command());
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Unreachable));
    assert_eq!(evidence.refused_memory, None);
}

#[test]
fn an_exception_that_nobody_catches_is_told_with_what_it_carries() {
    let evidence = run("(module (tag $t (export \"oops\") (param i32 f64))
        (func (export \"_start\") (throw $t (i32.const 7) (f64.const 0.5))))");
    let thrown =
        Thrown { tag: Some("oops".into()), values: vec!["i32:7".into(), "f64:0.5".into()] };
    assert_eq!(evidence.thrown, Some(thrown));
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::UncaughtException));
    assert!(!evidence.trace.is_empty(), "the trace says where it was thrown");
}

#[test]
fn an_exception_that_is_caught_is_none_of_the_hosts_business() {
    let evidence = run("(module (tag $t (param i32))
        (func $f (throw $t (i32.const 7)))
        (func (export \"_start\")
          (if (i32.ne (i32.const 7)
                (block (result i32) (try_table (catch $t 0) (call $f)) unreachable))
            (then unreachable))))");
    assert_eq!((evidence.ending, evidence.thrown), (Ending::Exited(0), None));
}

#[test]
fn an_exception_in_the_start_function_is_one_of_the_guest() {
    let evidence =
        run("(module (tag $t) (func $f (throw $t)) (start $f) (func (export \"_start\")))");
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::UncaughtException));
}

#[test]
fn elements_that_the_collector_looks_at_are_counted_with_its_list_of_them() {
    let grows = "(module (table $t 0 externref) (func (export \"_start\")
        (drop (table.grow $t (ref.null extern) (i32.const 30000)))))";
    let evidence = run_task(&program(grows).limits(within(1)), &command());
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryRefused));
    let declares = "(module (table 30000 externref) (func (export \"_start\")))";
    let evidence = run_task(&program(declares).limits(within(1)), &command());
    assert_eq!(refusal(&evidence).step, Step::FitLimits);
}

#[test]
fn a_guest_that_is_kept_keeps_its_heap_and_gives_back_what_it_forgets() {
    let counts = "(module (type $box (struct (field (mut i32))))
        (global $box (mut (ref null $box)) (ref.null $box))
        (func (export \"next\") (result i32)
          (if (ref.is_null (global.get $box))
            (then (global.set $box (struct.new $box (i32.const 0)))))
          (global.set $box (struct.new $box
            (i32.add (i32.const 1) (struct.get $box 0 (global.get $box)))))
          (struct.get $box 0 (global.get $box))))";
    let program = program(counts).limits(within(1));
    let image = load(&program).unwrap();
    let mut cell = image.keep().unwrap();
    let task = Task::call("next", []);
    let limits = &program.policy().limits;
    for number in 1..100 {
        let (entry, stdout, began) = (&task.entry, task.stdout, Instant::now());
        let attempt = Attempt { task: &task.id, entry, limits, stdout, began, silence: None };
        let evidence = cell.run(&attempt, &StopHandle::new(), &mut Deaf);
        assert_eq!(evidence.output.values, [crate::task::Value::I32(number)]);
    }
}

//! Components: what they import and export, how they end, and what bounds them.

use super::*;
use crate::evidence::{StackState, Step, StopReason, TrapCause};
use crate::quantity::ByteSize;
use crate::task::Value;

/// Imports of a component, and what its core module finds of them.
const EXIT: &str = r#"
    (import "wasi:cli/exit@0.2.12" (instance $exit
      (export "exit-with-code" (func (param "status-code" u8)))))
    (core func $host (canon lower (func $exit "exit-with-code")))"#;

const CLOCK: &str = r#"
    (import "wasi:io/poll@0.2.0" (instance $poll
      (export "pollable" (type $pollable (sub resource)))
      (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock
      (alias outer 1 $pollable (type $p))
      (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
    (core func $host (canon lower (func $clock "subscribe-duration")))
    (core func $block (canon lower (func $poll "[method]pollable.block")))"#;

const RANDOM: &str = r#"
    (import "wasi:random/insecure-seed@0.2.0" (instance $seed
      (export "insecure-seed" (func (result (tuple u64 u64))))))
    (core module $memory (memory (export "memory") 1))
    (core instance $memory (instantiate $memory))
    (core func $host (canon lower (func $seed "insecure-seed")
      (memory (core memory $memory "memory"))))"#;

/// A command whose core module has these definitions, next to these of the component.
fn component(around: &str, module: &str) -> String {
    let (import, give) = match around.contains("$host") {
        true => ("(import \"host\" \"host\"", "(with \"host\" (instance $given))"),
        false => ("", ""),
    };
    let import = match (around, import) {
        (_, "") => String::new(),
        (EXIT, import) => format!("{import} (func $host (param i32)))"),
        (CLOCK, import) => format!(
            "{import} (func $host (param i64) (result i32)))
             (import \"host\" \"block\" (func $block (param i32)))"
        ),
        (_, import) => format!("{import} (func $host (param i32)))"),
    };
    let given = match around {
        CLOCK => {
            "(core instance $given (export \"host\" (func $host)) (export \"block\" (func $block)))"
        }
        _ if give.is_empty() => "",
        _ => "(core instance $given (export \"host\" (func $host)))",
    };
    format!(
        "(component {around} {given}
           (core module $main {import} {module})
           (core instance $main (instantiate $main {give}))
           {RUN})"
    )
}

const RUN: &str = "(func $run (result (result)) (canon lift (core func $main \"run\")))
     (instance $command (export \"run\" (func $run)))
     (export \"wasi:cli/run@0.2.0\" (instance $command))";

/// A command that does this when it is run.
fn runs(around: &str, body: &str) -> String {
    component(around, &format!("(func (export \"run\") (result i32) {body})"))
}

fn refused(text: &str) -> String {
    load(&program(text)).err().expect("it was loaded").into_refusal().detail
}

fn within(text: &str, change: impl FnOnce(&mut Limits)) -> Evidence {
    let mut limits = limits();
    change(&mut limits);
    run_task(&program(text).limits(limits), &command())
}

#[test]
fn a_command_ends_well_or_it_does_not() {
    assert_eq!(run(&runs("", "(i32.const 0)")).ending, Ending::Exited(0));
    assert_eq!(run(&runs("", "(i32.const 1)")).ending, Ending::Exited(1));
    let evidence = run(&runs("", "unreachable"));
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Unreachable));
    assert_eq!(evidence.trace.len(), 1);
}

#[test]
fn every_exit_code_arrives_from_those_that_say_it() {
    for code in [0, 1, 2, 77, 101, 124, 134, 255] {
        let text = runs(EXIT, &format!("(call $host (i32.const {code})) unreachable"));
        assert_eq!(run(&text).ending, Ending::Exited(code));
    }
}

#[test]
fn what_is_no_command_is_refused_with_what_it_is() {
    for (body, words) in [
        ("", "it exports nothing"),
        (
            r#"(component $c) (instance $i (instantiate $c))
               (export "wasi:cli/run@0.3.0" (instance $i)) (export "a:b/c" (instance $i))"#,
            "it exports `wasi:cli/run@0.3.0`, `a:b/c`",
        ),
        (
            r#"(component $c) (instance $i (instantiate $c))
               (export "wasi:cli/run@0.2.6" (instance $i))"#,
            "is no command: ",
        ),
    ] {
        let detail = refused(&format!("(component {body})"));
        assert!(detail.contains("is no command"), "{detail}");
        assert!(detail.contains(words), "{detail}");
        assert!(!detail.contains('\n'), "{detail}");
    }
}

#[test]
fn every_interface_that_nobody_offers_is_named_with_its_version() {
    let body = r#"
        (import "wasi:http/types@0.2.4" (instance))
        (import "wasi:cli/environment@0.2.0" (instance))
        (import "wasi:cli/exit@0.3.0" (instance))
        (import "other:one/two" (instance (export "f" (func))))
        (component $c (core module $main (func (export "run") (result i32) (i32.const 0)))
          (core instance $main (instantiate $main)) RUN)
        (instance $c (instantiate $c))
        (export "wasi:cli/run@0.2.0" (instance $c "wasi:cli/run@0.2.0"))"#;
    let error = load(&program(&format!("(component {})", body.replace("RUN", RUN)))).err();
    let refusal = error.expect("it was loaded").into_refusal();
    assert_eq!(refusal.step, Step::Import);
    let words = "imports what nobody offers: `wasi:http/types@0.2.4`, `wasi:cli/exit@0.3.0`, \
                 `other:one/two`; there is WASI 0.2.x";
    // An instance that nothing is taken from is nobody's lack for the engine, but it is for the list.
    assert!(refusal.detail.contains(words), "{}", refusal.detail);
}

#[test]
fn a_function_of_a_component_takes_no_numbers() {
    let call = Task::call("run", Vec::<Value>::new());
    let evidence = run_task(&program(&runs("", "(i32.const 0)")), &call);
    assert_eq!(refusal(&evidence).step, Step::Accept);
    assert!(refusal(&evidence).detail.contains("take values and no numbers"));
}

#[test]
fn the_memories_of_all_its_modules_share_one_limit() {
    let two = "(core module $other (memory 8)) (core instance (instantiate $other))";
    let grows = "(memory 1) (func (export \"run\") (result i32)
                   (drop (memory.grow (i32.const 8))) (i32.const 0))";
    let text = component(two, grows);
    assert_eq!(within(&text, |_| {}).ending, Ending::Exited(0));
    let evidence = within(&text, |limits| limits.memory = ByteSize::kib(16 * 64));
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryRefused));
    assert_eq!(evidence.refused_memory.unwrap().wanted, Some(17 << 16));
    assert_eq!(evidence.usage.peak_memory, 9 << 16);
    let evidence = within(&text, |limits| limits.memory = ByteSize::kib(8 * 64));
    assert_eq!(refusal(&evidence).step, Step::FitLimits);
}

#[test]
fn a_component_of_too_many_parts_is_refused_before_it_is_compiled() {
    let mut many = "(core module $m)".to_owned();
    many += &"(core instance (instantiate $m))".repeat(600);
    let detail = refused(&runs(&many, "(i32.const 0)"));
    assert!(detail.contains("too many instances when it runs; at most 500"), "{detail}");
    let mut many = "(core module $m (memory 0))".to_owned();
    many += &"(core instance (instantiate $m))".repeat(101);
    let detail = refused(&runs(&many, "(i32.const 0)"));
    assert!(detail.contains("too many memories when it runs; at most 100"), "{detail}");
}

#[test]
fn a_component_that_shares_memory_is_refused() {
    let detail = refused(&component("", "(memory 1 1 shared) (func (export \"run\"))"));
    assert!(detail.contains("share between threads"), "{detail}");
}

#[test]
fn what_the_host_keeps_for_a_guest_is_bounded() {
    let evidence = run(&runs(CLOCK, "(loop (drop (call $host (i64.const 1))) (br 0)) unreachable"));
    let exhausted = TrapCause::Other("it holds more handles of its host than it may".to_owned());
    assert_eq!(evidence.ending, Ending::Trapped(exhausted));
    assert!(!evidence.trace.is_empty());
}

const POLL: &str = r#"
    (import "wasi:io/poll@0.2.0" (instance $poll
      (export "pollable" (type $pollable (sub resource)))
      (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))"#;

/// A command that passes lists to its host, or gets some. Its host functions use this memory.
fn with_lists(import: &str, lower: &str, ty: &str, body: &str) -> String {
    format!(
        r#"(component {import}
          (core module $libc (memory (export "memory") 129)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
          (core instance $libc (instantiate $libc))
          (core func $host (canon lower (func {lower})
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
          (core instance $given (export "host" (func $host)))
          (core module $main (import "host" "host" (func $host {ty}))
            (func (export "run") (result i32) {body} (i32.const 0)))
          (core instance $main (instantiate $main (with "host" (instance $given))))
          {RUN})"#
    )
}

#[test]
fn what_the_host_copies_for_one_call_is_bounded_by_the_memory_limit() {
    let random = r#"(import "wasi:random/random@0.2.0" (instance $random
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))"#;
    let lower = "$random \"get-random-bytes\"";
    let asks = |bytes: u64| {
        let body = format!("(call $host (i64.const {bytes}) (i32.const 0))");
        with_lists(random, lower, "(param i64 i32)", &body)
    };
    let limits = |limits: &mut Limits| limits.memory = ByteSize::kib(129 * 64);
    assert_eq!(within(&asks(1 << 20), limits).ending, Ending::Exited(0));
    let evidence = within(&asks(16 << 20), limits);
    let words = "requested len 16777216 exceeds limit 8454144".to_owned();
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Other(words)));

    let body = "(call $host (i32.const 0) (i32.const 0x20_0000) (i32.const 0))";
    let floods = with_lists(POLL, "$poll \"poll\"", "(param i32 i32 i32)", body);
    let evidence = within(&floods, limits);
    let Ending::Trapped(TrapCause::Other(words)) = &evidence.ending else { panic!("{evidence:?}") };
    assert!(words.contains("too much data"), "{words}");
}

#[test]
fn a_list_that_lies_outside_of_the_memory_is_refused_by_the_host() {
    let body = "(call $host (i32.const -4) (i32.const 9) (i32.const 0))";
    let evidence = run(&with_lists(POLL, "$poll \"poll\"", "(param i32 i32 i32)", body));
    let Ending::Trapped(TrapCause::Other(words)) = &evidence.ending else { panic!("{evidence:?}") };
    assert!(words.contains("out of bounds"), "{words}");
    assert!(!evidence.trace.is_empty());
}

#[test]
fn a_guest_that_waits_is_ended_where_it_waits() {
    let text = runs(CLOCK, "(call $block (call $host (i64.const 60_000_000_000))) unreachable");
    // On a slow machine the first deadlines may come before the guest has begun to wait.
    let waited = (0..12).any(|round| {
        let evidence = within(&text, |limits| limits.wall = Duration::from_millis(20 << round));
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Interrupted));
        assert_eq!(evidence.stopped_by_us, Some(StopReason::WallTime));
        !evidence.trace.is_empty()
    });
    assert!(waited, "its report never says where it was");
    let text = runs(CLOCK, "(call $block (call $host (i64.const 1_000_000))) (i32.const 0)");
    assert_eq!(run(&text).ending, Ending::Exited(0), "it wakes by itself");
}

#[test]
fn a_guest_that_computes_is_ended_wherever_it_does() {
    let endless = "(func $loops (loop (br 0))) (start $loops)
                   (func (export \"run\") (result i32) (i32.const 0))";
    for text in [component("", endless), runs("", "(loop (br 0)) unreachable")] {
        let evidence = within(&text, |limits| limits.wall = Duration::from_millis(20));
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Interrupted));
        assert_eq!(evidence.stopped_by_us, Some(StopReason::WallTime));
        let evidence = within(&text, |limits| limits.fuel = Some(100_000));
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::OutOfFuel));
        assert_eq!(evidence.usage.fuel, Some(100_000));
    }
}

#[test]
fn a_stop_before_the_start_is_seen() {
    let (program, stop) = (program(&runs("", "(loop (br 0)) unreachable")), StopHandle::new());
    stop.stop(StopReason::Cancelled);
    let image = load(&program).unwrap();
    let evidence = run_image(&*image, &program, &command(), &stop, &mut Deaf);
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Interrupted));
    assert_eq!(evidence.stopped_by_us, Some(StopReason::Cancelled));
}

#[test]
fn a_small_stack_leaves_room_for_the_host_functions() {
    // Endless recursion that calls the host at every step, so that the last call comes with no room left.
    let recurses = "(func $deeper (call $host (i32.const 0)) (call $deeper))
                    (func (export \"run\") (result i32) (call $deeper) (i32.const 0))";
    let text = component(RANDOM, recurses);
    let evidence = within(&text, |limits| limits.stack = ByteSize::kib(64));
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::StackOverflow));
}

#[test]
fn the_stack_pointer_of_the_module_that_ran_is_the_one_that_counts() {
    let other = "(core module $other (memory 1) (global $__stack_pointer (mut i32) (i32.const 64)))
                 (core instance (instantiate $other))";
    for (value, stack) in [(8, StackState::Overrun), (512, StackState::Sound)] {
        let main = format!(
            "(memory 1) (global i32 (i32.const 0))
             (global $__stack_pointer (mut i32) (i32.const 1024))
             (func (export \"run\") (result i32) (global.set 1 (i32.const {value}))
               (i32.load (i32.const -8)))"
        );
        let evidence = run(&component(other, &main));
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryOutOfBounds(stack)));
    }
    // Two instances of one module: nobody can say which of them ran.
    let twice = component(
        "(core module $twice (memory 1) (global $__stack_pointer (mut i32) (i32.const 64))
           (func (export \"fails\") (drop (i32.load (i32.const -8)))))
         (core instance $other (instantiate $twice)) (core instance $host (instantiate $twice))
         (alias core export $host \"fails\" (core func $host))",
        "(func (export \"run\") (result i32) (call $host (i32.const 0)) (i32.const 0))",
    );
    let twice = twice.replace("(func $host (param i32))", "(func $host)");
    let twice = twice.replace("(call $host (i32.const 0))", "(call $host)");
    let unseen = TrapCause::MemoryOutOfBounds(StackState::Unseen);
    assert_eq!(run(&twice).ending, Ending::Trapped(unseen));
}

//! Limits hold to the last byte, and each ends the guest under its own name.

use super::*;
use crate::channel::Stream;
use crate::evidence::{Basis, RefusedMemory, Step, StopReason, TrapCause};
use crate::quantity::ByteSize;
use crate::task::Capture;

const PAGE: u64 = 65_536;

fn within(memory: u64) -> Limits {
    Limits { memory: ByteSize::bytes(memory), ..limits() }
}

/// Grows two memories by a page in turn, and a table, until they hold seven pages and one element.
const GROWS: &str = r#"(module (memory $a 1) (memory $b 1) (table $t 0 funcref)
    (func (export "_start")
      (drop (memory.grow $a (i32.const 2)))
      (drop (memory.grow $b (i32.const 3)))
      (drop (table.grow $t (ref.null func) (i32.const 1)))))"#;

#[test]
fn memories_and_tables_together_stay_below_the_limit_exactly() {
    let needs = 7 * PAGE + 8;
    let evidence = run_task(&program(GROWS).limits(within(needs)), &command());
    assert_eq!(evidence.ending, Ending::Exited(0));
    assert_eq!((evidence.usage.peak_memory, evidence.refused_memory), (needs, None));

    let evidence = run_task(&program(GROWS).limits(within(needs - 1)), &command());
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryRefused));
    let (wanted, limit, basis) = (Some(needs), needs - 1, Basis::Seen);
    assert_eq!(evidence.refused_memory, Some(RefusedMemory { wanted, limit, basis }));
    assert_eq!(evidence.usage.peak_memory, 7 * PAGE);
}

#[test]
fn growth_beyond_a_maximum_of_its_own_is_for_the_guest_to_cope_with() {
    let text = "(module (memory 1 2) (func (export \"_start\")
         (if (i32.ne (memory.grow (i32.const 2)) (i32.const -1)) (then unreachable))
         (if (i32.ne (memory.grow (i32.const 1)) (i32.const 1)) (then unreachable))))";
    let evidence = run(text);
    assert_eq!(evidence.ending, Ending::Exited(0));
    assert_eq!((evidence.usage.peak_memory, evidence.refused_memory), (2 * PAGE, None));
}

#[test]
fn growth_beyond_what_addresses_reach_is_refused_like_any_other() {
    let evidence = run(&start("(drop (memory.grow (i32.const 65536)))"));
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryRefused));
    assert_eq!(evidence.refused_memory.unwrap().wanted, Some((1 << 32) + PAGE));
}

#[test]
fn a_memory_with_wide_addresses_has_the_same_limit() {
    let grows = |pages: &str| {
        format!(
            "(module (memory i64 1) (func (export \"_start\")
               (drop (memory.grow (i64.const {pages})))))"
        )
    };
    let evidence = run_task(&program(&grows("3")).limits(within(4 * PAGE)), &command());
    assert_eq!((evidence.ending, evidence.usage.peak_memory), (Ending::Exited(0), 4 * PAGE));
    for pages in ["4", "65536", "0x1_0000_0000_0000", "-1"] {
        let evidence = run_task(&program(&grows(pages)).limits(within(4 * PAGE)), &command());
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryRefused), "{pages}");
        assert_eq!(evidence.usage.peak_memory, PAGE);
    }
    let table = "(module (table $t i64 0 funcref) (func (export \"_start\")
                   (drop (table.grow $t (ref.null func) (i64.const 0x1000_0000_0000_0000)))))";
    assert_eq!(run(table).ending, Ending::Trapped(TrapCause::MemoryRefused));
    let declared = "(module (memory i64 0x1_0000_0000_0000) (func (export \"_start\")))";
    assert_eq!(refusal(&run(declared)).step, Step::FitLimits);
}

#[test]
fn a_module_that_needs_more_at_its_start_than_the_limit_never_starts() {
    for (text, words) in [
        ("(module (memory 32768) (func $f unreachable) (start $f))", "needs 2 GiB"),
        ("(module (memory 2048) (memory 2049) (func (export \"_start\")))", "needs 256.1 MiB"),
        ("(module (table 40000000 funcref) (func (export \"_start\")))", "needs 305.2 MiB"),
    ] {
        let evidence = run(text);
        assert_eq!(refusal(&evidence).step, Step::FitLimits);
        let detail = &refusal(&evidence).detail;
        assert!(detail.contains(words) && detail.contains("the limit is 256 MiB"), "{detail}");
    }
}

/// Writes `length` bytes from zero on to `stream`, `times` times.
fn writes(stream: u32, length: u32, times: u32) -> String {
    wasi(&format!(
        "(memory (export \"memory\") 2) (data (i32.const 8) \"\\00\\ff\\fe\\80\")
         (func (export \"_start\") (local $left i32)
           (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const {length}))
           (local.set $left (i32.const {times}))
           (loop $again
             (drop (call $fd_write (i32.const {stream}) (i32.const 0) (i32.const 1) (i32.const 100000)))
             (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))"
    ))
}

#[test]
fn output_is_binary_and_kept_where_that_was_asked_for() {
    let evidence = run(&writes(1, 4, 2));
    assert_eq!(evidence.output.stdout.unwrap(), b"\x00\xff\xfe\x80\x00\xff\xfe\x80");
    assert_eq!((evidence.usage.stdout_bytes, evidence.usage.stderr_bytes), (8, 0));
    let evidence = run(&writes(2, 4, 1));
    assert_eq!(evidence.output.stderr_tail, b"\x00\xff\xfe\x80");
    assert_eq!((evidence.usage.stdout_bytes, evidence.usage.stderr_bytes), (0, 4));
}

#[test]
fn output_up_to_the_limit_is_delivered_and_then_the_guest_ends() {
    let limits = Limits { output: ByteSize::bytes(10_001), ..limits() };
    for (stream, kept) in [(1, Stream::Stdout), (2, Stream::Stderr)] {
        let evidence =
            run_task(&program(&writes(stream, 4_000, 5)).limits(limits.clone()), &command());
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Interrupted));
        assert_eq!(evidence.stopped_by_us, Some(StopReason::Output));
        let (usage, output) = (evidence.usage, evidence.output);
        match kept {
            Stream::Stdout => {
                assert_eq!((usage.stdout_bytes, output.stdout.unwrap().len()), (10_001, 10_001));
            }
            Stream::Stderr => {
                assert_eq!((usage.stderr_bytes, output.stderr_tail.len()), (10_001, 10_001));
            }
        }
    }
    let exact = Limits { output: ByteSize::bytes(20_000), ..limits };
    let evidence = run_task(&program(&writes(1, 4_000, 5)).limits(exact), &command());
    assert_eq!((evidence.ending, evidence.stopped_by_us), (Ending::Exited(0), None));
}

#[test]
fn much_output_flows_through_and_is_counted_to_the_byte() {
    let (length, times) = (65_536, 1_600);
    let all = u64::from(length) * u64::from(times);
    let program = program(&writes(1, length, times))
        .limits(Limits { output: ByteSize::bytes(all), ..limits() });
    let task = Task { stdout: Capture::Discard, ..command() };
    let mut heard = 0;
    let mut ear = |event: Event<'_>| {
        if let Event::Stdout(bytes) = event {
            heard += bytes.len() as u64;
        }
    };
    let image = load(&program).unwrap();
    let evidence = run_image(&*image, &program, &task, &StopHandle::new(), &mut ear);
    assert_eq!(evidence.ending, Ending::Exited(0));
    assert_eq!((heard, evidence.usage.stdout_bytes, evidence.output.stdout), (all, all, None));
}

#[test]
fn both_streams_are_heard_in_the_order_in_which_they_were_written() {
    let write = |stream: u32| {
        format!(
            "(drop (call $fd_write (i32.const {stream}) (i32.const 0) (i32.const 1) (i32.const 16)))"
        )
    };
    let body = [1, 2, 2, 1, 2].map(write).concat();
    let text = wasi(&format!(
        "(memory (export \"memory\") 1) (data (i32.const 4) \"\\01\")
         (func (export \"_start\") {body})"
    ));
    let program = program(&text);
    let image = load(&program).unwrap();
    let mut heard = String::new();
    run_image(&*image, &program, &command(), &StopHandle::new(), &mut letters(&mut heard));
    assert_eq!(heard, "oeeoe");
}

#[test]
fn fuel_is_counted_where_it_is_limited() {
    let spins = start("(loop $again (br $again))");
    let limited = |fuel| Limits { fuel: Some(fuel), ..limits() };
    let evidence = run_task(&program(&spins).limits(limited(10_000)), &command());
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::OutOfFuel));
    assert_eq!(evidence.usage.fuel, Some(10_000));
    let evidence = run_task(&program(&start("nop")).limits(limited(10_000)), &command());
    assert_eq!(evidence.ending, Ending::Exited(0));
    assert!(evidence.usage.fuel.is_some_and(|used| (1..100).contains(&used)));
    assert_eq!(run(&start("nop")).usage.fuel, None);
}

#[test]
fn a_task_can_lift_a_fuel_limit_but_not_bring_the_first_one() {
    let counted = program(&start("nop")).limits(Limits { fuel: Some(1), ..limits() });
    let evidence = run_task(&counted, &command().limits(limits()));
    assert_eq!(evidence.ending, Ending::Exited(0));
    let task = command().limits(Limits { fuel: Some(1_000), ..limits() });
    let evidence = run_task(&program(&start("nop")), &task);
    assert_eq!(refusal(&evidence).step, Step::Accept);
    assert!(refusal(&evidence).detail.contains("load it with a fuel limit"));
}

#[test]
fn a_large_stack_is_there_whatever_thread_the_caller_runs_on() {
    // Each level takes a few words of the engine's stack, so this needs some tens of MiB.
    let text = "(module (func $f (param i32) (if (local.get 0)
          (then (call $f (i32.sub (local.get 0) (i32.const 1))))))
        (func (export \"_start\") (call $f (i32.const 500000))))";
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let evidence = |stack| {
        let limits = Limits { stack: ByteSize::mib(stack), ..limits() };
        move || run_task(&program(text).limits(limits), &command()).ending
    };
    let ending = small.spawn(evidence(256)).unwrap().join().unwrap();
    assert_eq!(ending, Ending::Exited(0));
    assert_eq!(evidence(1)(), Ending::Trapped(TrapCause::StackOverflow));
}

//! Every way in which a module can end, each told from the others.

use sandtrap_protocol::{FromGuest, PanicReport, VERSION, encode};

use super::*;
use crate::evidence::{Outside, Source, StackState, StopReason, TrapCause};
use crate::quantity::ByteSize;
use crate::wasm::engines::{Configuration, GuestEngine};
use crate::wasm::pool::Memory;

#[track_caller]
fn assert_trap(text: &str, expected: &TrapCause) {
    let evidence = run(text);
    assert_eq!(evidence.ending, Ending::Trapped(expected.clone()), "{text}");
    assert_eq!((evidence.source, evidence.stopped_by_us), (Source::Trap, None));
}

#[test]
fn wide_addresses_beyond_the_memory_are_told_from_a_used_up_stack() {
    for (pointer, stack) in [(-16, StackState::Overrun), (512, StackState::Sound)] {
        let text = format!(
            "(module (memory i64 1) (global $__stack_pointer (mut i64) (i64.const 1024))
               (func (export \"_start\") (global.set 0 (i64.const {pointer}))
                 (drop (i32.load (i64.const -16)))))"
        );
        assert_trap(&text, &TrapCause::MemoryOutOfBounds(stack));
    }
}

#[test]
fn every_trap_has_a_cause_of_its_own() {
    for (body, cause) in [
        ("unreachable", TrapCause::Unreachable),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", TrapCause::DivisionByZero),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", TrapCause::IntegerOverflow),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", TrapCause::BadConversion),
        ("(drop (i32.atomic.load (i32.const 1)))", TrapCause::Misaligned),
        ("(drop (i32.load (i32.const 65536)))", TrapCause::MemoryOutOfBounds(StackState::Sound)),
        (
            "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))",
            TrapCause::Other("an atomic wait on memory that no other thread shares".to_owned()),
        ),
    ] {
        assert_trap(&start(body), &cause);
    }
    let table = |body: &str| {
        format!(
            "(module (type $f (func)) (table 2 funcref) (elem (i32.const 1) $other)
               (func $other (param i32)) (func (export \"_start\") {body}))"
        )
    };
    for (body, cause) in [
        ("(call_indirect (type $f) (i32.const 0))", TrapCause::NullCall),
        ("(call_indirect (type $f) (i32.const 1))", TrapCause::BadSignature),
        ("(call_indirect (type $f) (i32.const 2))", TrapCause::TableOutOfBounds),
        ("(drop (table.get 0 (i32.const 2)))", TrapCause::TableOutOfBounds),
    ] {
        assert_trap(&table(body), &cause);
    }
}

#[test]
fn recursion_without_end_is_a_stack_overflow() {
    assert_trap("(module (func $f (export \"_start\") call $f))", &TrapCause::StackOverflow);
}

#[test]
fn a_stack_in_linear_memory_is_seen_to_be_overrun() {
    // As LLVM does it: a frame is taken from the pointer, and the pointer wraps around below zero.
    let recursion = "(func $f (local $frame i32)
         (global.set $sp (local.tee $frame (i32.sub (global.get $sp) (i32.const 4096))))
         (i32.store (local.get $frame) (i32.const 1))
         call $f)
       (func (export \"_start\") call $f)";
    let overrun = TrapCause::MemoryOutOfBounds(StackState::Overrun);
    let rust = "(@producers (processed-by \"rustc\" \"1.90.0\"))";
    for global in [
        &*format!("(global $sp (mut i32) (i32.const 65536)) {rust}"),
        "(global $one (mut i32) (i32.const 5)) (global $sp (export \"__stack_pointer\") (mut i32) (i32.const 65536))",
    ] {
        assert_trap(&format!("(module (memory 2) {global} {recursion})"), &overrun);
    }
    let wild = "(func (export \"_start\") (drop (i32.load (i32.const 0x7fffffff))))";
    let text = format!("(module (memory 2) (global (mut i32) (i32.const 65536)) {rust} {wild})");
    assert_trap(&text, &TrapCause::MemoryOutOfBounds(StackState::Sound));
}

#[test]
fn a_global_of_another_kind_is_not_taken_for_a_stack_pointer() {
    let wild = "(func (export \"_start\") (global.set 0 (i32.add (global.get 0) (i32.const 64)))
         (drop (i32.load (i32.const 0x7fffffff))))";
    for global in ["(global $heap (mut i32) (i32.const 1024))", "(global (mut i32) (i32.const 1))"]
    {
        let text = format!("(module (memory 1) {global} {wild})");
        assert_trap(&text, &TrapCause::MemoryOutOfBounds(StackState::Unseen));
    }
}

#[test]
fn every_exit_code_is_passed_on_as_it_is() {
    let text = "(module (import \"wasi_snapshot_preview1\" \"args_sizes_get\"
         (func $sizes (param i32 i32) (result i32)))
       (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))
       (memory (export \"memory\") 1)
       (func (export \"_start\")
         (drop (call $sizes (i32.const 0) (i32.const 4)))
         (call $proc_exit (i32.sub (i32.load (i32.const 0)) (i32.const 1)))))";
    let program = program(text);
    let image = load(&program).unwrap();
    for code in 0..=255 {
        let task = Task::command(vec!["x"; code as usize]);
        let evidence = run_image(&*image, &program, &task, &StopHandle::new(), &mut Deaf);
        assert_eq!(evidence.ending, Ending::Exited(code));
    }
    for code in [256, -1, i32::MAX, i32::MIN] {
        let text =
            wasi(&format!("(func (export \"_start\") (call $proc_exit (i32.const {code})))"));
        assert_eq!(run(&text).ending, Ending::Exited(code));
    }
}

#[test]
fn a_trap_tells_where_it_was() {
    let text = "(module (func $inner unreachable) (func (export \"_start\") call $inner))";
    let trace = run(text).trace;
    let functions: Vec<&str> = trace.iter().map(|frame| frame.function.as_str()).collect();
    assert_eq!(functions, ["inner", "wasm function 1"]);
}

#[test]
fn a_start_function_that_traps_is_a_trap() {
    let evidence = run("(module (func $f unreachable) (start $f) (func (export \"_start\")))");
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Unreachable));
    let evidence =
        run("(module (memory 1) (data (i32.const 65536) \"x\") (func (export \"_start\")))");
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::MemoryOutOfBounds(StackState::Sound)));
}

#[test]
fn a_guest_that_ran_in_its_start_function_is_not_called_unstarted() {
    // It writes, and then calls what the engine has no answer to.
    let prints = "(module
         (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
         (import \"wasi_unstable\" \"sock_shutdown\" (func $shut (param i32 i32) (result i32)))
         (memory (export \"memory\") 1) (data (i32.const 4) \"\\01\")
         (func $f
           (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
           (drop (call $shut (i32.const 0) (i32.const 1))))
         (start $f) (func (export \"_start\")))";
    let no_memory = wasi(
        "(func $f (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1)
           (i32.const 16)))) (start $f) (func (export \"_start\"))",
    );
    for (text, written, words) in [
        (prints, 1, "sock_shutdown unsupported"),
        (&no_memory, 0, "it calls WASI and exports no memory"),
    ] {
        let evidence = run(text);
        assert_eq!(evidence.usage.stdout_bytes, written);
        let Ending::Trapped(TrapCause::Other(said)) = &evidence.ending else {
            panic!("it ended with {:?}", evidence.ending)
        };
        assert!(said.contains(words) && !said.contains('\n'), "{said}");
        assert_eq!(evidence.trace[0].function, "f");
    }
}

/// The reference implementation gives 64 MiB at most, and makes them all before it looks where they are to go.
#[test]
fn a_guest_may_fill_its_whole_memory_with_randomness_and_not_a_byte_more() {
    let fill = |at: i32, length: i32| {
        run(&format!(
            "(module
               (import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))
               (memory (export \"memory\") 1025)
               (func (export \"_start\")
                 (if (call $random (i32.const {at}) (i32.const {length})) (then unreachable))
                 (if (i64.eqz (i64.load (i32.const 67174392))) (then unreachable))))"
        ))
        .ending
    };
    assert_eq!(fill(0, 1025 * 65_536), Ending::Exited(0));
    for (at, length) in [(1, 1025 * 65_536), (0, -1), (-1, 2), (1025 * 65_536, 1)] {
        let fault = Ending::Trapped(TrapCause::MemoryOutOfBounds(StackState::Sound));
        assert_eq!(fill(at, length), fault, "{length} from {at}");
    }
}

#[test]
fn a_bad_pointer_given_to_a_host_function_is_as_bad_as_one_that_is_used() {
    let write = |at: i32| {
        wasi(&format!(
            "(memory (export \"memory\") 1) (func (export \"_start\")
               (drop (call $fd_write (i32.const 1) (i32.const {at}) (i32.const 1) (i32.const 0))))"
        ))
    };
    let sound = TrapCause::MemoryOutOfBounds(StackState::Sound);
    assert_trap(&write(-8), &sound);
    assert_trap(&write(2), &TrapCause::Misaligned);
    assert_trap(&sends(b"", 65_530, 100), &sound);
    assert_trap(&sends(b"", -1, 100), &sound);
}

/// A module that says these bytes over its channel.
fn sends(bytes: &[u8], at: i32, length: usize) -> String {
    let data: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        "(module (import \"sandtrap\" \"send\" (func $send (param i32 i32)))
           (memory (export \"memory\") 1) (data (i32.const 16) \"{data}\")
           (func (export \"_start\") (call $send (i32.const {at}) (i32.const {length}))))"
    )
}

#[test]
fn the_channel_carries_testimony() {
    let panic = PanicReport { message: "boom".to_owned(), place: None, fatal: true };
    let mut bytes = encode(&FromGuest::Hello { version: VERSION }).unwrap();
    bytes.extend(encode(&FromGuest::Panic(panic.clone())).unwrap());
    let evidence = run(&sends(&bytes, 16, bytes.len()));
    assert_eq!(evidence.ending, Ending::Exited(0));
    assert_eq!(evidence.testimony.panic, Some(panic));
}

#[test]
fn a_breach_of_the_channel_ends_the_guest() {
    for (text, words) in [
        (sends(&[0xff; 16], 16, 16), "no frame"),
        (sends(b"", 16, 60_000), "no frame"),
        (sends(b"", 16, u32::MAX as usize), "4294967295 bytes sent over the channel at once"),
    ] {
        let evidence = run(&text);
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Interrupted));
        assert_eq!(evidence.stopped_by_us, Some(StopReason::Protocol));
        let broken = evidence.testimony.broken.unwrap();
        assert!(broken.contains(words), "{broken}");
    }
}

#[test]
fn what_is_said_over_the_channel_counts_against_the_result_limit() {
    let hello = encode(&FromGuest::Hello { version: VERSION }).unwrap();
    let text = sends(&hello, 16, hello.len());
    let few = Limits { result: ByteSize::bytes(1), ..limits() };
    let evidence = run_task(&program(&text).limits(few), &command());
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Interrupted));
    assert_eq!(evidence.stopped_by_us, Some(StopReason::Result));
}

#[test]
fn a_host_function_that_panics_ends_the_guest_and_not_the_caller() {
    let program = program(
        "(module (import \"host\" \"panics\" (func $f)) (func (export \"_start\") call $f))",
    );
    let wall = WasmWall::new(Tools::default(), 80);
    let wanted =
        Configuration { dumps: false, ..Configuration::new(program.policy(), Memory::Pool(80)) };
    let engine = wall.engines.get(wanted).unwrap();
    let mut linker = engine.linker.clone();
    let panics = || -> () { panic!("a host function that panics, as a test") };
    linker.func_wrap("host", "panics", panics).unwrap();
    let (engine, configuration) = (engine.engine.clone(), engine.configuration);
    let components = Default::default();
    wall.engines.put(GuestEngine { engine, linker, components, configuration });
    let image = wall.image(&program, &StopHandle::new()).unwrap();
    for _ in 0..2 {
        let evidence = run_image(&image, &program, &command(), &StopHandle::new(), &mut Deaf);
        let words = "host panic: a host function that panics, as a test".to_owned();
        assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Other(words)));
    }
}

#[test]
fn where_a_guest_reached_out_of_its_memory_is_told_with_the_size_of_that() {
    let body = "(drop (i32.load offset=16 (i32.const 0x20000)))";
    let evidence = run(&start(body));
    assert_eq!(evidence.outside, Some(Outside { address: 0x20010, memory: 0x10000 }));
    assert_eq!(run(&start("unreachable")).outside, None);
}

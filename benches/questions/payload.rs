//! What does it cost to hand over a large result, beside the bare floors: one copy within warm memory, one into fresh
//! memory, and a pipe?
//!
//! Timed is from the call to the moment when the caller has the bytes before him. That they are the right ones is
//! found out afterwards, by reading one of every page: no floor does that. Only where pages are mapped when they are
//! first read, which is so with memory that a process shares, is that a part of what is timed.

use std::hint::black_box;
use std::io::{Read as _, Write as _, pipe};
use std::thread;
use std::time::{Duration, Instant};

use sandtrap::{
    ByteSize, Event, Limits, Payload, Payloads, Program, Report, Reuse, Runtime, StopHandle, Task,
    Trust, Wall,
};
use sandtrap_benches::{Case, in_turns, tell_gain, tell_ratio};
use sandtrap_protocol::{Codec, FromGuest, VERSION, encode};
use sandtrap_tests::guests;

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
const PAGE: usize = 4096;

/// Where the module's value begins.
const AT: usize = MIB;

pub(crate) fn ask() {
    kept_module(100 * MIB);
    fresh_module(100 * MIB);
    process("100MiB", 100 * MIB);
    process("1GiB", GIB);
}

fn memcpy<'a>(from: &'a [u8], to: &'a mut [u8]) -> Case<'a> {
    Case::new("memcpy-warm", move || to.copy_from_slice(black_box(from)))
}

fn limits(bytes: usize) -> Limits {
    let (ample, room) = (Duration::from_secs(600), ByteSize::mib(64));
    let bytes = ByteSize::bytes(bytes as u64 + room.as_u64());
    let memory = ByteSize::bytes(2 * bytes.as_u64());
    Limits { wall: ample, cpu: ample, result: bytes, memory, ..Limits::default() }
}

/// The module below numbers its answers in one byte of a frame.
const MOST_CALLS: u32 = 100;

/// A module that makes its value once, and places it in each of its calls.
fn module(bytes: usize) -> String {
    let text = |frame: &FromGuest| {
        encode(frame)
            .expect("it is short")
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect::<String>()
    };
    let hello = text(&FromGuest::Hello { version: VERSION });
    let placed = FromGuest::Placed { at: AT as u64, length: bytes as u64 };
    let placed_length = encode(&placed).expect("it is short").len();
    let placed = text(&placed);
    let result = text(&FromGuest::Return { id: 0, codec: Codec::Raw });
    let pages = (AT + bytes).div_ceil(64 * 1024);
    format!(
        r#"(module
  (import "sandtrap" "send" (func $send (param i32 i32)))
  (import "sandtrap" "receive" (func $receive (param i32 i32) (result i32)))
  (memory (export "memory") {pages})
  (data (i32.const 0) "{hello}") (data (i32.const 16) "{placed}") (data (i32.const 48) "{result}")
  (global $call (mut i32) (i32.const 0))
  (func (export "_start")
    (memory.fill (i32.const {AT}) (i32.const 7) (i32.const {bytes}))
    (call $send (i32.const 0) (i32.const 6))
    (call $answer))
  (func $answer (export "sandtrap_serve")
    (global.set $call (i32.add (global.get $call) (i32.const 1)))
    (i32.store8 (i32.const 53) (global.get $call))
    (call $send (i32.const 16) (i32.const {placed_length}))
    (call $send (i32.const 48) (i32.const 7))))"#
    )
}

fn checked(report: Report, bytes: usize) -> Report {
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    let result = report.output.result.as_ref().and_then(Payload::as_bytes).expect("a result");
    assert_eq!((result.len(), touched(result)), (bytes, 7 * bytes.div_ceil(PAGE)));
    report
}

/// Reads a byte of every page.
fn touched(bytes: &[u8]) -> usize {
    bytes.iter().step_by(PAGE).map(|byte| usize::from(*byte)).sum()
}

/// How long it takes until the caller has the bytes.
fn handed_over(bytes: usize, run: impl FnOnce() -> Report) -> Duration {
    let began = Instant::now();
    let report = run();
    black_box(report.output.result.as_ref().and_then(Payload::as_bytes));
    let took = began.elapsed();
    checked(report, bytes);
    took
}

fn load(bytes: usize) -> sandtrap::Loaded {
    let program = Program::module("values", module(bytes).into_bytes()).trust(Trust::Own);
    Runtime::new().and_then(|it| it.load(program.limits(limits(bytes)))).expect("it loads")
}

fn kept_module(bytes: usize) {
    let loaded = load(bytes);
    let keep = || loaded.keep(Reuse::default()).expect("it can be kept");
    let (mut kept, mut calls) = (keep(), 0);
    let task = Task::invoke_with("f", Payload::raw([]));
    let run = || {
        if calls == MOST_CALLS {
            (kept, calls) = (keep(), 0);
            checked(kept.run(&task), bytes);
        }
        calls += 1;
        handed_over(bytes, || kept.run(&task))
    };
    let (from, mut to) = (vec![7; bytes], vec![1; bytes]);
    let question = "payload/wasm-warm/100MiB";
    let cases = [Case::timed("sandtrap", run), memcpy(&from, &mut to)];
    let [subject, floor] = in_turns(question, cases);
    tell_ratio(question, &subject, &floor, 1.1);
}

fn fresh_module(bytes: usize) {
    let guest = load(bytes);
    let task = Task::invoke_with("f", Payload::raw([]));
    let run = || handed_over(bytes, || guest.run(&task));
    let from = vec![7_u8; bytes];
    let to_vec = || {
        let began = Instant::now();
        let copy = black_box(&from).to_vec();
        black_box(&copy);
        began.elapsed()
    };
    let question = "payload/wasm-fresh/100MiB";
    let cases = [Case::timed("sandtrap", run), Case::timed("to_vec", to_vec)];
    let [subject, floor] = in_turns(question, cases);
    tell_ratio(question, &subject, &floor, 1.0);
}

/// From the moment when the process says that the value is there, to the moment when all of it is its caller's.
fn process(size: &str, bytes: usize) {
    let program = Program::file(guests::native("calls")).within(Wall::Native);
    let program = program.limits(limits(bytes)).payloads(Payloads::Shared);
    let guest = Runtime::new().and_then(|it| it.load(program)).expect("it loads");
    let run = || {
        let mut made = None;
        let mut ear = |event: Event<'_>| {
            if matches!(event, Event::Log { .. }) {
                made = Some(Instant::now());
            }
        };
        let task = Task::invoke("makes", &bytes).expect("a number");
        let report = checked(guest.run_with(&task, &StopHandle::new(), &mut ear), bytes);
        let took = made.expect("it says so").elapsed();
        drop(report);
        took
    };
    let (from, mut to) = (vec![7; bytes], vec![1; bytes]);
    let piped = || {
        let (mut reader, mut writer) = pipe().expect("a pipe");
        thread::scope(|scope| {
            let from = &from;
            scope.spawn(move || writer.write_all(from).expect("it is read"));
            let (mut buffer, begin) = (vec![0; 64 * 1024], Instant::now());
            while reader.read(&mut buffer).expect("it is written") > 0 {}
            begin.elapsed()
        })
    };
    let question = format!("payload/native/{size}");
    let cases = [Case::timed("sandtrap", run), memcpy(&from, &mut to), Case::timed("pipe", piped)];
    let [subject, floor, pipe] = in_turns(&question, cases);
    tell_gain(&format!("{question}/memcpy"), &subject, &floor, 0.85);
    tell_gain(&format!("{question}/pipe"), &subject, &pipe, 5.0);
}

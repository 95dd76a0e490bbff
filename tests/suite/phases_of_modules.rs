//! Where in its life a module dies, and how: the phases of a process (`phases.rs`), as far as a module has them, with every way
//! in which a module can die. Each task has one report, the right one, and nobody beside it notices anything.
//!
//! Nine of the ten phases are here. One is not, `idle`: a module runs only while it is called, on the thread of whoever calls it.
//! Between two calls none of its instructions is executed, so there is nothing of which it could die, and nobody outside who
//! could kill it alone.

use std::time::Duration;

use sandtrap::{
    ByteSize, Limits, Loaded, Order, Payload, Permissions, PoolSettings, Program, Report, Runtime,
    Task,
};

use super::phases::{PHASES, Phase, Said, assert_right_while_drained, host_that_waits};

/// Ways to die, their instructions, and what they are called in whatever phase.
const KINDS: [(&str, &str, &str); 12] = [
    ("outside", "(drop (i32.load (i32.const -4)))", "crashed.memory-fault"),
    ("nobody", "(call_indirect (type $none) (i32.const 0))", "crashed.bad-call"),
    ("divides", "(drop (i32.div_u (i32.const 1) (i32.const 0)))", "crashed.arithmetic"),
    ("converts", "(drop (i32.trunc_f32_s (f32.const nan)))", "crashed.arithmetic"),
    ("aborts", "unreachable", "crashed.abort"),
    ("recurses", "(drop (call $again))", "crashed.stack-overflow"),
    ("grows", GROWS, "crashed.out-of-memory"),
    ("throws", "(throw $thrown)", "failed.panic"),
    ("spins", "(loop $on (br $on))", "stopped.wall-time"),
    ("burns", "(loop $on (br $on))", "stopped.fuel"),
    ("exit-3", "(call $exit (i32.const 3))", "failed.exit"),
    ("exit-0", "(call $exit (i32.const 0))", "completed"),
];

const GROWS: &str =
    "(loop $on (br_if $on (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";

/// A module that speaks the channel by hand, so that a phase may end anywhere. Frames come to 65536; what it answers is at
/// 2097152.
fn module(phase: &str, way: &str) -> String {
    let dies_in = |now: &str| if now == phase { "(call $die)" } else { "" };
    let only_in =
        |now: &str, does: &str| if now == phase { does.to_owned() } else { String::new() };
    let [boot, decode, run, teardown] = ["boot", "decode", "run", "teardown"].map(dies_in);
    let handshake = only_in("handshake", "(call $send (i32.const 0) (i32.const 3)) (call $die)");
    let receive = only_in("receive", "(call $hear (i32.const 65536) (i32.const 5000)) (call $die)");
    let encode = only_in("encode", "(call $answer (i32.const 0)) (call $die)");
    let send = only_in("send", "(call $answer (i32.const 349525)) (call $die)");
    // That there will be no more calls may be said before the reply.
    let drain = only_in(
        "drain",
        "(call $send (i32.const 32) (i32.const 12))
         (loop $on (br_if $on (i32.ne (call $frame) (i32.const 2)))) (call $die)",
    );
    format!(
        r#"(module
        (type $none (func))
        (import "sandtrap" "send" (func $send (param i32 i32)))
        (import "sandtrap" "receive" (func $receive (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 64)
        (table 1 funcref)
        (tag $thrown)
        (data (i32.const 0) "\02\00\00\00\00\01")
        (data (i32.const 16) "\01\00\00\00\0b")
        (data (i32.const 32) "\08\00\00\00\0a\01\00\04wait")
        (func $again (result i32) (i32.add (call $again) (i32.const 1)))
        (func $die {way})
        (func $boot {boot})
        (start $boot)
        (func $hear (param $to i32) (param $count i32) (local $got i32)
            (block $over (loop $on
                (br_if $over (i32.eqz (local.get $count)))
                (local.set $got (call $receive (local.get $to) (local.get $count)))
                (br_if $over (i32.eqz (local.get $got)))
                (local.set $to (i32.add (local.get $to) (local.get $got)))
                (local.set $count (i32.sub (local.get $count) (local.get $got)))
                (br $on))))
        (func $frame (result i32)
            (i32.store (i32.const 64) (i32.const 0))
            (call $hear (i32.const 64) (i32.const 4))
            (if (i32.eqz (i32.load (i32.const 64))) (then (return (i32.const 4))))
            (call $hear (i32.const 65536) (i32.load (i32.const 64)))
            (i32.load8_u (i32.const 65536)))
        (func $answer (param $bytes i32)
            (i32.store (i32.const 80) (i32.const 1048579))
            (i32.store8 (i32.const 84) (i32.const 5))
            (i32.store8 (i32.const 85) (i32.load8_u (i32.const 65537)))
            (call $send (i32.const 80) (i32.const 7))
            (call $send (i32.const 2097152) (local.get $bytes)))
        (func (export "_start") (local $kind i32)
            {handshake}
            (call $send (i32.const 0) (i32.const 6))
            (drop (call $frame))
            {receive}
            (loop $on
                (local.set $kind (call $frame))
                (if (i32.eq (local.get $kind) (i32.const 1)) (then
                    {decode}
                    (call $send (i32.const 16) (i32.const 5))
                    {run} {drain} {encode} {send}
                    (call $answer (i32.const 1048576))))
                (br_if $on (i32.ne (local.get $kind) (i32.const 4))))
            {teardown}))"#
    )
}

fn load(runtime: &Runtime, phase: &str, (kind, way, _): (&str, &str, &str)) -> Loaded {
    // Only who spins runs into one of these.
    let wall = Duration::from_millis(if kind == "spins" { 300 } else { 100_000 });
    let fuel = (kind == "burns").then_some(10_000_000);
    let limits = Limits { wall, fuel, memory: ByteSize::mib(64), ..Limits::default() };
    let mut permissions = Permissions::default();
    if phase == "drain" {
        permissions.grant_host_function("wait");
    }
    let program = Program::module("dies-in", module(phase, way).as_bytes());
    runtime.load(program.limits(limits).permissions(permissions)).expect("it is a module")
}

/// A call whose input is longer than what it hears at once.
fn call() -> Order {
    Order::new(Task::invoke_with("f", Payload::raw(vec![1; 1 << 20])))
}

fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

#[test]
fn p01_p07_s14_a_module_is_told_right_in_whatever_phase_it_dies_and_of_whatever() {
    let runtime = Runtime::new().unwrap();
    let innocents = load(&runtime, "never", KINDS[0]).pool(PoolSettings::with_workers(2));
    let mut wrong = Vec::new();
    for phase in &PHASES {
        for kind in KINDS {
            let pool = load(&runtime, phase.name, kind).pool(PoolSettings::with_workers(1));
            let beside: Vec<_> = (0..2).map(|_| innocents.submit(call()).unwrap()).collect();
            let report = pool.run(call());
            let expected = phase.expected(kind.0, kind.2);
            if label(&report) != expected {
                let (name, verdict) = (phase.name, &report.verdict);
                wrong.push(format!("{name} {}: {verdict} instead of {expected}", kind.0));
            }
            for ticket in beside {
                assert_eq!(label(&ticket.wait()), "completed", "beside {} {}", phase.name, kind.0);
            }
            assert_eq!(pool.status().finished, 1, "{} {}", phase.name, kind.0);
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn p01_p07_s14_a_module_that_dies_while_its_pool_is_drained_is_told_right_whatever_it_dies_of() {
    let (runtime, called, lets) = host_that_waits();
    let drains = Phase { name: "drain", said: Said::Nothing };
    // Who spins may run out of its time while it waits for its host.
    for kind in KINDS.into_iter().filter(|(kind, ..)| *kind != "spins") {
        let pool = load(&runtime, drains.name, kind).pool(PoolSettings::with_workers(1));
        let expected = (kind.0, drains.expected(kind.0, kind.2));
        assert_right_while_drained(&pool, (call(), call()), (&called, &lets), expected);
    }
}

//! Where in its life a process dies, and how: every phase with every way. Each task has one report, the right one, and
//! nobody beside it notices anything.

use std::time::Duration;

use sandtrap::{
    ByteSize, Limits, Loaded, Order, Payload, Permissions, Pool, PoolSettings, Program, Report,
    Runtime, Task,
};
use sandtrap_tests::guests;

/// The phases of a fresh process that is called.
const PHASES: [Phase; 8] = [
    Phase { name: "boot", said: Said::Nothing },
    Phase { name: "handshake", said: Said::Part },
    Phase { name: "receive", said: Said::Nothing },
    Phase { name: "decode", said: Said::Nothing },
    Phase { name: "run", said: Said::Nothing },
    Phase { name: "encode", said: Said::Part },
    Phase { name: "send", said: Said::Part },
    Phase { name: "teardown", said: Said::All },
];

struct Phase {
    name: &'static str,
    said: Said,
}

/// What of its answer, or its greeting, a guest has said when it dies.
#[derive(Clone, Copy, PartialEq)]
enum Said {
    Nothing,
    /// The frame is torn.
    Part,
    All,
}

/// Ways to die, and what they are called in whatever phase.
const KINDS: [(&str, &str); 15] = [
    ("wild-read", "crashed.memory-fault"),
    ("thread-read", "crashed.memory-fault"),
    ("null-call", "crashed.bad-call"),
    ("divide-by-zero", "crashed.arithmetic"),
    ("undecodable", "crashed.illegal-instruction"),
    ("recursion", "crashed.stack-overflow"),
    ("abort", "crashed.abort"),
    ("closes", "crashed.abort"),
    ("hog", "crashed.out-of-memory"),
    ("kill-itself", "crashed.killed"),
    ("terminate-itself", "crashed.killed"),
    ("refused", "denied.syscall"),
    ("sleeps", "stopped.wall-time"),
    ("exit-3", "failed.exit"),
    ("exit-0", "completed"),
];

/// How a task ends. Only an exit depends on what was said before: without an answer it is no orderly end, and within a frame
/// none at all.
fn expected(phase: &Phase, kind: &str, label: &'static str) -> &'static str {
    match (kind, phase.said) {
        ("exit-0", Said::Nothing | Said::Part) | ("exit-3", Said::Part) => "crashed.protocol",
        _ => label,
    }
}

fn load(runtime: &Runtime, phase: &str, kind: &str) -> Loaded {
    let mut permissions = Permissions::default();
    permissions.grant_env("PHASE", phase);
    permissions.grant_env("KIND", kind);
    // Only who sleeps runs into it.
    let wall = Duration::from_millis(if kind == "sleeps" { 300 } else { 100_000 });
    let limits = Limits { wall, memory: ByteSize::mib(64), ..Limits::default() };
    let program = Program::file(guests::native("dies_in")).permissions(permissions).limits(limits);
    runtime.load(program).expect("the guest is built")
}

/// A call whose input is longer than what a socket takes at once.
fn call() -> Order {
    Order::new(Task::invoke_with("f", Payload::raw(vec![1; 1 << 20])))
}

fn fine() -> Order {
    Order::new(Task::invoke_with("fine", Payload::raw(Vec::new())))
}

fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

/// What was wrong with one cell of the matrix: the task itself, or one of those beside it.
fn wrong(
    pool: &Pool,
    innocents: &Pool,
    phase: &Phase,
    kind: &str,
    label_of_kind: &'static str,
) -> Vec<String> {
    let beside: Vec<_> = (0..2).map(|_| innocents.submit(fine()).expect("there is room")).collect();
    let report = pool.run(call());
    let expected = expected(phase, kind, label_of_kind);
    let mut wrong = Vec::new();
    if label(&report) != expected {
        wrong.push(format!("{} {kind}: {} instead of {expected}", phase.name, report.verdict));
    }
    for ticket in beside {
        let report = ticket.wait();
        if label(&report) != "completed" {
            wrong.push(format!("beside {} {kind}: {}", phase.name, report.verdict));
        }
    }
    wrong
}

fn assert_right(phases: &[Phase]) {
    let runtime = Runtime::new().unwrap();
    let innocents = load(&runtime, "never", "never").pool(PoolSettings::with_workers(2));
    let mut all = Vec::new();
    for phase in phases {
        for (kind, label) in KINDS {
            let pool = load(&runtime, phase.name, kind).pool(PoolSettings::with_workers(1));
            all.extend(wrong(&pool, &innocents, phase, kind, label));
            assert_eq!(pool.status().finished, 1, "{} {kind}", phase.name);
        }
    }
    assert_eq!(all, Vec::<String>::new());
    assert_eq!(innocents.status().finished, (phases.len() * KINDS.len() * 2) as u64);
}

#[test]
fn p01_s14_who_dies_before_its_call_is_there_is_told_right_whatever_it_dies_of() {
    assert_right(&PHASES[..4]);
}

#[test]
fn p01_p07_s14_who_dies_at_work_or_while_it_answers_is_told_right_whatever_it_dies_of() {
    assert_right(&PHASES[4..]);
}

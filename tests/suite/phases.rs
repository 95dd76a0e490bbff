//! Where in its life a process dies, and how: every phase with every way. Each task has one report, the right one, and
//! nobody beside it notices anything.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::policy::restart::RestartSettings;
use sandtrap::{
    ByteSize, Happening, Limits, Loaded, Order, Payload, Permissions, Pool, PoolSettings, Program,
    Report, Reuse, Runtime, Task, Telemetry, WorkerState,
};
use sandtrap_tests::guests;

/// The phases of a fresh guest that is called, and what of its answer or greeting it has said by then.
pub(super) const PHASES: [Phase; 8] = [
    Phase { name: "boot", said: Said::Nothing },
    Phase { name: "handshake", said: Said::Part },
    Phase { name: "receive", said: Said::Nothing },
    Phase { name: "decode", said: Said::Nothing },
    Phase { name: "run", said: Said::Nothing },
    Phase { name: "encode", said: Said::Part },
    Phase { name: "send", said: Said::Part },
    Phase { name: "teardown", said: Said::All },
];

pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) said: Said,
}

/// What of its answer, or its greeting, a guest has said when it dies.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Said {
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

impl Phase {
    /// How a task ends. Only an exit depends on what was said before: without an answer it is no orderly end, and within a frame
    /// none at all.
    pub(super) fn expected(&self, kind: &str, label: &'static str) -> &'static str {
        match (kind, self.said) {
            ("exit-0", Said::Nothing | Said::Part) | ("exit-3", Said::Part) => "crashed.protocol",
            _ => label,
        }
    }
}

fn load(runtime: &Runtime, phase: &str, kind: &str) -> Loaded {
    load_with(runtime, phase, kind, Permissions::default())
}

fn load_with(runtime: &Runtime, phase: &str, kind: &str, mut permissions: Permissions) -> Loaded {
    permissions.grant_env("PHASE", phase);
    permissions.grant_env("KIND", kind);
    // Only who sleeps runs into it, at the end.
    let wall = Duration::from_secs(if kind == "sleeps" { 2 } else { 100 });
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
    let expected = phase.expected(kind, label_of_kind);
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

/// Waits until a pool has its spare, or has said that there is none.
fn wait_for_a_spare(pool: &Pool, failed: &Receiver<()>) -> bool {
    loop {
        if pool.status().spares > 0 {
            return true;
        }
        if failed.try_recv().is_ok() {
            return false;
        }
        thread::yield_now();
    }
}

/// The same phases in a process that stands ready. One that dies before it is ready is told of, and is no task's; what one
/// does behind its answer is nobody's.
fn assert_right_in_spares(phases: &[Phase]) {
    let runtime = Runtime::new().unwrap();
    // There is no second try.
    let hour = Duration::from_secs(3_600);
    let restart = RestartSettings { first: hour, most: hour, ..RestartSettings::default() };
    let mut wrong = Vec::new();
    for phase in phases {
        for (kind, label_of_kind) in KINDS {
            let (tell, failed) = mpsc::channel();
            let telemetry = Telemetry::to(move |happening| {
                if let Happening::WorkerFailedToStart { .. } = happening {
                    // The test is over if nobody hears it.
                    let _ = tell.send(());
                }
            });
            let settings =
                PoolSettings { spares: 1, restart, telemetry, ..PoolSettings::with_workers(1) };
            let pool = load(&runtime, phase.name, kind).pool(settings);
            let is_ready = wait_for_a_spare(&pool, &failed);
            assert_eq!(is_ready, !["boot", "handshake"].contains(&phase.name), "{kind}");
            let expected = match phase.name {
                "teardown" => "completed",
                _ => phase.expected(kind, label_of_kind),
            };
            let report = pool.run(call());
            if label(&report) != expected {
                wrong.push(format!(
                    "{} {kind}: {} instead of {expected}",
                    phase.name, report.verdict
                ));
            }
            assert_eq!((pool.status().finished, pool.status().workers[0].crashes), (1, 0));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn s14_a_spare_that_dies_before_it_is_ready_costs_no_task_and_the_next_one_says_why() {
    assert_right_in_spares(&PHASES[..2]);
}

#[test]
fn p01_s14_a_spare_that_dies_of_its_call_is_told_right_whatever_it_dies_of() {
    assert_right_in_spares(&PHASES[2..5]);
}

#[test]
fn p01_p07_s14_a_spare_is_judged_by_what_it_did_until_its_answer_was_whole() {
    assert_right_in_spares(&PHASES[5..]);
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

/// Waits until the death of the only worker was noticed, which nobody asked for.
fn wait_for_a_death(pool: &Pool) {
    while pool.status().workers[0].crashes == 0 {
        thread::yield_now();
    }
}

#[test]
fn p01_p07_s14_who_dies_while_nobody_calls_it_costs_no_call_whatever_it_dies_of() {
    let runtime = Runtime::new().unwrap();
    let innocents = load(&runtime, "never", "never").pool(PoolSettings::with_workers(2));
    for (kind, label_of_kind) in KINDS {
        let keep = Some(Reuse::default());
        let settings = PoolSettings { keep, ..PoolSettings::with_workers(1) };
        let pool = load(&runtime, "idle", kind).pool(settings);
        let answered = pool.run(call());
        assert_eq!(label(&answered), "completed", "{kind}: {}", answered.verdict);
        let first = answered.task.pid.unwrap();
        kill(Pid::from_raw(first.cast_signed()), Signal::SIGUSR1).unwrap();
        let beside = innocents.submit(fine()).expect("there is room");
        if kind == "sleeps" {
            // It lives, and never answers again.
            assert_eq!(label(&pool.run(fine())), label_of_kind);
        } else {
            wait_for_a_death(&pool);
        }
        let next = pool.run(fine());
        assert_eq!(label(&next), "completed", "after {kind}: {}", next.verdict);
        assert_ne!(next.task.pid, Some(first), "{kind}");
        assert_eq!(label(&beside.wait()), "completed", "beside {kind}");
        assert_eq!(pool.status().workers[0].crashes, 1, "{kind}");
    }
}

/// A host that answers the call of `wait` when somebody lets it; and what says that it was called.
pub(super) fn host_that_waits() -> (Runtime, Receiver<()>, Sender<()>) {
    let ((says, called), (lets, go_on)) = (mpsc::channel(), mpsc::channel());
    let go_on: Mutex<Receiver<()>> = Mutex::new(go_on);
    let runtime = Runtime::builder().host("wait", move |_, nothing: Vec<u8>| {
        // The test is over if nobody hears it.
        let _ = says.send(());
        let _ = go_on.lock().unwrap_or_else(PoisonError::into_inner).recv();
        nothing
    });
    (runtime.build().unwrap(), called, lets)
}

/// Has a pool drained while its only worker waits for the host, and another task for the worker. Whatever the guest dies of
/// then is told right, and the other one is given back.
pub(super) fn assert_right_while_drained(
    pool: &Pool,
    (runs, waits): (Order, Order),
    (called, lets): (&Receiver<()>, &Sender<()>),
    (kind, expected): (&str, &str),
) {
    let runs = pool.try_submit(runs).expect("there is room");
    let waits = pool.try_submit(waits).expect("there is room");
    called.recv().unwrap();
    let drained = thread::scope(|scope| {
        let drained = scope.spawn(|| pool.drain(Duration::from_secs(100)));
        while pool.status().workers[0].state != WorkerState::Draining {
            thread::yield_now();
        }
        lets.send(()).unwrap();
        drained.join().unwrap()
    });
    let report = runs.wait();
    assert_eq!(label(&report), expected, "{kind}: {}", report.verdict);
    assert_eq!(label(&waits.wait()), "unstarted.rejected", "beside {kind}");
    assert_eq!((drained.finished, drained.returned, drained.killed), (1, 1, 0), "{kind}");
}

#[test]
fn p01_p07_s14_who_dies_while_its_pool_is_drained_is_told_right_whatever_it_dies_of() {
    let (runtime, called, lets) = host_that_waits();
    let drains = Phase { name: "drain", said: Said::Nothing };
    for (kind, label_of_kind) in KINDS {
        let mut permissions = Permissions::default();
        permissions.grant_host_function("wait");
        let loaded = load_with(&runtime, drains.name, kind, permissions);
        let pool = loaded.pool(PoolSettings::with_workers(1));
        let expected = drains.expected(kind, label_of_kind);
        assert_right_while_drained(&pool, (call(), fine()), (&called, &lets), (kind, expected));
    }
}

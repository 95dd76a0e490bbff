//! What does a task in a fresh guest cost, from the call to the report: an instance beside the bare engine, a process
//! beside a bare spawn, and beside what others cage one with?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use sandtrap::{Ending, Evidence, GuardState, Program, Runtime, Source, Task, Wall, classify};
use sandtrap_benches::notebook::{Sense, not_measured};
use sandtrap_benches::{Case, Figures, in_turns, tell_beside, tell_gain, tell_ratio, tell_value};
use sandtrap_tests::guests;
use wasmtime::Config;

use crate::floors::{Bare, NO_VICTIM, lean, spawn, victim};
use crate::pinned::{NO_TASKSET, Pinned};
use crate::ready::Ready;

/// What most people want to know first.
pub(crate) fn ask() {
    let runtime = Runtime::new().expect("a runtime");
    instance(&runtime);
    match victim() {
        Some(victim) => process(&runtime, &victim),
        None => {
            not_measured("fresh_task/native", NO_VICTIM);
            println!("{NO_VICTIM}");
        }
    }
}

fn instance(runtime: &Runtime) {
    let task = Task::command(Vec::<String>::new());
    let hello = runtime.load(Program::file(guests::wasm("hello"))).expect("a guest");
    let (bare, on_demand) = (Bare::new(&lean(), "hello"), Bare::new(&Config::new(), "hello"));
    assert!(bare.run() && on_demand.run() && hello.run(&task).verdict.is_completed());
    let [ours, floor, usual] = in_turns(
        "fresh_task/wasm",
        [
            Case::new("sandtrap", || hello.run(&task)),
            Case::new("bare-lean", || bare.run()),
            Case::new("bare-on-demand", || on_demand.run()),
        ],
    );
    tell_ratio("fresh_task/wasm/lean", &ours, &floor, 1.25);
    tell_ratio("fresh_task/wasm/on-demand", &ours, &usual, 0.5);
}

fn process(runtime: &Runtime, victim: &Path) {
    let program = Program::file(victim).within(Wall::Native);
    let loaded = runtime.load(program).expect("the guest is built");
    let task = Task::command(["completes"]);
    let report = loaded.run(&task);
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    for guard in report.guards.iter().filter(|guard| guard.state != GuardState::InForce) {
        println!("not in force here: {} ({})", guard.name, guard.why.as_deref().unwrap_or("off"));
    }
    let caged = || assert!(loaded.run(&task).verdict.is_completed());
    judgment(&caged);
    if !bubblewrap(victim) {
        let why = "bwrap is not here, or may not run: install the package bubblewrap";
        not_measured("fresh_task/native/bwrap", why);
        println!("{why}");
        let [ours, bare] = in_turns(
            "fresh_task/native",
            [
                Case::new("caged", caged),
                Case::new("bare-spawn", || assert!(spawn(victim, "completes"))),
            ],
        );
        return tell_ratio("fresh_task/native", &ours, &bare, 2.0);
    }
    let [ours, bare, bwrap] = in_turns(
        "fresh_task/native",
        [
            Case::new("caged", caged),
            Case::new("bare-spawn", || assert!(spawn(victim, "completes"))),
            Case::new("bwrap", || assert!(bubblewrap(victim))),
        ],
    );
    tell_ratio("fresh_task/native", &ours, &bare, 2.0);
    tell_beside("fresh_task/native/bwrap/victim", &bwrap, &ours);
    let [stood, bwrap] = wall_alone("fresh_task/native/nothing");
    tell_beside("fresh_task/native/bwrap/processor-each", &bwrap, &stood);
    match Pinned::here() {
        None => not_measured("fresh_task/native/bwrap", NO_TASKSET),
        Some(_here) => {
            let [stood, bwrap] = wall_alone("fresh_task/native/nothing/one-processor");
            tell_gain("fresh_task/native/bwrap", &stood, &bwrap, 30.0);
        }
    }
}

/// The same for a program that does nothing, not even what Rust's start-up does: what is left is the price of the wall. Started with
/// its task, and where one stood ready for it. Gives the latter, and what `bwrap` takes.
fn wall_alone(question: &str) -> [Figures; 2] {
    let runtime = Runtime::new().expect("a runtime");
    let nothing = guests::musl("nothing").expect("there is a victim, too");
    let loaded = runtime.load(Program::file(&nothing).within(Wall::Native)).expect("it is built");
    let task = Task::command(["completes"]);
    let mut ready = Ready::of(&loaded, &task);
    // By itself: what it leaves behind is cleared away by the kernel's own threads, at the expense of whoever comes next.
    let [bwrap] = in_turns(question, [Case::new("bwrap", || assert!(bubblewrap(&nothing)))]);
    let [stood, caged, bare] = in_turns(
        question,
        [
            Case::timed("stood-ready", || {
                ready.next(|report| assert!(report.verdict.is_completed()))
            }),
            Case::new("caged", || assert!(loaded.run(&task).verdict.is_completed())),
            Case::new("bare-spawn", || assert!(spawn(&nothing, "completes"))),
        ],
    );
    tell_beside(&format!("{question}/bwrap"), &bwrap, &caged);
    tell_beside(&format!("{question}/ready"), &stood, &bare);
    tell_beside(question, &caged, &bare);
    [stood, bwrap]
}

/// What of a task's time is spent on its verdict: with it, in terms of without it.
fn judgment(caged: &impl Fn()) {
    let evidence = Evidence::of(Source::Ptrace, Ending::Exited(0));
    let [task, verdict] = in_turns(
        "fresh_task/native/classification",
        [Case::new("caged", caged), Case::new("classify", || classify(black_box(&evidence)))],
    );
    let share = (verdict.median / task.median).max(verdict.least / task.least);
    let ratio = 1.0 / (1.0 - share);
    tell_value("fresh_task/native/classification", "of the rest", ratio, Sense::AtMost, 1.05);
}

fn bubblewrap(victim: &Path) -> bool {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--ro-bind", "/", "/"]).arg(victim).arg("completes");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

//! How long is it from a crash to the next success, beside the same without us: by the bare engine, and by a process without
//! any wall that starts programs when it is asked to?

use std::process::Command;

use sandtrap::{Program, Runtime, Task, Wall};
use sandtrap_benches::notebook::not_measured;
use sandtrap_benches::{Case, in_turns, tell_beside, tell_ratio};
use sandtrap_tests::guests;

use crate::floors::{Bare, Companion, NO_VICTIM, lean, spawn, victim};
use crate::ready::Ready;

pub(crate) fn ask() {
    let runtime = Runtime::new().expect("a runtime");
    let task = Task::command(Vec::<String>::new());
    let load = |name| runtime.load(Program::file(guests::wasm(name))).expect("a guest");
    let (abort, hello) = (load("abort"), load("hello"));
    let (bare_abort, bare) = (Bare::new(&lean(), "abort"), Bare::new(&lean(), "hello"));
    let [ours, floor] = in_turns(
        "crash_to_next/wasm",
        [
            Case::new("sandtrap", || (abort.run(&task), hello.run(&task))),
            Case::new("bare-lean", || (bare_abort.run(), bare.run())),
        ],
    );
    tell_ratio("crash_to_next/wasm", &ours, &floor, 1.2);

    let Some(victim) = victim() else {
        return not_measured("crash_to_next/native", NO_VICTIM);
    };
    let loaded = runtime.load(Program::file(&victim).within(Wall::Native)).expect("it is built");
    let (completes, crashes) = (Task::command(["completes"]), Task::command(["null-read"]));
    let mut zygote = Command::new(guests::native("bare_zygote"));
    let mut zygote = Companion::start(zygote.arg(&victim));
    let mut runs_well = |word: &str| {
        let [went_well] = zygote.ask(format!("{word}\n").as_bytes());
        went_well == 1
    };
    let (mut dying, mut well) = (Ready::of(&loaded, &crashes), Ready::of(&loaded, &completes));
    let mut stood = || {
        well.refill();
        dying.next(|report| assert!(!report.verdict.is_completed()))
            + well.next(|report| assert!(report.verdict.is_completed()))
    };
    let [ready, ours, floor, spawns] = in_turns(
        "crash_to_next/native",
        [
            Case::timed("stood-ready", &mut stood),
            Case::new("started", || {
                assert!(!loaded.run(&crashes).verdict.is_completed());
                assert!(loaded.run(&completes).verdict.is_completed());
            }),
            Case::new("bare-zygote", || {
                assert!(!runs_well("null-read"));
                assert!(runs_well("completes"));
            }),
            Case::new("bare-spawn", || {
                assert!(!spawn(&victim, "null-read"));
                assert!(spawn(&victim, "completes"));
            }),
        ],
    );
    tell_ratio("crash_to_next/native", &ready, &floor, 1.2);
    tell_beside("crash_to_next/native/started", &ours, &floor);
    tell_beside("crash_to_next/native/spawn", &ours, &spawns);
}

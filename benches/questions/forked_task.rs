//! What does a call in a caged fork of a warm guest cost beside a bare fork of a process of that kind, with its end and
//! its reaping, beside what the kernel takes for the guards of such a fork alone, and beside a caged process that is executed?
//! How much memory does a warm guest have of its own?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sandtrap::{Program, Runtime, Start, Task, Wall};
use sandtrap_benches::{Case, in_turns, tell_beside, tell_ratio};
use sandtrap_tests::guests;

use crate::floors::Companion;
use crate::ready::Ready;

pub(crate) fn ask() {
    let file = guests::native("warmed");
    let runtime = Runtime::new().expect("a runtime");
    let load = |start| {
        let program = Program::file(&file).within(Wall::Native).started_by(start);
        runtime.load(program).expect("the guest is built")
    };
    let task = Task::invoke("learnt", &()).expect("nothing is easily written");
    let (forked, spawned) = (load(Start::Fork), load(Start::Spawn));
    for loaded in [&forked, &spawned] {
        let report = loaded.run(&task);
        assert!(report.verdict.is_completed(), "{}", report.verdict);
    }
    let mut bare = Companion::start(&mut Command::new(guests::native("bare_fork")));
    // One fork, its end and its reaping, by the forker's own clock.
    let mut bare_fork = || Duration::from_nanos(u64::from_ne_bytes(bare.ask(b".")));
    let mut guarded = Companion::start(&mut Command::new(guests::native("guarded_fork")));
    let mut guarded_fork = || Duration::from_nanos(u64::from_ne_bytes(guarded.ask(b".")));
    let mut ready = Ready::of(&forked, &task);
    let [stood, fork, floor, guards, spawn] = in_turns(
        "fresh_task/native-fork",
        [
            Case::timed("stood-ready", || {
                ready.next(|report| assert!(report.verdict.is_completed()))
            }),
            Case::new("forked", || assert!(forked.run(&task).verdict.is_completed())),
            Case::timed("bare-fork", &mut bare_fork),
            Case::timed("guards-alone", &mut guarded_fork),
            Case::new("spawned", || assert!(spawned.run(&task).verdict.is_completed())),
        ],
    );
    tell_ratio("fresh_task/native-fork", &stood, &floor, 1.0);
    tell_beside("fresh_task/native-fork/on-demand", &fork, &floor);
    tell_beside("fresh_task/native-fork/guards-alone", &fork, &guards);
    tell_beside("fresh_task/native-fork/spawned", &fork, &spawn);
    match private_kib(&file) {
        Some(kib) => println!("private memory of a warm guest: {kib} KiB"),
        None => println!("private memory of a warm guest: not to be read here"),
    }
}

/// What only the process that runs this file has in memory.
fn private_kib(file: &Path) -> Option<u64> {
    let of_file =
        |entry: &fs::DirEntry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == file);
    let zygote = fs::read_dir("/proc").ok()?.flatten().find(of_file)?;
    let memory = fs::read_to_string(zygote.path().join("smaps_rollup")).ok()?;
    let private = memory.lines().filter(|line| line.starts_with("Private_"));
    let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Some(kib.sum())
}

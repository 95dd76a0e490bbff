//! A deterministic guest does the same in every run, down to the last instruction.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sandtrap::{
    DETERMINISTIC_FUEL, Limits, Loaded, Permissions, Program, Report, Runtime, Stdin, Task,
};
use sandtrap_tests::guests;

fn load(guest: &str, seed: Option<u64>, fuel: Option<u64>) -> Loaded {
    let limits = Limits { fuel, wall: Duration::from_secs(120), ..Limits::default() };
    let permissions = Permissions { deterministic: seed, ..Permissions::default() };
    let program = Program::file(guests::wasm(guest)).limits(limits).permissions(permissions);
    Runtime::new().unwrap().load(program).unwrap()
}

/// An hour of sleep.
fn long() -> Task {
    Task::command(["3600000"])
}

/// What two runs can be told apart by.
fn seen(report: &Report) -> (String, String, Option<u64>, u64) {
    let output = report.output.stdout_text();
    (report.verdict.to_string(), output, report.usage.fuel, report.usage.peak_memory)
}

#[test]
fn a_thousand_runs_on_two_threads_are_one_and_the_same() {
    let loaded = load("world", Some(7), None);
    let all: BTreeSet<_> = std::thread::scope(|scope| {
        let runs = || -> Vec<_> { (0..500).map(|_| seen(&loaded.run(&long()))).collect() };
        let all = [scope.spawn(runs), scope.spawn(runs)];
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(all.len(), 1, "{all:#?}");
    let (verdict, output, fuel, _) = all.first().unwrap();
    assert_eq!(verdict, "completed");
    assert!(output.contains("slept 3600.00000") && output.contains("it is 946688400."), "{output}");
    assert!(output.contains("no number is 0x7ff8000000000000"), "{output}");
    assert!(fuel.is_some_and(|fuel| fuel > 0));
}

#[test]
fn a_program_that_is_loaded_again_does_the_same_and_another_seed_something_else() {
    let run = |seed| seen(&load("world", Some(seed), None).run(&long()));
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).1, run(2).1);
}

#[test]
fn a_guest_that_never_ends_does_so_at_the_same_instruction() {
    let spin = load("spin", Some(0), Some(1_000_000));
    let ends: BTreeSet<_> = (0..10).map(|_| seen(&spin.run(&Task::command([""; 0])))).collect();
    assert_eq!(ends.len(), 1, "{ends:#?}");
    let report = spin.run(&Task::command([""; 0]));
    assert_eq!(report.verdict.label().as_str(), "stopped.fuel");
    // One that only calls its host has the same limit.
    let pour = load("files", Some(0), Some(1_000_000));
    let task = Task::command(["read-on-and-on", "/nowhere"]);
    let ends: BTreeSet<_> = (0..10).map(|_| seen(&pour.run(&task))).collect();
    assert_eq!(ends.len(), 1, "{ends:#?}");
    // Where nobody said how much, there is a limit all the same.
    let report = load("world", Some(0), None).run(&long());
    assert_eq!(report.limits.fuel, Some(DETERMINISTIC_FUEL));
}

#[test]
fn nothing_is_made_up_unless_it_was_asked_for() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let loaded = load("world", None, None);
    let began = Instant::now();
    let (one, other) = (loaded.run(&Task::command(["20"])), loaded.run(&Task::command(["20"])));
    assert!(began.elapsed() >= Duration::from_millis(40));
    assert_ne!(seen(&one).1, seen(&other).1);
    let output = one.output.stdout_text();
    let clock = output.lines().find_map(|line| line.strip_prefix("it is ")).unwrap();
    let seconds: u64 = clock.split('.').next().unwrap().parse().unwrap();
    assert!((now.as_secs()..now.as_secs() + 3600).contains(&seconds), "{clock}");
    assert!(one.guards.iter().all(|guard| guard.name != "determinism"));
}

#[test]
fn how_the_input_comes_is_not_seen() {
    use std::io::Write as _;
    let loaded = load("echo", Some(0), None);
    let text = "two words\n".repeat(20_000);
    let at_once = Stdin::Bytes(text.as_bytes().into());
    let quick = seen(&loaded.run(&Task::command([""; 0]).stdin(at_once)));
    assert_eq!(quick.1, text);
    for pieces in [1, 7, 4096, 100_000] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let late = Stdin::Descriptor(std::sync::Arc::new(reader.into()));
        let slow = std::thread::scope(|scope| {
            scope.spawn(|| {
                text.as_bytes().chunks(pieces).for_each(|piece| writer.write_all(piece).unwrap());
                drop(writer);
            });
            seen(&loaded.run(&Task::command([""; 0]).stdin(late)))
        });
        assert!(quick == slow, "{pieces}: fuel {:?} and {:?}", quick.2, slow.2);
    }
}

#[test]
fn a_process_cannot_be_deterministic_and_is_told_so() {
    let permissions = Permissions { deterministic: Some(0), ..Permissions::default() };
    let program = Program::file(guests::native("hello")).permissions(permissions);
    let report = Runtime::new().unwrap().run(program, &Task::command([""; 0]));
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    assert!(report.verdict.to_string().contains("behind the wasm wall"), "{}", report.verdict);
}

//! Modules that are hard to compile, compiled by a real host: it gets its verdict and stays as it is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use sandtrap::{GuardMode, Program, Runtime, Task, Trust};
use sandtrap_tests::bombs;
use serde_json::Value;

/// What a host may grow by while it has something compiled, whatever that is.
const MOST_GROWTH_KIB: u64 = 32 * 1024;

fn host(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compiling_host"));
    command.args(arguments);
    command
}

#[track_caller]
fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Has it loaded by a fresh host, and checks what that cost the host.
#[track_caller]
fn load(module: &Path, cache: &str, wall: &str) -> Value {
    found_of(module, cache, wall)["report"].clone()
}

#[track_caller]
fn found_of(module: &Path, cache: &str, wall: &str) -> Value {
    let found = json(&host(&["load", cache, module.to_str().unwrap(), wall]).output().unwrap());
    let grown = found["grown_kib"].as_u64().unwrap();
    assert!(grown <= MOST_GROWTH_KIB, "the host has grown by {grown} KiB");
    found
}

#[track_caller]
fn assert_verdict(module: &[u8], wall: &str, label: &str, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.wasm");
    fs::write(&path, module).unwrap();
    let report = load(&path, "-", wall);
    assert_eq!(report["verdict"]["label"], label, "{report:#}");
    let message = report["verdict"]["message"].as_str().unwrap();
    assert!(message.contains(words), "{message}");
}

#[test]
fn nine_hundred_thousand_empty_functions() {
    let words = "it has 900000 functions; the most that is compiled is";
    assert_verdict(&bombs::empty_functions(900_000), "10m", "unstarted.invalid-module", words);
}

#[test]
fn one_function_of_six_megabytes() {
    let words = "bytes in function 0 of its code; the most that is compiled is";
    assert_verdict(&bombs::one_function(6_000_000), "10m", "unstarted.invalid-module", words);
}

#[test]
fn fifty_eight_megabytes_with_a_mistake_at_the_end() {
    let words = "is not a valid module: type mismatch";
    let bomb = bombs::wrong_at_its_end(58_000_000);
    assert_verdict(&bomb, "10m", "unstarted.invalid-module", words);
}

/// What the engine keeps of a module in the host's memory, where no limit of a task counts it.
#[test]
fn declarations_for_which_a_host_would_grow_without_bound() {
    let words = "declarations (types, names, lists of functions) for which its host would keep";
    let invalid = "unstarted.invalid-module";
    assert_verdict(&bombs::types(20_000), "10m", invalid, words);
    assert_verdict(&bombs::component_of_names(90_000), "10m", invalid, words);
    let words = "300001 exports; the most that is compiled is";
    assert_verdict(&bombs::names(300_000), "10m", invalid, words);
}

/// As many as there may be: the host grows by no more than by any other module.
#[test]
fn declarations_that_are_just_within_their_bounds() {
    assert_verdict(&bombs::types(15_300), "10m", "completed", "");
    assert_verdict(&bombs::names(190_000), "10m", "completed", "");
    let words = "it lacks the export `wasi:cli/run@";
    let component = bombs::component_of_names(40_000);
    assert_verdict(&component, "10m", "unstarted.invalid-module", words);
}

#[test]
fn what_is_within_all_bounds_and_takes_too_long() {
    let words = "was stopped: wall time limit of 250 ms; raise what compiling may use";
    let bomb = bombs::ordinary(58_000_000);
    assert_verdict(&bomb, "250ms", "unstarted.limit-too-small", words);
}

#[test]
fn a_module_is_compiled_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, cache) = (folder.path().join("module.wasm"), folder.path().join("cache"));
    fs::write(&path, bombs::ordinary(100_000)).unwrap();
    let cache = cache.to_str().unwrap();
    for _ in 0..3 {
        let report = load(&path, cache, "10m");
        assert_eq!(report["verdict"]["label"], "completed", "{report:#}");
        let guards = report["guards"].as_array().unwrap();
        let guard = guards.iter().find(|guard| guard["name"] == "compile-confinement").unwrap();
        assert_eq!(guard["state"], "in-force");
    }
    let kept =
        fs::read_dir(cache).unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // The other one is what the host compiles before it begins to count.
    assert_eq!(kept.filter(|name| name.ends_with(".code")).count(), 2);
}

#[test]
fn a_file_that_is_known_by_its_marks_is_not_read() {
    const BYTES: usize = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let (path, cache) = (folder.path().join("module.wasm"), folder.path().join("cache"));
    fs::write(&path, bombs::ordinary(BYTES)).unwrap();
    let read = || found_of(&path, cache.to_str().unwrap(), "10m")["read_bytes"].as_u64().unwrap();
    assert!(read() >= BYTES as u64);
    // As long as the marks are too fresh to be relied on, the content is hashed; then once more.
    let age = || path.metadata().unwrap().modified().unwrap().elapsed().unwrap();
    while age() <= Duration::from_secs(4) {
        read();
    }
    read();
    assert!(read() < 64 * 1024);
    fs::write(&path, bombs::ordinary(BYTES / 2)).unwrap();
    assert!(read() >= BYTES as u64 / 2);
}

#[test]
fn two_processes_and_sixteen_threads_fill_and_clear_one_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let start = || host(&["many", cache.to_str().unwrap()]).spawn().unwrap();
    for mut host in [start(), start()] {
        assert!(host.wait().unwrap().success());
    }
}

#[test]
fn a_full_disk_costs_time_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let output = host(&["full", cache.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn program(guards: GuardMode) -> Program {
    let text = r#"(module (func (export "_start")))"#;
    Program::module("module", text.as_bytes()).guards(guards)
}

#[test]
fn without_a_program_to_compile_in_that_is_said_or_refused() {
    let runtimes = [
        (Runtime::new(), "no program to compile it in is set up"),
        (Runtime::builder().compiler("/nonexistent").build(), "can't be started"),
        (Runtime::builder().compiler("/bin/true").build(), "does not know how"),
        (Runtime::builder().compiler("/bin/false").build(), "does not know how"),
        (Runtime::builder().compiler("/bin/echo").build(), "does not know how"),
    ];
    let task = Task::command(["x"; 0]);
    for (runtime, words) in runtimes {
        let runtime = runtime.unwrap();
        let report = runtime.run(program(GuardMode::BestEffort), &task);
        assert_eq!(report.verdict.label().as_str(), "completed");
        let guard = report.guards.iter().find(|guard| guard.name == "compile-confinement").unwrap();
        let why = guard.why.as_deref().unwrap();
        assert_eq!(guard.state.name(), "missing");
        assert!(why.contains(words) && why.contains("compiled in this process"), "{why}");

        let report = runtime.run(program(GuardMode::Required), &task);
        assert_eq!(report.verdict.label().as_str(), "unstarted.guard", "{}", report.verdict);
        assert!(report.verdict.to_string().contains(words), "{}", report.verdict);

        let own = program(GuardMode::Required).trust(Trust::Own);
        assert_eq!(runtime.run(own, &task).verdict.label().as_str(), "completed");
    }
}

#[test]
fn limits_that_no_compiler_could_live_with_are_refused_by_name() {
    let runtime =
        Runtime::builder().compiler(env!("CARGO_BIN_EXE_compiling_host")).build().unwrap();
    let limits =
        sandtrap::CompileLimits { wall: Duration::ZERO, ..sandtrap::CompileLimits::default() };
    let error = runtime.load(program(GuardMode::Required).compile_limits(limits)).unwrap_err();
    assert_eq!(error.verdict().label().as_str(), "unstarted.rejected");
    assert!(error.to_string().contains("the wall limit"), "{error}");
}

#[test]
fn a_module_in_memory_is_compiled_by_the_program_that_was_named() {
    let runtime =
        Runtime::builder().compiler(env!("CARGO_BIN_EXE_compiling_host")).build().unwrap();
    let report = runtime.run(program(GuardMode::Required), &Task::command(["x"; 0]));
    assert_eq!(report.verdict.label().as_str(), "completed", "{}", report.verdict);
}

//! How long is it from nothing to the first result? A large module whose code is kept, beside the bare mapping of such
//! code; a cage, beside the tasks that follow in it; a small module through its confined compiler.
#![expect(unsafe_code, reason = "the floor is the engine's own loading, which is unsafe")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use sandtrap::{ByteSize, CompileLimits, GuardMode, Program, Runtime, Task, Wall};
use sandtrap_benches::notebook::{Sense, not_measured};
use sandtrap_benches::{Case, in_turns, tell_ratio, tell_value};
use sandtrap_tests::bombs;
use wasmtime::{Engine, Module};

use crate::floors::{NO_VICTIM, victim};

/// As large as a whole Python.
const BYTES: usize = 26_000_000;

pub(crate) fn ask() {
    kept_module();
    confined_compiler();
    cage();
}

fn kept_module() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, code) = (folder.path().join("large.wasm"), folder.path().join("large.code"));
    let module = bombs::ordinary(BYTES);
    fs::write(&path, &module).expect("there is room");
    // A file is known by its marks once they are two seconds old.
    thread::sleep(Duration::from_secs(3));
    let cache = folder.path().join("cache");
    let runtime = Runtime::builder().cache(cache, ByteSize::mib(1024)).build().expect("a runtime");
    let wall = Duration::from_secs(600);
    let limits = CompileLimits { wall, cpu: wall, ..CompileLimits::default() };
    let load = || {
        let program = Program::file(&path).compile_limits(limits.clone());
        runtime.load(program.guards(GuardMode::Required)).expect("it is compiled")
    };
    load();
    let engine = Engine::default();
    let compiled = engine.precompile_module(&module).expect("it is valid");
    fs::write(&code, compiled).expect("there is room");
    let [ours, floor] = in_turns(
        "cold_start/wasm/26MB",
        [
            Case::new("load", load),
            Case::new("bare-deserialize_file", || {
                // SAFETY: the file was just written by this engine, and nobody else knows of it.
                unsafe { Module::deserialize_file(&engine, &code) }.expect("it is its own")
            }),
        ],
    );
    tell_ratio("cold_start/wasm/26MB", &ours, &floor, 1.5);
}

fn confined_compiler() {
    let engine = Engine::default();
    let small = bombs::empty_functions(1);
    let fresh = Runtime::new().expect("a runtime");
    let [_, _] = in_turns(
        "cold_start/wasm/small",
        [
            Case::new("load-uncached", || {
                let program = Program::module("small", &small[..]).guards(GuardMode::Required);
                fresh.load(program).expect("it is compiled")
            }),
            Case::new("bare-compile", || Module::new(&engine, &small).expect("it is valid")),
        ],
    );
}

/// Processes that are to clear up if this one is killed.
fn heirs() -> usize {
    let ours = format!("sandtrap-heir\0sandtrap-{}-", std::process::id());
    let is_ours = |entry: &fs::DirEntry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.starts_with(ours.as_bytes()))
    };
    fs::read_dir("/proc").map_or(0, |all| all.flatten().filter(is_ours).count())
}

/// What a cage costs to build: loading a program and its first task, less one of those that follow.
fn cage() {
    let Some(victim) = victim() else {
        return not_measured("cold_start/native", NO_VICTIM);
    };
    let runtime = Runtime::new().expect("a runtime");
    let program = Program::file(&victim).within(Wall::Native);
    let loaded = runtime.load(program.clone()).expect("it is built");
    let task = Task::command(["completes"]);
    let build = || {
        let began = Instant::now();
        let cold = runtime.load(program.clone()).expect("it is built");
        assert!(cold.run(&task).verdict.is_completed());
        (began.elapsed(), cold)
    };
    let [cold, fresh, _] = in_turns(
        "cold_start/native",
        [
            // It is taken down behind that, which is told by itself.
            Case::timed("cold-cage", || build().0),
            Case::new("standing-cage", || assert!(loaded.run(&task).verdict.is_completed())),
            Case::timed("taken-down", || {
                let (_, cold) = build();
                let began = Instant::now();
                drop(cold);
                began.elapsed()
            }),
        ],
    );
    // Whatever was started above has shared one.
    assert!(heirs() <= 1, "{} processes wait for the end of this one", heirs());
    // A quiet moment is the least, not the middle one.
    let cage = (cold.least - fresh.least) * 1e3;
    tell_value("cold_start/native", "ms", cage, Sense::AtMost, 2.0);
}

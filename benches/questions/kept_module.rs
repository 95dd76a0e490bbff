//! What does it cost to load a large module whose compiled code is kept, beside the bare mapping of such code? And
//! what does its confined compiler cost, for a small module, beside a bare one?
#![expect(unsafe_code, reason = "the floor is the engine's own loading, which is unsafe")]

use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::Duration;

use criterion::{Criterion, criterion_group};
use sandtrap::{ByteSize, CompileLimits, GuardMode, Program, Runtime};
use sandtrap_tests::bombs;
use wasmtime::{Engine, Module};

/// As large as a whole Python.
const BYTES: usize = 26_000_000;

fn kept_module(c: &mut Criterion) {
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

    let mut group = c.benchmark_group("kept_module");
    group.bench_function("load/26MB", |b| b.iter(&load));
    group.bench_function("floor-deserialize_file/26MB", |b| {
        b.iter(|| {
            // SAFETY: the file was just written by this engine, and nobody else knows of it.
            black_box(unsafe { Module::deserialize_file(&engine, &code) }.expect("it is its own"))
        })
    });
    group.finish();

    let mut group = c.benchmark_group("confined_compiler");
    let small = bombs::empty_functions(1);
    let fresh = Runtime::new().expect("a runtime");
    group.bench_function("load/small", |b| {
        b.iter(|| {
            let program = Program::module("small", &small[..]).guards(GuardMode::Required);
            fresh.load(program).expect("it is compiled")
        })
    });
    group.bench_function("floor-module-new/small", |b| {
        b.iter(|| black_box(Module::new(&engine, &small).expect("it is valid")))
    });
    group.finish();
}

criterion_group!(benches, kept_module);

fn main() {
    sandtrap::init();
    benches();
    Criterion::default().configure_from_args().final_summary();
}

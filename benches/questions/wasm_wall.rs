//! What does the Wasm wall cost beside the bare engine, for a guest in a fresh instance, and after a crash?
//!
//! The floor is the same engine without us: no limits, no deadline, no verdict, in the fastest way it can be set
//! up (a pool, pages set back by the kernel's knowledge of them), and in the way it comes (on demand).
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::time::{Duration, Instant};

use sandtrap::{Limits, Program, Reuse, Runtime, Task, Value};
use sandtrap_benches::{Case, in_turns, tell_ratio};
use sandtrap_tests::guests;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, ModuleExport,
    PoolingAllocationConfig, Store,
};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

/// A guest of the bare engine.
struct Bare {
    engine: Engine,
    linked: InstancePre<WasiP1Ctx>,
    start: ModuleExport,
}

impl Bare {
    fn new(config: &Config, guest: &str) -> Self {
        let engine = Engine::new(config).expect("an engine");
        let module = Module::from_file(&engine, guests::wasm(guest)).expect("a guest");
        let mut linker = Linker::new(&engine);
        p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi).expect("WASI");
        let linked = linker.instantiate_pre(&module).expect("it fits");
        let start = module.get_export_index("_start").expect("a command");
        Self { engine, linked, start }
    }

    fn run(&self) -> bool {
        let out = MemoryOutputPipe::new(4096);
        let wasi = WasiCtxBuilder::new().arg("guest").stdout(out.clone()).build_p1();
        let mut store = Store::new(&self.engine, wasi);
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.linked.instantiate(&mut store).expect("it fits");
        let start = instance.get_module_export(&mut store, &self.start).expect("a start");
        let start = start.into_func().expect("a function").typed::<(), ()>(&store).expect("plain");
        start.call(&mut store, ()).is_ok() && !out.contents().is_empty()
    }
}

fn lean() -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(100)
        .total_memories(100)
        .total_tables(100)
        .max_unused_warm_slots(100)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(1 << 20);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes);
    }
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Sixty-four bytes, in and out.
type Eight = (i64, i64, i64, i64, i64, i64, i64, i64);

/// A call of a guest that is kept, with 64 bytes in and out, beside a call of a bare instance: by its types, and as a
/// task of its own with a report.
fn warm_call(runtime: &Runtime) {
    const EIGHT: &str = r#"(module (func (export "eight") (param i64 i64 i64 i64 i64 i64 i64 i64)
        (result i64 i64 i64 i64 i64 i64 i64 i64) local.get 0 local.get 1 local.get 2 local.get 3
        local.get 4 local.get 5 local.get 6 local.get 7))"#;
    let input: Eight = (1, 2, 3, 4, 5, 6, 7, 8);
    let loaded = runtime.load(Program::module("eight", EIGHT.as_bytes())).expect("a module");
    let reuse = || Reuse { max_tasks: u64::MAX, ..Reuse::default() };
    let (mut kept, mut tasked) =
        (loaded.keep(reuse()).expect("a guest"), loaded.keep(reuse()).expect("a guest"));
    let mut eight = kept.function::<Eight, Eight>("eight").expect("a function");
    assert_eq!(eight.call(input).expect("it returns"), input);
    let task = Task::call("eight", (1..=8).map(Value::I64).collect::<Vec<_>>());
    assert!(tasked.run(&task).verdict.is_completed());

    let engine = Engine::new(&lean()).expect("an engine");
    let binary = wat::parse_str(EIGHT).expect("a module");
    let module = Module::new(&engine, binary).expect("a module");
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &module).expect("it fits");
    let bare = instance.get_typed_func::<Eight, Eight>(&mut store, "eight").expect("a function");
    let [ours, reported, floor] = in_turns(
        "warm_call",
        [
            Case::new("sandtrap", || eight.call(input).expect("it returns")),
            Case::new("sandtrap-task", || tasked.run(&task)),
            Case::new("bare-typed", || bare.call(&mut store, input).expect("it returns")),
        ],
    );
    tell_ratio("warm_call", &ours, &floor, 8.0);
    // With a report of its own: nothing is promised.
    tell_ratio("warm_call", &reported, &floor, f64::INFINITY);
}

/// How much later than its deadline a guest that spins has its verdict.
fn deadline(runtime: &Runtime) {
    const SPIN: &str = r#"(module (func (export "_start") (loop br 0)))"#;
    const WALL: Duration = Duration::from_millis(20);
    let limits = Limits { wall: WALL, ..Limits::default() };
    let program = Program::module("spin", SPIN.as_bytes()).limits(limits);
    let spin = runtime.load(program).expect("a module");
    let task = Task::command(Vec::<String>::new());
    let mut late: Vec<f64> = (0..200)
        .map(|_| {
            let begin = Instant::now();
            let report = spin.run(&task);
            assert_eq!(report.verdict.label().as_str(), "stopped.wall-time");
            begin.elapsed().saturating_sub(WALL).as_secs_f64() * 1e3
        })
        .collect();
    late.sort_by(f64::total_cmp);
    let (least, median, last) = (late[0], late[late.len() / 2], late[late.len() - 1]);
    let word = if median <= 0.5 { "met" } else { "missed" };
    println!(
        "deadline: {least:.2} ms late at least, {median:.2} ms at the median, {last:.2} ms at most \
         (goal 0.50 ms at the median, {word})"
    );
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let task = Task::command(Vec::<String>::new());
    let load = |name| runtime.load(Program::file(guests::wasm(name))).expect("a guest");

    let (hello, bare, on_demand) =
        (load("hello"), Bare::new(&lean(), "hello"), Bare::new(&Config::new(), "hello"));
    assert!(
        bare.run() && on_demand.run() && hello.run(&task).verdict.label().as_str() == "completed"
    );
    let [ours, floor, default] = in_turns(
        "fresh_guest",
        [
            Case::new("sandtrap", || hello.run(&task)),
            Case::new("bare-lean", || bare.run()),
            Case::new("bare-on-demand", || on_demand.run()),
        ],
    );
    tell_ratio("fresh_guest", &ours, &floor, 1.25);
    tell_ratio("fresh_guest", &ours, &default, 0.5);

    let (abort, bare_abort) = (load("abort"), Bare::new(&lean(), "abort"));
    let [ours, floor] = in_turns(
        "crash_to_next",
        [
            Case::new("sandtrap", || (abort.run(&task), hello.run(&task))),
            Case::new("bare-lean", || (bare_abort.run(), bare.run())),
        ],
    );
    tell_ratio("crash_to_next", &ours, &floor, 1.2);

    warm_call(&runtime);
    deadline(&runtime);
}

//! What does the Wasm wall cost beside the bare engine, for a guest in a fresh instance, and after a crash?
//!
//! The floor is the same engine without us: no limits, no deadline, no verdict, in the fastest way it can be set
//! up (a pool, pages set back by the kernel's knowledge of them), and in the way it comes (on demand).

use sandtrap::{Program, Runtime, Task};
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
}

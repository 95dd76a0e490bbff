//! The bare floors: the engine without us, and processes without us.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sandtrap_tests::guests;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, ModuleExport,
    PoolingAllocationConfig, Store,
};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

/// A guest of the bare engine: no limits, no deadline, no verdict.
pub(crate) struct Bare {
    engine: Engine,
    linked: InstancePre<WasiP1Ctx>,
    start: ModuleExport,
}

impl Bare {
    pub(crate) fn new(config: &Config, guest: &str) -> Self {
        let engine = Engine::new(config).expect("an engine");
        let module = Module::from_file(&engine, guests::wasm(guest)).expect("a guest");
        let mut linker = Linker::new(&engine);
        p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi).expect("WASI");
        let linked = linker.instantiate_pre(&module).expect("it fits");
        let start = module.get_export_index("_start").expect("a command");
        Self { engine, linked, start }
    }

    /// Whether it ran to its end and wrote something.
    pub(crate) fn run(&self) -> bool {
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

/// The engine in the fastest way it can be set up: a pool, pages set back by the kernel's knowledge of them.
pub(crate) fn lean() -> Config {
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

/// The static program that the native questions run, if this machine could build it.
pub(crate) fn victim() -> Option<PathBuf> {
    guests::musl("victim")
}

/// Why there is no static program.
pub(crate) const NO_VICTIM: &str =
    "there is no static guest: add the target x86_64-unknown-linux-musl and build again";

/// A program without any wall; whether it ended well.
pub(crate) fn spawn(program: &Path, word: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(word).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("it starts").success()
}

/// A process without any wall that does something whenever it is asked to, and answers.
pub(crate) struct Companion {
    child: Child,
    asks: Option<ChildStdin>,
    answers: ChildStdout,
}

impl Companion {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (asks, answers) = (child.stdin.take(), child.stdout.take());
        Self { child, asks, answers: answers.expect("a pipe") }
    }

    pub(crate) fn ask<const N: usize>(&mut self, question: &[u8]) -> [u8; N] {
        let asks = self.asks.as_mut().expect("it is alive");
        asks.write_all(question).expect("it reads");
        let mut answer = [0; N];
        self.answers.read_exact(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // It ends when nobody asks any more.
        self.asks = None;
        let _ = self.child.wait();
    }
}

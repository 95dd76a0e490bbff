//! What does one task in a fresh cell cost, from the call to the report, beside a bare start of the same?

use std::process::{Command, Stdio};

use criterion::{Criterion, criterion_group, criterion_main};
use sandtrap::{Program, Runtime, Task, Wall};
use sandtrap_tests::guests::{self, Form};

const ADD: &str = r#"(module (memory 1) (func (export "_start")))"#;

fn fresh_task(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let task = Task::command(Vec::<String>::new());
    let mut group = c.benchmark_group("fresh_task");

    let native = Program::file(guests::native("exit_0")).within(Wall::Native);
    let loaded = runtime.load(native).expect("the guest is built");
    group.bench_function("native/0", |b| b.iter(|| loaded.run(&task)));
    group.bench_function("floor-spawn/0", |b| {
        b.iter(|| {
            Command::new(guests::native("exit_0"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        })
    });

    let module = runtime.load(Program::module("empty", ADD.as_bytes())).expect("a module");
    group.bench_function("wasm/0", |b| b.iter(|| module.run(&task)));
    for (form, id) in [(Form::Module, "wasm-rust/0"), (Form::Component, "component-rust/0")] {
        let program =
            runtime.load(Program::file(form.guest("exit_0"))).expect("the guest is built");
        group.bench_function(id, |b| b.iter(|| program.run(&task)));
    }
    let engine = wasmtime::Engine::default();
    let binary = wat::parse_str(ADD).expect("a module");
    let compiled = wasmtime::Module::new(&engine, binary).expect("a module");
    let linked = wasmtime::Linker::new(&engine).instantiate_pre(&compiled).expect("no imports");
    group.bench_function("floor-wasmtime/0", |b| {
        b.iter(|| {
            let mut store = wasmtime::Store::new(&engine, ());
            let instance = linked.instantiate(&mut store).expect("it fits");
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start").expect("a start");
            start.call(&mut store, ()).expect("it returns");
        })
    });
    group.finish();
}

criterion_group!(benches, fresh_task);
criterion_main!(benches);

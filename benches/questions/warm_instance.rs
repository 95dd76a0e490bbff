//! What does a call of an instance that is kept cost, beside a typed call of a bare one?

use sandtrap::{Program, Reuse, Runtime, Task};
use sandtrap_benches::{Case, in_turns, tell_ratio};
use wasmtime::{Engine, Linker, Module, Store};

use crate::floors::lean;

const NEXT: &str = r#"(module (global $n (mut i32) (i32.const 0)) (func (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#;

pub(crate) fn ask() {
    let runtime = Runtime::new().expect("a runtime");
    let loaded = runtime.load(Program::module("next", NEXT.as_bytes())).expect("a module");
    let reuse = Reuse { max_tasks: u64::MAX, ..Reuse::default() };
    let mut kept = loaded.keep(reuse).expect("a guest");
    let task = Task::call("next", []);
    assert!(kept.run(&task).verdict.is_completed());

    let engine = Engine::new(&lean()).expect("an engine");
    let binary = wat::parse_str(NEXT).expect("a module");
    let module = Module::new(&engine, binary).expect("a module");
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &module).expect("it fits");
    let next = instance.get_typed_func::<(), i32>(&mut store, "next").expect("a function");
    let [ours, floor] = in_turns(
        "warm_call/wasm",
        [
            Case::new("sandtrap", || kept.run(&task)),
            Case::new("bare-typed", || next.call(&mut store, ()).expect("it returns")),
        ],
    );
    tell_ratio("warm_call/wasm", &ours, &floor, 8.0);
}

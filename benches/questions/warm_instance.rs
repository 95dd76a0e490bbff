//! What does a call of an instance that is kept cost, with 64 bytes in and out, beside a typed call of a bare one?

use sandtrap::{Program, Reuse, Runtime, Task, Value};
use sandtrap_benches::{Case, in_turns, tell_ratio};
use wasmtime::{Engine, Linker, Module, Store};

use crate::floors::lean;

const EIGHT: &str = r#"(module (func (export "eight") (param i64 i64 i64 i64 i64 i64 i64 i64)
    (result i64 i64 i64 i64 i64 i64 i64 i64) local.get 0 local.get 1 local.get 2 local.get 3
    local.get 4 local.get 5 local.get 6 local.get 7))"#;

/// Sixty-four bytes.
type Eight = (i64, i64, i64, i64, i64, i64, i64, i64);

/// By its types, and as a task of its own with a report.
pub(crate) fn ask() {
    let input: Eight = (1, 2, 3, 4, 5, 6, 7, 8);
    let runtime = Runtime::new().expect("a runtime");
    let loaded = runtime.load(Program::module("eight", EIGHT.as_bytes())).expect("a module");
    let keep = || {
        let reuse = Reuse { max_tasks: u64::MAX, ..Reuse::default() };
        loaded.keep(reuse).expect("a guest")
    };
    let (mut kept, mut tasked) = (keep(), keep());
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
        "warm_call/wasm",
        [
            Case::new("sandtrap", || eight.call(input).expect("it returns")),
            Case::new("sandtrap-task", || tasked.run(&task)),
            Case::new("bare-typed", || bare.call(&mut store, input).expect("it returns")),
        ],
    );
    tell_ratio("warm_call/wasm", &ours, &floor, 8.0);
    // With a report of its own: nothing is promised.
    tell_ratio("warm_call/wasm-task", &reported, &floor, f64::INFINITY);
}

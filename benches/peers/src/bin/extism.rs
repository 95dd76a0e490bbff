//! `extism`: a plugin that gives back what it is given, made anew from compiled code or kept.

use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};
use sandtrap_peers::serve;

const ECHO: &str = r#"(module
    (import "extism:host/env" "input_length" (func $length (result i64)))
    (import "extism:host/env" "input_load_u64" (func $input (param i64) (result i64)))
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (memory (export "memory") 1)
    (func (export "echo") (result i32) (local $at i64) (local $to i64)
        (local.set $to (call $alloc (call $length)))
        (block $done (loop $next
            (br_if $done (i64.ge_u (local.get $at) (call $length)))
            (call $store (i64.add (local.get $to) (local.get $at)) (call $input (local.get $at)))
            (local.set $at (i64.add (local.get $at) (i64.const 8)))
            (br $next)))
        (call $output (local.get $to) (call $length))
        (i32.const 0))
    (func (export "crash") (result i32) unreachable))"#;

const INPUT: &[u8] = &[7; 64];

fn main() {
    let binary = wat::parse_str(ECHO).expect("a module");
    let compile = || {
        let manifest = Manifest::new([Wasm::data(binary.clone())]);
        CompiledPlugin::new(PluginBuilder::new(manifest)).expect("it compiles")
    };
    let compiled = compile();
    let fresh = || Plugin::new_from_compiled(&compiled).expect("a plugin");
    let echo = |plugin: &mut Plugin| plugin.call::<&[u8], &[u8]>("echo", INPUT).is_ok_and(|out| out == INPUT);
    let mut kept = fresh();
    serve("extism 1.30", &mut |work| match work {
        "fresh" => echo(&mut fresh()),
        "warm" => echo(&mut kept),
        "crash" => fresh().call::<&[u8], &[u8]>("crash", INPUT).is_err() && echo(&mut fresh()),
        _ => false,
    });
}

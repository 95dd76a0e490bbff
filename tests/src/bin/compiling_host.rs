//! A host that lets itself be started as a compiler, as every host should.
//!
//! `compiling_host load CACHE MODULE WALL`: runs a module, and says how it ended, and what that cost this process.
//! `compiling_host many CACHE`: runs many modules from many threads with a cache too small for them.
//! `compiling_host full CACHE`: runs a module while the cache's disk is full.
//!
//! CACHE is a directory, or `-` for none.
#![expect(clippy::print_stdout, reason = "its report is read by a test")]

use std::fs;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use sandtrap::{
    ByteSize, CompileLimits, GuardMode, Limits, Program, Record, Runtime, Task, Trust, Value, Wall,
    parse_duration,
};

fn main() {
    sandtrap::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["load", cache, module, wall] => load(&runtime(cache, ByteSize::mib(512)), module, wall),
        // Room for two or three of them.
        ["many", cache] => many(&runtime(cache, ByteSize::kib(64))),
        ["full", cache] => full(cache),
        _ => panic!("no such request: {arguments:?}"),
    }
}

fn runtime(cache: &str, most: ByteSize) -> Runtime {
    // What is read and held shall be that of compiling, not of a pool.
    let builder = Runtime::builder().instances(0);
    let builder = if cache == "-" { builder } else { builder.cache(cache, most) };
    builder.build().expect("a runtime")
}

fn load(runtime: &Runtime, module: &str, wall: &str) {
    let wall = parse_duration(wall).expect("a duration");
    let limits = CompileLimits { wall, cpu: wall * 4, ..CompileLimits::default() };
    let unhurried = Limits { wall: wall * 10, cpu: wall * 10, ..Limits::default() };
    let program = Program::file(module)
        .within(Wall::Wasm)
        .compile_limits(limits)
        .limits(unhurried)
        .guards(GuardMode::Required);
    // The engine and whatever else is needed once is no part of the question.
    runtime.load(Program::module("first", &b"(module)"[..])).expect("a module");
    let (before, read_before) = (number("status", "VmRSS:"), number("io", "rchar:"));
    let report = runtime.run(program, &Task::command(["x"; 0]));
    let grown_kib = number("status", "VmHWM:").saturating_sub(before);
    let read_bytes = number("io", "rchar:") - read_before;
    let report = serde_json::to_value(Record::from(&report)).expect("a report is JSON");
    let found =
        serde_json::json!({ "grown_kib": grown_kib, "read_bytes": read_bytes, "report": report });
    println!("{found}");
}

/// A line of what the kernel knows about this process.
fn number(file: &str, name: &str) -> u64 {
    let lines = fs::read_to_string(format!("/proc/self/{file}")).expect("the kernel tells");
    let line = lines.lines().find_map(|line| line.strip_prefix(name)).expect("a number");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn many(runtime: &Runtime) {
    thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..12 {
                    let trust = if thread % 2 == 0 { Trust::Own } else { Trust::Untrusted };
                    right_result(runtime, (round * 5 + thread) % 9, trust);
                }
            });
        }
    });
}

/// A module that knows one number.
fn right_result(runtime: &Runtime, number: i32, trust: Trust) {
    let text = format!("(module (func (export \"f\") (result i32) i32.const {number}))");
    let program = Program::module(number.to_string(), text.into_bytes()).trust(trust);
    let report = runtime.run(program, &Task::call("f", []));
    assert_eq!(report.output.values, [Value::I32(number)], "{}", report.verdict);
}

/// Where a small disk can be had (as root), it is full. Elsewhere it is not, and the result is the same.
fn full(cache: &str) {
    fs::create_dir_all(cache).expect("a directory");
    if unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
        let room = Some("size=12k,mode=700");
        mount(none, cache, Some("tmpfs"), MsFlags::empty(), room).expect("a small disk");
    }
    let runtime = runtime(cache, ByteSize::mib(1));
    (0..3).for_each(|number| right_result(&runtime, number, Trust::Own));
}

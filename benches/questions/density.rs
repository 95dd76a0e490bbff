//! How many guests can live in one process, and what does each hold?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::collections::BTreeSet;
use std::fs;

use sandtrap::{Kept, Program, Reuse, Runtime, Task, Wall};
use sandtrap_benches::notebook::{Sense, not_measured};
use sandtrap_benches::tell_value;

use crate::floors::{NO_VICTIM, victim};

/// What is promised.
const INSTANCES: u32 = 15_000;

const GUEST: &str =
    r#"(module (memory 1) (func (export "touch") (i32.store (i32.const 0) (i32.const 1))))"#;

pub(crate) fn ask() {
    instances();
    keeper();
}

fn instances() {
    let runtime = Runtime::builder().instances(INSTANCES).build().expect("a runtime");
    let loaded = runtime.load(Program::module("small", GUEST.as_bytes())).expect("a module");
    let task = Task::call("touch", []);
    let before = resident();
    let mut kept: Vec<Kept> = Vec::new();
    for _ in 0..INSTANCES {
        match loaded.keep(Reuse::default()) {
            Ok(mut guest) => {
                assert!(guest.run(&task).verdict.is_completed());
                kept.push(guest);
            }
            Err(error) => {
                println!("the next one is refused: {error}");
                break;
            }
        }
    }
    let each = resident().saturating_sub(before) / (kept.len() as u64).max(1);
    println!(
        "density/wasm: {} alive, {each} bytes of memory for each, a page of 4096 used",
        kept.len()
    );
    tell_value("density/wasm/bytes", "bytes each", each as f64, Sense::AtMost, 16_384.0);
    tell_value("density/wasm/live", "alive", kept.len() as f64, Sense::AtLeast, INSTANCES.into());
}

/// The small program that stands in a cage and waits for tasks.
fn keeper() {
    let Some(victim) = victim() else {
        return not_measured("density/native/keeper", NO_VICTIM);
    };
    let before = children();
    let runtime = Runtime::new().expect("a runtime");
    let loaded = runtime.load(Program::file(victim).within(Wall::Native)).expect("it is built");
    assert!(loaded.run(&Task::command(["completes"])).verdict.is_completed());
    let keepers: Vec<u32> = children().difference(&before).copied().collect();
    let private: u64 = keepers.iter().map(|pid| private_of(*pid)).sum();
    println!(
        "density/native: {} program waits, and holds {private} bytes of its own",
        keepers.len()
    );
    if keepers.len() == 1 {
        tell_value("density/native/keeper", "KiB", private as f64 / 1024.0, Sense::AtMost, 512.0);
    } else {
        not_measured("density/native/keeper", "no single program that waits was found");
    }
}

/// The processes that threads of this one have started and not yet buried.
fn children() -> BTreeSet<u32> {
    let threads = fs::read_dir("/proc/self/task").expect("the kernel tells");
    let lists = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")));
    lists.flatten().flat_map(|list| numbers(&list)).collect()
}

fn numbers(list: &str) -> Vec<u32> {
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Bytes that are in no other process.
fn private_of(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>()
        * 1024
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

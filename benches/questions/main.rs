//! The questions, one file each, asked one after another: `cargo bench -p sandtrap-benches --bench questions`.
//!
//! `… -- NAME…` asks some of them only, `--quick` hurries, and `--record` writes `benches/RATIOS.md`.
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

mod cold_start;
mod compute;
mod crash_to_next;
mod deadline;
mod density;
mod floors;
mod forked_task;
mod frames;
mod fresh_task;
mod peers;
mod spawn_from_big_host;
mod throughput;
mod warm_instance;

use std::path::Path;
use std::time::Instant;

use sandtrap_benches::{hurry, table};

/// All of them, in the order in which they are asked.
const QUESTIONS: [(&str, fn()); 12] = [
    ("fresh_task", fresh_task::ask),
    ("forked_task", forked_task::ask),
    ("warm_instance", warm_instance::ask),
    ("crash_to_next", crash_to_next::ask),
    ("cold_start", cold_start::ask),
    ("deadline", deadline::ask),
    ("compute", compute::ask),
    ("frames", frames::ask),
    ("throughput", throughput::ask),
    ("density", density::ask),
    ("peers", peers::ask),
    ("spawn_from_big_host", spawn_from_big_host::ask),
];

fn main() {
    sandtrap::init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let named: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    if has("--quick") {
        hurry();
    }
    let began = Instant::now();
    for (name, ask) in QUESTIONS {
        if named.is_empty() || named.iter().any(|word| *word == name) {
            println!("\n== {name} (after {} s)", began.elapsed().as_secs());
            ask();
        }
    }
    println!("\nall of it took {} s", began.elapsed().as_secs());
    if has("--record") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("RATIOS.md");
        table::write(&path, &circumstances(has("--quick"))).expect("the table can be written");
        println!("written: {}", path.display());
    }
}

/// The machine in general words, and how busy it was.
fn circumstances(quick: bool) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let release = read("/proc/sys/kernel/osrelease");
    let release: Vec<&str> = release.trim().splitn(3, ['.', '-']).take(2).collect();
    let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    let how = if quick { "quick; " } else { "" };
    format!(
        "{how}{processors} processors, {} {} on {}, load {load} at the end",
        std::env::consts::OS,
        release.join("."),
        std::env::consts::ARCH
    )
}

//! The questions, one file each, asked one after another: `cargo bench -p sandtrap-benches --bench questions`.
//!
//! `… -- NAME…` asks some of them only, `--quick` hurries, and `--record` writes `benches/RATIOS.md`;
//! `--criterion` asks by criterion instead of in turns.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench shows its figures")]

mod cold_start;
mod compile_bombs;
mod compute;
mod crash_to_next;
mod deadline;
mod density;
mod floors;
mod forked_task;
mod frames;
mod fresh_task;
mod payload;
mod peers;
mod pinned;
mod ready;
mod spawn_from_big_host;
mod throughput;
mod waiting;
mod warm_call;
mod warm_instance;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use sandtrap_benches::{by_criterion, hurry, table};

/// All of them, in the order in which they are asked.
const QUESTIONS: [(&str, fn()); 16] = [
    // First, for others leave so much free memory behind that a copy finds room that was touched before.
    ("payload", payload::ask),
    ("queue", waiting::ask),
    ("compile_bombs", compile_bombs::ask),
    ("fresh_task", fresh_task::ask),
    ("forked_task", forked_task::ask),
    ("warm_instance", warm_instance::ask),
    ("warm_call", warm_call::ask),
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

const FLAGS: [&str; 3] = ["--quick", "--record", "--criterion"];

fn main() -> ExitCode {
    sandtrap::init();
    if std::env::args().nth(1).as_deref() == Some(warm_call::PONG) {
        warm_call::pong();
        return ExitCode::SUCCESS;
    }
    // Cargo adds a flag of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    if let Err(why) = understood(&words) {
        eprintln!("{why}");
        return ExitCode::from(2);
    }
    let named: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    if has("--quick") {
        hurry();
    }
    if has("--criterion") {
        by_criterion();
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
    ExitCode::SUCCESS
}

/// A word nobody knows would leave out what was meant, in silence.
fn understood(words: &[String]) -> Result<(), String> {
    let names = QUESTIONS.map(|(name, _)| name);
    let is_known =
        |word: &&String| names.contains(&word.as_str()) || FLAGS.contains(&word.as_str());
    if let Some(word) = words.iter().find(|word| !is_known(word)) {
        return Err(format!(
            "what is {word:?}? The questions: {}; the flags: {}",
            names.join(" "),
            FLAGS.join(" ")
        ));
    }
    let has = |flag: &str| words.iter().any(|word| word == flag);
    if has("--criterion") && has("--record") {
        return Err(
            "the table is made from what ran in turns: --record without --criterion".to_owned()
        );
    }
    Ok(())
}

/// Which processors, where the kernel says so: some floors are a memory's, and some a cache's.
fn kind(cpuinfo: &str) -> String {
    let value = |name: &str| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let (name, family) = (value("model name"), value("cpu family").unwrap_or("?"));
    name.map(|name| format!(" ({name}, family {family})")).unwrap_or_default()
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
        "{how}{processors} processors{}, {} {} on {}, load {load} at the end",
        kind(&read("/proc/cpuinfo")),
        std::env::consts::OS,
        release.join("."),
        std::env::consts::ARCH
    )
}

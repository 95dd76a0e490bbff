//! What does a call in a caged fork of a warm guest cost beside a bare fork of a process of that kind, with its end and
//! its reaping, and beside a caged process that is executed? How much memory does a warm guest have of its own?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::fs;
use std::path::Path;
use std::process::Command;

use sandtrap::{Program, Runtime, Start, Task, Wall};
use sandtrap_benches::{Case, Figures, in_turns, tell_ratio};
use sandtrap_tests::guests;

/// Forks of one run of the bare forker.
const FORKS: &str = "500";

/// What a warm guest may have of its own, in KiB.
const MOST_KIB: u64 = 512;

fn main() {
    let file = guests::native("warmed");
    let runtime = Runtime::new().expect("a runtime");
    let load = |start| {
        let program = Program::file(&file).within(Wall::Native).started_by(start);
        runtime.load(program).expect("the guest is built")
    };
    let task = Task::invoke("learnt", &()).expect("nothing is easily written");
    let (forked, spawned) = (load(Start::Fork), load(Start::Spawn));
    for loaded in [&forked, &spawned] {
        let report = loaded.run(&task);
        assert!(report.verdict.is_completed(), "{}", report.verdict);
    }
    let [fork, spawn] = in_turns(
        "forked_task",
        [
            Case::new("forked", || assert!(forked.run(&task).verdict.is_completed())),
            Case::new("spawned", || assert!(spawned.run(&task).verdict.is_completed())),
        ],
    );
    let runs: Vec<(f64, f64)> = (0..7).map(|_| bare_fork()).collect();
    let least = runs.iter().map(|run| run.0).fold(f64::INFINITY, f64::min);
    let mut medians: Vec<f64> = runs.iter().map(|run| run.1).collect();
    medians.sort_by(f64::total_cmp);
    let bare = Figures { name: "bare-fork", least, median: medians[medians.len() / 2] };
    println!("a bare fork, its end and its reaping: {:.2} us", bare.median * 1e6);
    tell_ratio("a call in a fork", &fork, &bare, 1.0);
    println!("an executed process costs {:.2} forks", spawn.ratio_to(&fork));
    match private_kib(&file) {
        Some(kib) => println!("private memory of a warm guest: {kib} KiB (goal {MOST_KIB})"),
        None => println!("private memory of a warm guest: not to be read here"),
    }
}

/// The least and the middle time of a fork, in seconds.
fn bare_fork() -> (f64, f64) {
    let output = Command::new(guests::native("bare_fork")).arg(FORKS).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers =
        text.split_whitespace().map(|number| number.parse::<f64>().expect("a number"));
    let mut next = || numbers.next().expect("two numbers") / 1e9;
    (next(), next())
}

/// What only the process that runs this file has in memory.
fn private_kib(file: &Path) -> Option<u64> {
    let of_file =
        |entry: &fs::DirEntry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == file);
    let zygote = fs::read_dir("/proc").ok()?.flatten().find(of_file)?;
    let memory = fs::read_to_string(zygote.path().join("smaps_rollup")).ok()?;
    let private = memory.lines().filter(|line| line.starts_with("Private_"));
    let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Some(kib.sum())
}

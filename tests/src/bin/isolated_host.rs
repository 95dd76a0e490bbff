//! A program with isolated functions and a `main` of its own: `isolated_host WHAT`, where WHAT is
//!
//! * `init`: calls one, and prints what it gives;
//! * `no-init`: the same, but has forgotten its line;
//! * `silent`: calls one that panics, and prints nothing but the label;
//! * `forks`: calls two of each start, and prints whether they are of one process that was started;
//! * `waits`: runs a program that sleeps for two seconds, and prints how often this one was awake meanwhile.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what it prints is read by a test")]

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use sandtrap::{CallError, Program, Runtime, Task, isolated};

#[isolated(wall = "100s")]
fn product(a: i64, b: i64) -> i64 {
    println!("printed by the function");
    a * b
}

#[isolated(wall = "100s", stdout = "capture", stderr = "capture")]
fn panics() {
    println!("printed by the function");
    panic!("as it was told to");
}

/// When this process was started, as far as it remembers.
static BEGAN: OnceLock<u128> = OnceLock::new();

#[isolated(wall = "100s", start = "fork")]
fn began_before_the_fork() -> Option<u128> {
    BEGAN.get().copied()
}

#[isolated(wall = "100s", start = "spawn")]
fn began() -> Option<u128> {
    BEGAN.get().copied()
}

fn main() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    BEGAN.get_or_init(|| now.as_nanos());
    // A process that is to be the function gets none of these words.
    let what = std::env::args().nth(1).unwrap_or_default();
    if what != "no-init" {
        sandtrap::init();
    }
    match what.as_str() {
        "silent" => match panics::report() {
            Ok(report) => println!("{}", report.verdict.label()),
            Err(error) => println!("{error}"),
        },
        "forks" => {
            let same = |called: [Result<Option<u128>, CallError>; 2]| match called {
                [Ok(Some(one)), Ok(Some(other))] => (one == other).to_string(),
                other => format!("{other:?}"),
            };
            println!("{}", same([began_before_the_fork(), began_before_the_fork()]));
            println!("{}", same([began(), began()]));
        }
        "waits" => println!("{}", awake_while_waiting()),
        _ => match product(6, 7) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("{error}"),
        },
    }
}

/// How often a thread of this process went to sleep during two seconds of waiting.
fn awake_while_waiting() -> u64 {
    let sleep = Runtime::new().and_then(|runtime| runtime.load(Program::file("/bin/sleep")));
    let sleep = sleep.expect("a program to wait for");
    // The first task builds the cage.
    sleep.run(&Task::command(["0"]));
    let before = sleeps();
    sleep.run(&Task::command(["2"]));
    sleeps() - before
}

fn sleeps() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
    let counts = threads.filter_map(|thread| {
        let status = std::fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    });
    counts.sum()
}

//! Runs many processes of every outcome, and prints what they left behind: `remains [--tasks N]` for so many altogether,
//! `remains --each N` for so many of each outcome. Fails where that is anything.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::process::ExitCode;
use std::time::Instant;

use sandtrap_tests::remains::Remains;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (run, tasks): (fn(usize) -> Remains, _) = match words[..] {
        [] => (Remains::of, Ok(10_000)),
        ["--tasks", number] => (Remains::of, number.parse()),
        ["--each", number] => (Remains::of_each, number.parse()),
        _ => (Remains::of, "".parse()),
    };
    let Ok(tasks) = tasks else {
        eprintln!("write it as in `remains --tasks 10000` or `remains --each 1000`");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let remains = run(tasks);
    print!("{remains}");
    let (count, took) = (
        remains.outcomes.values().map(|(count, _)| count).sum::<usize>(),
        began.elapsed().as_secs_f64(),
    );
    println!("{count} tasks in {took:.0} s, {:.0} a second", count as f64 / took);
    if remains.is_nothing() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! Runs many processes of every outcome, and prints what they left behind: `remains [--tasks N]`. Fails where that is
//! anything.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::process::ExitCode;

use sandtrap_tests::remains::Remains;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let tasks = match &words[..] {
        [] => Some(10_000),
        [flag, number] if flag == "--tasks" => number.parse().ok(),
        _ => None,
    };
    let Some(tasks) = tasks else {
        eprintln!("write it as in `remains --tasks 10000`");
        return ExitCode::from(2);
    };
    let remains = Remains::of(tasks);
    print!("{remains}");
    if remains.is_nothing() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

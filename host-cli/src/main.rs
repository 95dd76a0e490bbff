//! The `sandtrap` command: runs guest programs behind a wall and says exactly how they ended.

mod abuse;
mod args;
mod bench;
mod commands;
mod exit_code;
mod explain;
mod reading;
mod render;
mod report_file;
mod selftest;
mod signals;
mod streams;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Mistake, Verb};
use streams::ReaderGone;

fn main() -> ExitCode {
    // Modules are compiled by this program, started anew and confined.
    sandtrap::init();
    abuse::enter();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return answer(&told).into(),
    };
    let ended = match cli.verb {
        Verb::Run(args) => commands::run(&args),
        Verb::Call(args) => commands::call(&args),
        Verb::Batch(args) => commands::batch(&args),
        Verb::Bench(args) => commands::bench(&args),
        Verb::Inspect(args) => commands::inspect(&args),
        Verb::Compile(args) => commands::compile(&args),
        Verb::Doctor(args) => commands::doctor(&args),
        Verb::Selftest(args) => commands::selftest(&args),
        Verb::Explain(args) => commands::explain(&args),
        Verb::Schema => commands::schema(),
        Verb::Man(args) => commands::man(&args),
        Verb::Completions(args) => commands::completions(&args),
    };
    ended.unwrap_or_else(|error| complain(&error)).into()
}

/// What was asked for instead of a verb: the help, or the version. Or it was no question at all.
fn answer(told: &clap::Error) -> u8 {
    let printed = told.print().and_then(|()| std::io::stdout().flush());
    match printed {
        _ if told.use_stderr() => exit_code::MISUSE,
        Ok(()) => 0,
        Err(error) => complain(&streams::unprinted(error)),
    }
}

/// Says why sandtrap itself failed, and gives the exit code for it.
fn complain(error: &anyhow::Error) -> u8 {
    if error.is::<ReaderGone>() {
        return exit_code::CANCELLED;
    }
    if let Some(misuse) = error.downcast_ref::<clap::Error>() {
        // Nobody reads stderr; the exit code still says it.
        let _ = misuse.print();
        return exit_code::MISUSE;
    }
    // The same.
    let _ = writeln!(std::io::stderr(), "sandtrap: {error:#}");
    if error.is::<Mistake>() { exit_code::MISUSE } else { exit_code::OWN_FAILURE }
}

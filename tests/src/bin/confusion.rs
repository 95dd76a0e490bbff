//! Prints the confusion matrix: `confusion [--rounds N] [--within TIME] [--load] [--backtrace] [--markdown FILE]`.
//! Fails where anything is off its diagonal.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::process::ExitCode;

use sandtrap::parse_duration;
use sandtrap_tests::confusion::builds::Builds;
use sandtrap_tests::confusion::load::Load;
use sandtrap_tests::confusion::{Asked, Matrix};

fn main() -> ExitCode {
    let (mut asked, mut load, mut markdown) =
        (Asked { rounds: 5, backtrace: false, within: None }, false, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), &mut words) {
            ("--load", _) => load = true,
            ("--backtrace", _) => asked.backtrace = true,
            ("--markdown", words) => markdown = words.next(),
            ("--rounds", words) => {
                let Some(number) = words.next().and_then(|number| number.parse().ok()) else {
                    return misuse("--rounds wants a number");
                };
                asked.rounds = number;
            }
            ("--within", words) => {
                let Some(within) = words.next().and_then(|time| parse_duration(&time).ok()) else {
                    return misuse("--within wants a time");
                };
                asked.within = Some(within);
            }
            (other, _) => return misuse(&format!("there is no `{other}`")),
        }
    }
    let builds = Builds::make();
    let busy = load.then(Load::begin);
    let matrix = Matrix::run(&builds, asked);
    drop(busy);
    print!("{}", matrix.text());
    if let Some(path) = markdown {
        let within =
            asked.within.map_or(String::new(), |time| format!(" --within {}s", time.as_secs()));
        let load = if load { " --load" } else { "" };
        let command = format!(
            "cargo run -p sandtrap-tests --bin confusion -- --rounds {}{within}{load}",
            asked.rounds
        );
        if let Err(error) = std::fs::write(&path, matrix.markdown(&builds, &command)) {
            eprintln!("cannot write {path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    if matrix.wrong().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn misuse(what: &str) -> ExitCode {
    eprintln!("{what}; as in `confusion --rounds 100 --load --markdown docs/confusion.md`");
    ExitCode::from(2)
}

//! `late_reader [MIB]`: eight workers return so many mebibytes each (200) at once to a caller who reads when all have ended.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::process::ExitCode;

use sandtrap_tests::guests::Form;
use sandtrap_tests::late::{Over, read_late};

fn main() -> ExitCode {
    let mib = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(200);
    let ways = [
        ("processes, over stdout", Form::Process, Over::Stdout),
        ("processes, as results", Form::Process, Over::Channel),
        ("modules, as results", Form::Module, Over::Channel),
    ];
    let mut all = true;
    for (name, form, over) in ways {
        let (whole, peak) = read_late(form, over, 8, mib);
        println!(
            "{name}: {whole} of 8 reports have their {mib} MiB; resident: {} KiB before, {} KiB at most; the results are {} \
             KiB, and {} KiB were held besides",
            peak.before_kib,
            peak.most_kib,
            peak.results_kib,
            peak.besides_kib()
        );
        all &= whole == 8;
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

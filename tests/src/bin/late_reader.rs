//! `late_reader [MIB]`: eight workers return so many mebibytes each (200) at once to a caller who reads when all have ended.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::process::ExitCode;

use sandtrap_tests::guests::Form;
use sandtrap_tests::late::read_late;

fn main() -> ExitCode {
    let mib = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(200);
    let (whole, peak) = read_late(Form::Process, 8, mib);
    println!("{whole} of 8 reports have their {mib} MiB");
    println!(
        "resident: {} KiB before, {} KiB at most; the results are {} KiB, and {} KiB were held besides",
        peak.before_kib,
        peak.most_kib,
        peak.results_kib,
        peak.besides_kib()
    );
    if whole == 8 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

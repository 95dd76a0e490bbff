//! Lets chaos loose and prints what came of it: `chaos [--tasks N | --for TIME]`. Fails where a report was wrong, a
//! worker was lost, or memory grew.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::process::ExitCode;

use sandtrap::parse_duration;
use sandtrap_tests::chaos::{Chaos, Extent};

/// What grows at first is what each of a thousand threads has touched once of its stack, what the places in the modules' pool keep, and what
/// the allocator does; all of it has its bound. A report that leaked for each of the later tasks would be far above this. (Of few
/// tasks, most are the first ones of their workers.)
const SLACK_KIB: u64 = 16 * 1024;
const MANY: usize = 50_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let extent = match &words[..] {
        [] => Some(Extent::Tasks(100_000)),
        [flag, number] if flag == "--tasks" => number.parse().ok().map(Extent::Tasks),
        [flag, time] if flag == "--for" => parse_duration(time).ok().map(Extent::Time),
        _ => None,
    };
    let Some(extent) = extent else {
        eprintln!("write it as in `chaos --tasks 100000` or `chaos --for 30m`");
        return ExitCode::from(2);
    };
    let chaos = Chaos::run(extent);
    println!("{chaos}");
    let [_, half, late, _] = chaos.counted;
    let is_flat = chaos.tasks < MANY || late.resident_kib <= half.resident_kib + SLACK_KIB;
    if !is_flat {
        println!("resident memory grew by more than {SLACK_KIB} KiB in the second half");
    }
    if chaos.is_right() && is_flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! Does one process stay the same over ten thousand tasks, half of them crashing, behind both walls? Or, with `--for 30m`, over
//! all that there are in half an hour at full load, with workers killed from outside?
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench shows its figures")]

use std::process::ExitCode;
use std::time::Instant;

use sandtrap::parse_duration;
use sandtrap_tests::chaos::{Chaos, Extent};
use sandtrap_tests::soak::{Soak, TASKS};

fn main() -> ExitCode {
    // The word `--bench` is cargo's.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match &words[..] {
        [] => {
            let began = Instant::now();
            let soak = Soak::run(TASKS);
            let seconds = began.elapsed().as_secs_f64();
            println!("soak/both/{TASKS}: {seconds:.1} s, {:.0} tasks/s", TASKS as f64 / seconds);
            println!("{soak}");
            ExitCode::SUCCESS
        }
        [flag, time] if flag == "--for" && parse_duration(time).is_ok() => {
            let time = parse_duration(time).unwrap_or_default();
            let chaos = Chaos::run(Extent::Time(time));
            println!("soak/chaos/{}s:\n{chaos}", time.as_secs());
            if chaos.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        _ => {
            eprintln!("write it as in `cargo bench -p sandtrap-benches --bench soak -- --for 30m`");
            ExitCode::from(2)
        }
    }
}

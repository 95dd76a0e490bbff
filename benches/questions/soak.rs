//! Does one process stay the same over ten thousand tasks, half of them crashing, behind both walls?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::time::Instant;

use sandtrap_tests::soak::{Soak, TASKS};

fn main() {
    let began = Instant::now();
    let soak = Soak::run(TASKS);
    let seconds = began.elapsed().as_secs_f64();
    println!("soak/both/{TASKS}: {seconds:.1} s, {:.0} tasks/s", TASKS as f64 / seconds);
    println!("{soak}");
}

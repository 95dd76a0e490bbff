//! How much later than its deadline has a guest that spins its verdict?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::time::{Duration, Instant};

use sandtrap::{Limits, Loaded, Program, Runtime, Task, Wall};
use sandtrap_benches::notebook::Sense;
use sandtrap_benches::{is_quick, tell_value};
use sandtrap_tests::guests;

const SPIN: &str = r#"(module (func (export "_start") (loop br 0)))"#;

const WALL: Duration = Duration::from_millis(20);

/// What is promised, in milliseconds at the median.
const GOAL: f64 = 0.5;

pub(crate) fn ask() {
    let runtime = Runtime::new().expect("a runtime");
    let limits = Limits { wall: WALL, ..Limits::default() };
    let module = Program::module("spin", SPIN.as_bytes()).limits(limits.clone());
    let process = Program::file(guests::native("spin")).within(Wall::Native).limits(limits);
    for (question, program) in [("deadline/wasm", module), ("deadline/native", process)] {
        measure(question, &runtime.load(program).expect("a guest"));
    }
}

fn measure(question: &str, spin: &Loaded) {
    let samples = if is_quick() { 50 } else { 200 };
    let task = Task::command(Vec::<String>::new());
    let mut late: Vec<f64> = (0..samples)
        .map(|_| {
            let begin = Instant::now();
            let report = spin.run(&task);
            assert_eq!(report.verdict.label().as_str(), "stopped.wall-time");
            begin.elapsed().saturating_sub(WALL).as_secs_f64() * 1e3
        })
        .collect();
    late.sort_by(f64::total_cmp);
    let (least, median, last) = (late[0], late[late.len() / 2], late[late.len() - 1]);
    println!(
        "{question}: late by {least:.2} ms at least, {median:.2} at the median, {last:.2} at most"
    );
    tell_value(question, "ms late", median, Sense::AtMost, GOAL);
}

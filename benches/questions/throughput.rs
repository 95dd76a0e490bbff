//! How many fresh instances can two processors take in a second, in terms of two bare threads?
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::thread;
use std::time::{Duration, Instant};

use sandtrap::{Program, Runtime, Task};
use sandtrap_benches::notebook::Sense;
use sandtrap_benches::{is_quick, tell_value};
use sandtrap_tests::guests;

use crate::floors::{Bare, lean};

const ROUNDS: usize = 5;

pub(crate) fn ask() {
    let time = Duration::from_millis(if is_quick() { 100 } else { 400 });
    let runtime = Runtime::new().expect("a runtime");
    let hello = runtime.load(Program::file(guests::wasm("hello"))).expect("a guest");
    let bare = Bare::new(&lean(), "hello");
    let task = Task::command(Vec::<String>::new());
    let ours = || assert!(hello.run(&task).verdict.is_completed());
    let floor = || assert!(bare.run());
    for threads in [1, 2] {
        let mut rates: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| (rate(threads, time, &ours), rate(threads, time, &floor)))
            .collect();
        let shown = |rate: f64| format!("{:.1} k/s", rate / 1e3);
        rates.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
        // Both in one round share the machine's mood.
        let (ours, floor) = rates[ROUNDS / 2];
        println!("throughput/wasm/{threads}: {} beside {}", shown(ours), shown(floor));
        tell_value(
            &format!("throughput/wasm/{threads}"),
            "of bare threads",
            ours / floor,
            Sense::AtLeast,
            0.9,
        );
    }
}

/// Acts in a second.
fn rate(threads: usize, time: Duration, act: &(dyn Fn() + Sync)) -> f64 {
    let began = Instant::now();
    let serve = || {
        let mut done = 0_u64;
        while done == 0 || began.elapsed() < time {
            act();
            done += 1;
        }
        done
    };
    let all: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(serve)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no act panics")).sum()
    });
    all as f64 / began.elapsed().as_secs_f64()
}

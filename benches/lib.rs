//! What the benches share: cases that are run in turns, and the ratio between two of them.
//!
//! Machines are noisy and shared. So what is compared runs in the same process and in turns, round by round, and
//! both the smallest and the middle time count: the worse ratio of the two is the one that is told. Every ratio is
//! kept, too, for the table in `RATIOS.md`.
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

pub mod goals;
pub mod notebook;
mod statistics;
pub mod table;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use crate::statistics::by_criterion;

use crate::notebook::{Sense, note};

/// How long one sample takes at least: short operations are timed in batches.
const SAMPLE: Duration = Duration::from_micros(200);

static QUICK: AtomicBool = AtomicBool::new(false);

/// From now on rounds are short.
pub fn hurry() {
    QUICK.store(true, Ordering::Relaxed);
}

/// Whether somebody is in a hurry.
pub fn is_quick() -> bool {
    QUICK.load(Ordering::Relaxed)
}

/// Rounds in which every case has its turn, and how long a turn takes.
fn pace() -> (usize, Duration) {
    if is_quick() { (5, Duration::from_millis(30)) } else { (7, Duration::from_millis(150)) }
}

/// One thing to be timed.
pub struct Case<'a> {
    name: &'static str,
    /// Does it so often, and says how long that took.
    measure: Box<dyn FnMut(u32) -> Duration + 'a>,
    samples: Vec<f64>,
    batch: u32,
}

impl std::fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Case<'a> {
    /// A case. What it returns is kept from being optimised away.
    pub fn new<R>(name: &'static str, mut act: impl FnMut() -> R + 'a) -> Self {
        let measure = move |times| {
            let begin = Instant::now();
            for _ in 0..times {
                black_box(act());
            }
            begin.elapsed()
        };
        Self { name, measure: Box::new(measure), samples: Vec::new(), batch: 1 }
    }

    /// A case of which only a part counts, and which says itself how long that took.
    pub fn timed(name: &'static str, mut act: impl FnMut() -> Duration + 'a) -> Self {
        let measure = move |times| (0..times).map(|_| act()).sum();
        Self { name, measure: Box::new(measure), samples: Vec::new(), batch: 1 }
    }

    fn warm_up(&mut self, turn: Duration) {
        let begin = Instant::now();
        let mut runs = 0_u32;
        while runs < 2 || begin.elapsed() < turn / 2 {
            (self.measure)(1);
            runs += 1;
        }
        let once = begin.elapsed() / runs;
        self.batch = (SAMPLE.as_nanos() / once.as_nanos().max(1)).clamp(1, 100_000) as u32;
    }

    fn turn(&mut self, turn: Duration) {
        let begin = Instant::now();
        let mut taken = 0;
        while taken < 1 || begin.elapsed() < turn {
            let sample = (self.measure)(self.batch);
            self.samples.push(sample.as_secs_f64() / f64::from(self.batch));
            taken += 1;
        }
    }
}

/// The times of one case, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Which case.
    pub name: &'static str,
    /// The smallest time.
    pub least: f64,
    /// The one in the middle.
    pub median: f64,
}

impl Figures {
    /// Of any samples, in seconds.
    pub fn of(name: &'static str, mut samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "{name} has no samples");
        samples.sort_by(f64::total_cmp);
        Self { name, least: samples[0], median: samples[samples.len() / 2] }
    }

    /// How many times the other's cost this is: by the least or by the median, whichever is worse.
    pub fn ratio_to(&self, floor: &Self) -> f64 {
        (self.least / floor.least).max(self.median / floor.median)
    }

    /// How many times less than the other's cost this is: by the least or by the median, whichever is worse.
    pub fn times_below(&self, other: &Self) -> f64 {
        (other.least / self.least).min(other.median / self.median)
    }
}

/// Runs the cases in turns, and prints and gives their figures in the order in which they came.
pub fn in_turns<const N: usize>(question: &str, mut cases: [Case<'_>; N]) -> [Figures; N] {
    let (rounds, turn) = pace();
    if !statistics::sampled(question, &mut cases, turn) {
        for case in &mut cases {
            case.warm_up(turn);
        }
        for round in 0..rounds {
            for place in 0..N {
                cases[(round + place) % N].turn(turn);
            }
        }
    }
    cases.each_mut().map(|case| {
        let figures = Figures::of(case.name, std::mem::take(&mut case.samples));
        tell(question, &figures);
        figures
    })
}

/// Prints the times of a case.
pub fn tell(question: &str, figures: &Figures) {
    println!(
        "{question}/{:<24} least {:>10}  median {:>10}",
        figures.name,
        show(figures.least),
        show(figures.median)
    );
}

/// Prints and keeps a ratio beside its goal, under the question's name.
pub fn tell_ratio(question: &str, figures: &Figures, floor: &Figures, goal: f64) {
    let ratio = figures.ratio_to(floor);
    let (ours, floors) = (both(figures), both(floor));
    note(question, &ours, &floors, Sense::AtMost, ratio, goal);
    tell_row(question, figures.name, floor.name, ratio, goal, ratio <= goal);
}

/// The same for a ratio of which nothing was promised.
pub fn tell_beside(question: &str, figures: &Figures, floor: &Figures) {
    let ratio = figures.ratio_to(floor);
    note(question, &both(figures), &both(floor), Sense::AtMost, ratio, f64::INFINITY);
    println!("{question}: {} / {} = {ratio:.2}", figures.name, floor.name);
}

/// The same for something that shall cost so many times less than another.
pub fn tell_gain(question: &str, figures: &Figures, other: &Figures, goal: f64) {
    let gain = figures.times_below(other);
    let (ours, others) = (both(figures), both(other));
    note(question, &ours, &others, Sense::AtLeast, gain, goal);
    tell_row(question, other.name, figures.name, gain, goal, gain >= goal);
}

/// The same for a number that is no ratio, with its unit.
pub fn tell_value(question: &str, unit: &'static str, value: f64, sense: Sense, goal: f64) {
    let is_met = sense.is_met(value, goal);
    let shown = format!("{value:.2} {unit}");
    note(question, &shown, &format!("{goal} {unit}"), sense, value, goal);
    tell_row(question, &shown, unit, value, goal, is_met);
}

fn tell_row(question: &str, one: &str, other: &str, ratio: f64, goal: f64, is_met: bool) {
    let word = if is_met { "met" } else { "missed" };
    println!("{question}: {one} / {other} = {ratio:.2} (goal {goal:.2}, {word})");
}

fn both(figures: &Figures) -> String {
    format!("{}: {} / {}", figures.name, show(figures.least), show(figures.median))
}

/// A time, in the unit in which people say it.
pub fn show(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.1} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

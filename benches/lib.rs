//! What the benches share: cases that are run in turns, and the ratio between two of them.
//!
//! Machines are noisy and shared. So what is compared runs in the same process and in turns, round by round, and
//! both the smallest and the middle time count: the worse ratio of the two is the one that is told.
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds in which every case has its turn.
const ROUNDS: usize = 7;

/// How long one sample takes at least: short operations are timed in batches.
const SAMPLE: Duration = Duration::from_micros(200);

/// How long the turn of one case takes.
const TURN: Duration = Duration::from_millis(150);

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

    fn warm_up(&mut self) {
        let begin = Instant::now();
        let mut runs = 0_u32;
        while runs < 3 || begin.elapsed() < TURN / 2 {
            (self.measure)(1);
            runs += 1;
        }
        let once = begin.elapsed() / runs;
        self.batch = (SAMPLE.as_nanos() / once.as_nanos().max(1)).clamp(1, 100_000) as u32;
    }

    fn turn(&mut self) {
        let begin = Instant::now();
        let mut taken = 0;
        while taken < 3 || begin.elapsed() < TURN {
            let sample = (self.measure)(self.batch);
            self.samples.push(sample.as_secs_f64() / f64::from(self.batch));
            taken += 1;
        }
    }

    fn figures(&mut self) -> Figures {
        self.samples.sort_by(f64::total_cmp);
        Figures {
            name: self.name,
            least: self.samples[0],
            median: self.samples[self.samples.len() / 2],
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
    /// How many times the other's cost this is: by the least or by the median, whichever is worse.
    pub fn ratio_to(&self, floor: &Self) -> f64 {
        (self.least / floor.least).max(self.median / floor.median)
    }
}

/// Runs the cases in turns, and prints and gives their figures in the order in which they came.
pub fn in_turns<const N: usize>(question: &str, mut cases: [Case<'_>; N]) -> [Figures; N] {
    for case in &mut cases {
        case.warm_up();
    }
    for round in 0..ROUNDS {
        for turn in 0..N {
            cases[(round + turn) % N].turn();
        }
    }
    cases.each_mut().map(|case| {
        let figures = case.figures();
        println!(
            "{question}/{:<24} least {:>10}  median {:>10}",
            figures.name,
            show(figures.least),
            show(figures.median)
        );
        figures
    })
}

/// Prints a ratio beside its goal.
pub fn tell_ratio(question: &str, figures: &Figures, floor: &Figures, goal: f64) {
    let ratio = figures.ratio_to(floor);
    let word = if ratio <= goal { "met" } else { "missed" };
    println!("{question}: {} / {} = {ratio:.2} (goal {goal:.2}, {word})", figures.name, floor.name);
}

fn show(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.1} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

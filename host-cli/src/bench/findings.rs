//! What the bench finds out: plain figures, for whoever shows them.

use super::modes::Mode;
use super::timing::Spread;

/// All that was found out about one guest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) guest: Subject,
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) modes: Vec<Found>,
    /// Modes that are not here, and why.
    pub(crate) left_out: Vec<(&'static str, String)>,
    /// Measures that are not here, and why.
    pub(crate) not_measured: Vec<(&'static str, String)>,
    pub(crate) guards: Vec<Switch>,
    /// A start of the same program without any wall.
    pub(crate) bare: Option<Spread>,
    /// In words, for people.
    pub(crate) advice: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Whose figures they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) native: Option<String>,
    pub(crate) wasm: Option<String>,
    /// What is done in each call.
    pub(crate) work: String,
    /// What is done with payload.
    pub(crate) payload: String,
}

/// Where they were taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) processors: usize,
    pub(crate) system: String,
}

/// What was found out about one mode.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) mode: Mode,
    /// Making it ready with nothing kept of earlier times, its first call included.
    pub(crate) first: Option<f64>,
    /// The same with what is kept: from nothing to the first result.
    pub(crate) start: Option<Spread>,
    pub(crate) call: Spread,
    /// The processor time of the guest in one call, where it is known.
    pub(crate) own: Option<f64>,
    /// Calls in a second, with one thread for each processor.
    pub(crate) throughput: Option<f64>,
    /// Bytes that one guest holds.
    pub(crate) memory: u64,
    /// A crash, and then a call that ends well.
    pub(crate) crash: Option<Spread>,
    pub(crate) payload: Vec<(usize, Spread)>,
    pub(crate) live: Vec<Crowd>,
}

/// Many guests of one mode at the same time.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) cells: usize,
    /// Seconds for one call.
    pub(crate) call: f64,
    /// Bytes that all of them hold.
    pub(crate) memory: u64,
}

/// What one guard or limit costs: a fresh call with it, and without.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    pub(crate) mode: &'static str,
    pub(crate) name: &'static str,
    pub(crate) with: Spread,
    pub(crate) without: Spread,
}

impl Switch {
    /// What it adds to a call, in seconds. Nothing, where that is lost in the noise: where a round with it was as quick as
    /// one without, or least and median disagree about the sign. Then the difference is no larger than what
    /// either side differs from itself.
    pub(crate) fn cost(&self) -> Option<f64> {
        let least = self.with.least - self.without.least;
        let median = self.with.median - self.without.median;
        let (with, without) = (self.with.rounds, self.without.rounds);
        let is_apart = with.0 > without.1 || with.1 < without.0;
        let smaller = if least.abs() < median.abs() { least } else { median };
        (is_apart && least * median > 0.0).then_some(smaller)
    }
}

impl Findings {
    /// The mode whose calls take least.
    pub(crate) fn fastest(&self) -> Option<&Found> {
        self.modes.iter().min_by(|one, other| one.call.median.total_cmp(&other.call.median))
    }

    pub(crate) fn found(&self, mode: Mode) -> Option<&Found> {
        self.modes.iter().find(|found| found.mode == mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(with: [f64; 3], without: [f64; 3]) -> Switch {
        let of = |rounds: [f64; 3]| Spread::of(rounds.map(|it| vec![it; 9]).to_vec()).unwrap();
        Switch { mode: "", name: "", with: of(with), without: of(without) }
    }

    #[test]
    fn a_difference_is_told_only_where_it_is_larger_than_the_spread_of_both() {
        assert_eq!(switch([5.0, 6.0, 7.0], [2.0, 3.0, 4.0]).cost(), Some(3.0));
        assert_eq!(switch([2.0, 3.0, 4.0], [5.0, 6.0, 7.0]).cost(), Some(-3.0));
        // Large as it is: a round without it took as long.
        assert_eq!(switch([5.0, 6.0, 7.0], [2.0, 2.0, 5.0]).cost(), None);
        assert_eq!(switch([3.0, 9.0, 9.0], [2.0, 2.0, 4.0]).cost(), None);
        assert_eq!(switch([3.0, 3.0, 3.0], [3.0, 3.0, 3.0]).cost(), None);
    }
}

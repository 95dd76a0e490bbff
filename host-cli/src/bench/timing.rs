//! Times, taken in turns: all that is compared has its turn in every round, so that a busy moment of the machine
//! falls on each of them.

use std::time::{Duration, Instant};

/// How many steps the shape of a spread has from its least to its largest time.
const STEPS: usize = 40;

/// So many times the median is far off.
const FAR: f64 = 5.0;

/// After so many failures in a row nothing more is asked of a contestant.
const PATIENCE: u32 = 3;

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Rounds in which everyone has a turn.
    pub(crate) rounds: u32,
    /// How long one turn takes, or as long as one call if that is longer.
    pub(crate) turn: Duration,
}

/// One of those that are compared.
pub(crate) struct Contestant<'a> {
    act: Box<dyn FnMut() -> Result<(), String> + 'a>,
    rounds: Vec<Vec<f64>>,
    failures: u32,
    failure: Option<String>,
}

impl<'a> Contestant<'a> {
    pub(crate) fn new(act: impl FnMut() -> Result<(), String> + 'a) -> Self {
        Self { act: Box::new(act), rounds: Vec::new(), failures: 0, failure: None }
    }

    /// The first times of anything are those of cold caches.
    fn warm_up(&mut self, turn: Duration) {
        let began = Instant::now();
        loop {
            self.take_one();
            if self.is_out() || began.elapsed() >= turn / 4 {
                break;
            }
        }
        self.rounds.clear();
    }

    fn turn(&mut self, turn: Duration) {
        let began = Instant::now();
        self.rounds.push(Vec::new());
        while !self.is_out() {
            self.take_one();
            if began.elapsed() >= turn {
                break;
            }
        }
    }

    fn take_one(&mut self) {
        let began = Instant::now();
        match (self.act)() {
            Ok(()) => {
                let took = began.elapsed().as_secs_f64();
                self.failures = 0;
                match self.rounds.last_mut() {
                    Some(round) => round.push(took),
                    None => self.rounds.push(vec![took]),
                }
            }
            Err(failure) => {
                self.failures += 1;
                self.failure.get_or_insert(failure);
            }
        }
    }

    fn is_out(&self) -> bool {
        self.failures >= PATIENCE
    }

    /// What came of it: its times, or what went wrong, if there are none.
    pub(crate) fn spread(self) -> Result<Spread, String> {
        let failure = self.failure;
        Spread::of(self.rounds).ok_or_else(|| failure.unwrap_or_else(|| "no time".to_owned()))
    }
}

/// Gives everyone a turn in every round, each time beginning with another one.
pub(crate) fn in_turns(pace: Pace, contestants: &mut [Contestant<'_>], tick: &dyn Fn()) {
    for contestant in &mut *contestants {
        contestant.warm_up(pace.turn);
    }
    let all = contestants.len();
    for round in 0..pace.rounds as usize {
        for place in 0..all {
            contestants[(round + place) % all].turn(pace.turn);
            tick();
        }
    }
}

/// How long something takes, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) p95: f64,
    pub(crate) samples: usize,
    /// The least and the largest median of a round.
    pub(crate) rounds: (f64, f64),
    /// The largest median of a round, in terms of the least one: 1 on a machine that is quiet.
    pub(crate) unrest: f64,
    /// The share of the samples that are far off.
    pub(crate) far_off: f64,
    /// Times at equal steps from the least to the largest, that one left out of which there is but one.
    pub(crate) shape: Vec<f64>,
}

impl Spread {
    pub(super) fn of(rounds: Vec<Vec<f64>>) -> Option<Self> {
        let medians: Vec<f64> = rounds
            .iter()
            .filter(|round| !round.is_empty())
            .map(|round| at(&sorted(round.clone()), 0.5))
            .collect();
        let all = sorted(rounds.into_iter().flatten().collect());
        if all.is_empty() {
            return None;
        }
        let median = at(&all, 0.5);
        let far = all.iter().filter(|time| **time > median * FAR).count();
        let (least, most) = (medians.iter().copied().fold(f64::MAX, f64::min), largest(&medians));
        Some(Self {
            least: all[0],
            median,
            p95: at(&all, 0.95),
            samples: all.len(),
            rounds: (least, most),
            unrest: if least > 0.0 { most / least } else { 1.0 },
            far_off: far as f64 / all.len() as f64,
            shape: (0..=STEPS).map(|step| at(&all, 0.99 * step as f64 / STEPS as f64)).collect(),
        })
    }

    /// How many times the other's cost this is: by the least or by the median, whichever is worse.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        (self.least / other.least).max(self.median / other.median)
    }
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[(last as f64 * share).round() as usize]
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MIN, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_spread_is_of_all_rounds_together() {
        let rounds = vec![(1..=50).map(f64::from).collect(), (51..=101).map(f64::from).collect()];
        let spread = Spread::of(rounds).unwrap();
        assert_eq!((spread.least, spread.median, spread.samples), (1.0, 51.0, 101));
        assert_eq!(spread.p95, 96.0);
        assert_eq!((spread.shape[0], spread.shape[STEPS]), (1.0, 100.0));
    }

    #[test]
    fn unrest_and_what_is_far_off_are_seen() {
        let calm = Spread::of(vec![vec![2.0; 10], vec![2.0; 10]]).unwrap();
        assert_eq!((calm.unrest, calm.far_off), (1.0, 0.0));
        let busy = Spread::of(vec![vec![2.0; 10], vec![4.0; 9], vec![50.0]]).unwrap();
        assert_eq!((busy.unrest, busy.far_off), (25.0, 0.05));
    }

    #[test]
    fn the_worse_ratio_counts() {
        let of = |times: &[f64]| Spread::of(vec![times.to_vec()]).unwrap();
        assert_eq!(of(&[2.0, 9.0, 9.0]).ratio_to(&of(&[1.0, 3.0, 3.0])), 3.0);
        assert_eq!(of(&[4.0, 9.0, 9.0]).ratio_to(&of(&[1.0, 9.0, 9.0])), 4.0);
    }

    #[test]
    fn whoever_only_fails_is_soon_out_and_says_why() {
        let asked = Cell::new(0);
        let mut contestants = [Contestant::new(|| {
            asked.set(asked.get() + 1);
            Err(format!("failure {}", asked.get()))
        })];
        let pace = Pace { rounds: 3, turn: Duration::from_secs(3600) };
        in_turns(pace, &mut contestants, &|| {});
        let [contestant] = contestants;
        assert_eq!(contestant.spread(), Err("failure 1".to_owned()));
        assert_eq!(asked.get(), PATIENCE);
    }

    #[test]
    fn a_call_that_takes_longer_than_a_turn_is_a_turn() {
        let calls = Cell::new(0);
        let mut contestants = [Contestant::new(|| {
            calls.set(calls.get() + 1);
            Ok(())
        })];
        in_turns(Pace { rounds: 3, turn: Duration::ZERO }, &mut contestants, &|| {});
        let [contestant] = contestants;
        assert_eq!(contestant.spread().unwrap().samples, 3);
        assert_eq!(calls.get(), 4, "one to warm up");
    }
}

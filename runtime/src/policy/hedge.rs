//! When a second copy of a slow task is sent: after the time within which nearly all of its kind have ended so far.
//!
//! Only for tasks that may be done twice. The first answer counts, and the other copy is stopped at once. Copies are paid from the
//! budget of retries, so that a time in which everything is slow doesn't double the work.

use std::time::Duration;

/// When a task is late enough for a second copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeSettings {
    /// Later than so many of a hundred of its kind.
    pub percentile: u32,
    /// So many of its kind have to have ended before that is known.
    pub samples: u32,
    /// No task is late before this.
    pub least: Duration,
}

impl Default for HedgeSettings {
    fn default() -> Self {
        Self { percentile: 95, samples: 100, least: Duration::from_millis(1) }
    }
}

/// Times that are remembered of each kind.
const MOST: usize = 256;

/// How long the last tasks of one kind took.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// A ring.
    last: Vec<Duration>,
    seen: u64,
}

impl Times {
    /// One more has ended well.
    pub fn record(&mut self, took: Duration) {
        match self.last.len() < MOST {
            true => self.last.push(took),
            false => self.last[(self.seen % MOST as u64) as usize] = took,
        }
        self.seen += 1;
    }

    /// When the next one is late, if that is known yet.
    pub fn late_after(&self, settings: &HedgeSettings) -> Option<Duration> {
        if self.last.is_empty() || self.seen < u64::from(settings.samples) {
            return None;
        }
        let mut times = self.last.clone();
        let at = (times.len() * settings.percentile as usize / 100).min(times.len() - 1);
        let (_, late, _) = times.select_nth_unstable(at);
        Some((*late).max(settings.least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: HedgeSettings =
        HedgeSettings { percentile: 95, samples: 100, least: Duration::ZERO };

    #[test]
    fn nobody_is_late_before_enough_of_its_kind_have_ended() {
        let mut times = Times::default();
        for _ in 0..99 {
            times.record(Duration::from_secs(1));
            assert_eq!(times.late_after(&EVERY), None);
        }
        times.record(Duration::from_secs(1));
        assert_eq!(times.late_after(&EVERY), Some(Duration::from_secs(1)));
        assert_eq!(Times::default().late_after(&HedgeSettings { samples: 0, ..EVERY }), None);
    }

    #[test]
    fn late_is_later_than_95_of_a_hundred() {
        let mut times = Times::default();
        // In no order.
        (0..100).for_each(|at| times.record(Duration::from_millis(at * 37 % 100)));
        assert_eq!(times.late_after(&EVERY), Some(Duration::from_millis(95)));
        let half = HedgeSettings { percentile: 50, ..EVERY };
        assert_eq!(times.late_after(&half), Some(Duration::from_millis(50)));
        let least = HedgeSettings { least: Duration::from_secs(1), ..EVERY };
        assert_eq!(times.late_after(&least), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut times = Times::default();
        (0..1_000).for_each(|_| times.record(Duration::from_secs(9)));
        (0..MOST).for_each(|_| times.record(Duration::from_millis(2)));
        assert_eq!(times.late_after(&EVERY), Some(Duration::from_millis(2)));
        assert_eq!(times.last.len(), MOST);
    }
}

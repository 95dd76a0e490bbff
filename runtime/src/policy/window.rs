//! The last calls, as a breaker remembers them: those of a while, in slices, or a number of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A while has this many slices; the oldest one is forgotten as a whole.
pub const SLICES: u32 = 10;

/// How far back a breaker looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// This long.
    Time(Duration),
    /// This many calls.
    Calls(u32),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that ended.
    pub calls: u32,
    /// Those of them that failed.
    pub failures: u32,
    /// Those of them that took too long.
    pub slow: u32,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }

    /// How many of a hundred calls failed.
    pub fn failure_rate(self) -> u32 {
        percent(self.failures, self.calls)
    }

    /// How many of a hundred calls took too long.
    pub fn slow_rate(self) -> u32 {
        percent(self.slow, self.calls)
    }
}

fn percent(part: u32, whole: u32) -> u32 {
    (u64::from(part) * 100).checked_div(u64::from(whole)).unwrap_or(0) as u32
}

/// The calls within a span. Its memory is fixed: ten slices, or the number of calls.
#[derive(Clone, Debug)]
pub struct Window {
    span: Span,
    since: Instant,
    /// Slices, or single calls; the newest at the end.
    kept: VecDeque<(u64, Tally)>,
    sum: Tally,
}

impl Window {
    /// An empty one.
    pub fn new(span: Span, now: Instant) -> Self {
        Self { span, since: now, kept: VecDeque::new(), sum: Tally::default() }
    }

    /// Counts one call.
    pub fn add(&mut self, failed: bool, slow: bool, now: Instant) {
        let call = Tally { calls: 1, failures: failed.into(), slow: slow.into() };
        self.forget(now);
        let slice = self.slice(now);
        match (self.span, self.kept.back_mut()) {
            // Two threads that read their clocks may come in the other order: what is late belongs to the newest.
            (Span::Time(_), Some((newest, tally))) if *newest >= slice => tally.add(call),
            (Span::Time(_) | Span::Calls(_), _) => self.kept.push_back((slice, call)),
        }
        self.sum.add(call);
        if let Span::Calls(most) = self.span {
            while self.kept.len() > most.max(1) as usize {
                self.drop_oldest();
            }
        }
    }

    /// What it holds.
    pub fn tally(&mut self, now: Instant) -> Tally {
        self.forget(now);
        self.sum
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.sum = Tally::default();
    }

    fn forget(&mut self, now: Instant) {
        if let Span::Time(_) = self.span {
            let slice = self.slice(now);
            while self.kept.front().is_some_and(|(old, _)| old + u64::from(SLICES) <= slice) {
                self.drop_oldest();
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, oldest)) = self.kept.pop_front() {
            self.sum.subtract(oldest);
        }
    }

    fn slice(&self, now: Instant) -> u64 {
        let Span::Time(span) = self.span else { return 0 };
        let length = (span / SLICES).as_nanos().max(1);
        (now.saturating_duration_since(self.since).as_nanos() / length) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s16_a_while_is_forgotten_slice_by_slice() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(Span::Time(Duration::from_secs(10)), start);
        for second in 0..10 {
            window.add(second % 2 == 0, second == 9, at(second));
        }
        let tally = window.tally(at(9));
        assert_eq!((tally.calls, tally.failures, tally.slow), (10, 5, 1));
        assert_eq!((tally.failure_rate(), tally.slow_rate()), (50, 10));
        assert_eq!(window.tally(at(12)).calls, 7);
        assert_eq!(window.tally(at(1_000)), Tally::default());
        assert!(window.kept.is_empty());
    }

    #[test]
    fn s16_a_number_of_calls_is_the_last_ones() {
        let start = Instant::now();
        let mut window = Window::new(Span::Calls(3), start);
        for failed in [true, true, true, false, false] {
            window.add(failed, false, start);
        }
        assert_eq!(window.tally(start + Duration::from_secs(9)).failures, 1);
        window.clear();
        assert_eq!(window.tally(start).failure_rate(), 0);
    }

    #[test]
    fn a_clock_that_was_read_too_early_is_counted_in_the_newest_slice() {
        let start = Instant::now();
        let mut window = Window::new(Span::Time(Duration::from_secs(10)), start);
        window.add(true, false, start + Duration::from_secs(5));
        window.add(true, false, start + Duration::from_secs(2));
        assert_eq!(window.tally(start + Duration::from_secs(14)).failures, 2);
        assert_eq!(window.tally(start + Duration::from_secs(15)).failures, 0);
    }
}

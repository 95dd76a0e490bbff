//! Whether a caller gives way to his guest instead of going to sleep, where that has one processor, which is his.
//!
//! Who gives way stays awake, and so does his guest, who gives way to him: nobody has to be woken, and none of the two is taken
//! off the kernel's list and put on it again, which is half of what such a call takes. But the kernel takes the turn of whoever
//! gives way for used up: if somebody else wants to run there, he comes first, and for milliseconds. So it is left off for long
//! after a call that took long, and after one in which the guest had not run when its caller was back.

use std::time::{Duration, Instant};

/// A call that took longer was kept by somebody else, or by its guest's own work, for which it doesn't matter how it is waited for.
const LONG: Duration = Duration::from_micros(100);

/// So often what was lost has to pass before it is tried again: what is lost altogether stays little beside that.
const PATIENCE: u32 = 16;

/// That time at least, and at most.
const LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_secs(10);

/// So many calls in a row that went well say that there is nobody else.
const ROW: u32 = 32;

/// What came of it so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Giving {
    /// For how long it was left off the last time, and until when.
    penalty: Duration,
    until: Option<Instant>,
    /// Calls since then.
    row: u32,
}

impl Giving {
    /// The clock is asked only where it matters.
    pub(super) fn may_begin(&self, now: impl Fn() -> Instant) -> bool {
        self.until.is_none_or(|until| now() >= until)
    }

    /// A call for which somebody gave way took so long. `slept`: whether he had to sleep for its answer after all.
    pub(super) fn learn(&mut self, took: Duration, slept: bool, now: impl Fn() -> Instant) {
        if took <= LONG && !slept {
            self.row = self.row.saturating_add(1);
            if self.row == ROW {
                (self.penalty, self.until) = (Duration::ZERO, None);
            }
            return;
        }
        let penalty = (2 * self.penalty).max(took.saturating_mul(PATIENCE));
        self.penalty = penalty.clamp(LEAST, MOST);
        (self.until, self.row) = (Some(now() + self.penalty), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(4);

    #[test]
    fn it_goes_on_as_long_as_calls_are_short() {
        let (mut giving, now) = (Giving::default(), Instant::now());
        for _ in 0..100 {
            assert!(giving.may_begin(|| now));
            giving.learn(SHORT, false, || now);
        }
    }

    #[test]
    fn what_was_lost_is_lost_again_only_after_many_times_as_long() {
        let (mut giving, now) = (Giving::default(), Instant::now());
        let slice = Duration::from_millis(3);
        giving.learn(slice, false, || now);
        assert!(!giving.may_begin(|| now) && !giving.may_begin(|| now + 15 * slice));
        let next = now + 16 * slice;
        assert!(giving.may_begin(|| next));
        giving.learn(slice, false, || next);
        assert!(!giving.may_begin(|| next + 31 * slice), "it is the second time");
        assert!(giving.may_begin(|| next + 32 * slice));
        giving.learn(Duration::from_secs(5), false, || next);
        assert!(!giving.may_begin(|| next + MOST / 2));
        assert!(giving.may_begin(|| next + MOST));
    }

    #[test]
    fn who_had_to_sleep_after_all_leaves_it_off_for_a_while_and_forgets_that_when_it_goes_well() {
        let (mut giving, now) = (Giving::default(), Instant::now());
        giving.learn(SHORT, true, || now);
        assert!(!giving.may_begin(|| now) && giving.may_begin(|| now + LEAST));
        for _ in 1..ROW {
            giving.learn(SHORT, false, || now);
        }
        giving.learn(SHORT, true, || now);
        assert!(!giving.may_begin(|| now + LEAST) && giving.may_begin(|| now + 2 * LEAST));
        for _ in 0..ROW {
            giving.learn(SHORT, false, || now);
        }
        giving.learn(SHORT, true, || now);
        assert!(giving.may_begin(|| now + LEAST), "that was long ago");
    }
}

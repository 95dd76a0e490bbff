//! What is to be done with a guest before its next call, as far as that follows from how it was found and how long it took.

use std::time::{Duration, Instant};

/// Calls that begin so soon one after another are in a row.
const SOON: Duration = Duration::from_micros(50);

/// So many calls in a row are made beside one another before that is changed.
const ROW: u32 = 16;

/// As often it is measured what they take apart.
const BLOCK: u32 = 24;

/// After it was of no use, it is not tried again for so many times what was lost: who watches uses up his share of a processor
/// that others want, too, and is kept from it for long.
const PATIENCE: u32 = 16;

/// That time at least, if it was the first time, and at most.
const LEAST: Duration = Duration::from_micros(200);
const MOST: Duration = Duration::from_millis(50);

/// What is known of a guest before a call.
#[derive(Clone, Copy, Debug)]
pub(in crate::native) struct Found {
    /// The processor of its caller.
    pub(in crate::native) here: u32,
    /// Whether it was there, too, when it answered last.
    pub(in crate::native) is_here: bool,
    /// Whether it sleeps.
    pub(in crate::native) sleeps: bool,
}

/// What is done before a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Watch,
    Stay,
    Bring,
    Part,
}

/// Where it was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seat {
    #[default]
    Anywhere,
    /// On this processor.
    Beside(u32),
    /// On any other, and whether it has come there.
    Apart { is_there: bool },
}

/// What was done with it so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// Whether it can be put anywhere.
    pub(super) may_move: bool,
    /// Whether both may watch at once.
    pub(super) may_part: bool,
    /// Whether it was slow to wake where the kernel had put it.
    pub(super) is_slow: bool,
    pub(super) seat: Seat,
    /// Calls in a row.
    row: u32,
    /// For how long they were not to be parted last, and until when.
    penalty: Duration,
    until: Option<Instant>,
    /// When the row began, or the part of it that is measured, and when its last call did.
    began: Option<Instant>,
    last: Option<Instant>,
    /// What a call took in a row beside one another.
    took: Duration,
    /// Whether the last row was of use, so that the next one begins apart.
    is_worth_it: bool,
    /// For how many calls more its caller is held.
    pub(super) held: u32,
}

impl Course {
    pub(super) fn new(may_move: bool, may_part: bool) -> Self {
        let (began, last, took) = (None, None, Duration::ZERO);
        let (is_slow, is_worth_it, held) = (false, false, 0);
        let (seat, row, penalty, until) = (Seat::Anywhere, 0, Duration::ZERO, None);
        Self {
            may_move,
            may_part,
            is_slow,
            seat,
            row,
            penalty,
            until,
            began,
            last,
            took,
            is_worth_it,
            held,
        }
    }

    /// The same of one that turned out to be where it likes for good.
    pub(super) fn unmoved(&self) -> Self {
        let Self { may_part, penalty, until, .. } = *self;
        Self { penalty, until, ..Self::new(false, may_part) }
    }

    /// What is done before the next call. The clock is asked only where it matters.
    pub(super) fn next(&mut self, found: Found, now: impl Fn() -> Instant) -> Step {
        let Found { here, is_here, sleeps } = found;
        if let Seat::Apart { is_there } = self.seat
            && let Some(step) = self.apart(is_there, found, &now)
        {
            return step;
        }
        let brings = self.may_move && self.is_slow;
        let is_beside = is_here && (self.seat == Seat::Beside(here) || !brings);
        if !is_beside && sleeps && std::mem::take(&mut self.is_worth_it) {
            return self.part();
        }
        if !is_beside && brings && (sleeps || is_here) {
            return self.bring(here);
        }
        if !is_beside {
            self.row = 0;
            return Step::Watch;
        }
        if !self.may_part {
            return Step::Stay;
        }
        let now = now();
        let is_soon = self.last.replace(now).is_some_and(|it| now.duration_since(it) < SOON);
        if !is_soon {
            (self.row, self.began) = (0, Some(now));
            return Step::Stay;
        }
        self.row += 1;
        if self.row < ROW || self.until.is_some_and(|until| now < until) {
            return Step::Stay;
        }
        let began = self.began.unwrap_or(now);
        self.took = now.duration_since(began) / self.row;
        self.part()
    }

    /// What is done with one that was put elsewhere, as long as that goes on.
    fn apart(&mut self, is_there: bool, found: Found, now: impl Fn() -> Instant) -> Option<Step> {
        if found.is_here {
            // It could not be put anywhere.
            self.is_of_no_use(Duration::ZERO, now());
            return None;
        }
        if found.sleeps {
            if self.row < BLOCK {
                self.is_of_no_use(Duration::ZERO, now());
            }
            (self.seat, self.is_worth_it) = (Seat::Anywhere, self.row >= BLOCK);
            return None;
        }
        if !is_there {
            (self.seat, self.began) = (Seat::Apart { is_there: true }, Some(now()));
            return Some(Step::Watch);
        }
        self.row = self.row.saturating_add(1);
        if !self.row.is_multiple_of(BLOCK) {
            return Some(Step::Watch);
        }
        let now = now();
        let all = now.duration_since(self.began.replace(now).unwrap_or(now));
        // It costs a processor: a little is not enough.
        if all > self.took * BLOCK * 7 / 8 {
            self.is_of_no_use(all.saturating_sub(self.took * BLOCK), now);
            return Some(self.bring(found.here));
        }
        self.penalty /= 2;
        Some(Step::Watch)
    }

    /// It was put elsewhere, and that has cost so much more.
    pub(super) fn is_of_no_use(&mut self, loss: Duration, now: Instant) {
        (self.seat, self.row, self.is_worth_it) = (Seat::Anywhere, 0, false);
        let penalty = (2 * self.penalty).max(loss.saturating_mul(PATIENCE));
        self.penalty = penalty.clamp(LEAST, MOST);
        self.until = Some(now + self.penalty);
    }

    fn bring(&mut self, here: u32) -> Step {
        (self.seat, self.row, self.last) = (Seat::Beside(here), 0, None);
        Step::Bring
    }

    fn part(&mut self) -> Step {
        (self.seat, self.row, self.last) = (Seat::Apart { is_there: false }, 0, None);
        Step::Part
    }

    /// Whether its caller is held in this call.
    pub(super) fn is_held(&mut self) -> bool {
        let is_held = self.held > 0;
        self.held = self.held.saturating_sub(1);
        is_held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a guest is found that was last at `at`, by a caller at processor 0.
    fn found(at: u32, sleeps: bool) -> Found {
        Found { here: 0, is_here: at == 0, sleeps }
    }

    fn at(seat: Seat) -> Course {
        Course { seat, ..slow(true) }
    }

    fn slow(may_part: bool) -> Course {
        Course { is_slow: true, ..Course::new(true, may_part) }
    }

    /// The numbers of those of so many calls before which this was done; each comes so long after the one before it.
    fn steps(course: &mut Course, gap: Duration, count: u32, wanted: Step) -> Vec<u32> {
        let began = Instant::now();
        let step = |call: &u32| course.next(found(0, true), || began + gap * *call) == wanted;
        (0..count).filter(step).collect()
    }

    fn never() -> Instant {
        panic!("the clock is not asked")
    }

    #[test]
    fn a_guest_that_sleeps_elsewhere_and_is_slow_to_wake_is_brought() {
        let mut course = Course::new(true, true);
        assert_eq!(course.next(found(1, true), never), Step::Watch);
        course.is_slow = true;
        assert_eq!(course.next(found(1, false), never), Step::Watch, "it is awake");
        assert_eq!(course.next(found(1, true), never), Step::Bring);
        assert_eq!(course.next(found(0, true), Instant::now), Step::Stay);
        let elsewhere = Found { here: 1, is_here: false, sleeps: true };
        assert_eq!(course.next(elsewhere, never), Step::Bring, "its caller was moved");
        assert_eq!(course.seat, Seat::Beside(1));
    }

    #[test]
    fn calls_in_a_row_part_the_two_and_later_so_if_that_was_of_no_use() {
        let mut course = slow(true);
        // Calls come every 25 us: after 17 of them, and then after 8, 16 and 32 more for the time that is lost.
        assert_eq!(steps(&mut course, SOON / 2, 100, Step::Part), [17, 35, 53, 86]);
        assert_eq!(course.penalty, 8 * LEAST);
        assert_eq!(course.next(found(1, false), Instant::now), Step::Watch);
    }

    #[test]
    fn who_was_parted_stays_apart_as_long_as_that_is_of_use() {
        let (began, mut course) = (Instant::now(), at(Seat::Apart { is_there: false }));
        (course.took, course.penalty) = (Duration::from_micros(3), 8 * LEAST);
        let call = |course: &mut Course, at: u32| {
            course.next(found(1, false), || began + Duration::from_micros(2) * at)
        };
        for at in 0..=3 * BLOCK {
            assert_eq!(call(&mut course, at), Step::Watch);
        }
        assert_eq!(course.penalty, LEAST, "it was of use");
        for at in 3 * BLOCK + 1..4 * BLOCK {
            assert_eq!(call(&mut course, at), Step::Watch);
        }
        // The last of them took as long as a hundred.
        assert_eq!(call(&mut course, 4 * BLOCK + 100), Step::Bring);
        assert_eq!(course.seat, Seat::Beside(0));
        let lost = Duration::from_micros(100);
        assert!(course.penalty > PATIENCE * lost, "what was lost is to be gained first");
    }

    #[test]
    fn the_next_row_begins_apart_if_that_was_of_use_once_after_each() {
        let row = |course: &mut Course, calls: u32| {
            let began = Instant::now();
            course.took = Duration::from_micros(3);
            for at in 0..calls {
                let found = found(1, false);
                assert_eq!(
                    course.next(found, || began + Duration::from_micros(at.into())),
                    Step::Watch
                );
            }
        };
        let mut course = at(Seat::Apart { is_there: true });
        course.began = Some(Instant::now());
        row(&mut course, BLOCK);
        assert_eq!(course.next(found(1, true), never), Step::Part);
        assert_eq!(course.next(found(1, true), Instant::now), Step::Bring, "that was no row");
        let mut course = at(Seat::Apart { is_there: true });
        row(&mut course, BLOCK - 1);
        assert_eq!(course.next(found(1, true), Instant::now), Step::Bring, "it was not measured");
        assert_eq!(course.penalty, LEAST);
    }

    #[test]
    fn now_and_then_or_where_nobody_may_watch_they_stay_together() {
        for (may_part, gap) in [(true, SOON), (false, SOON / 2)] {
            let mut course = slow(may_part);
            assert_eq!(steps(&mut course, gap, 100, Step::Bring), [0]);
            assert_eq!(steps(&mut course, gap, 100, Step::Stay).len(), 100);
        }
    }

    #[test]
    fn a_guest_that_may_not_be_moved_is_left_where_it_is() {
        let mut course = Course { may_move: false, ..slow(true) };
        assert_eq!(course.next(found(1, true), never), Step::Watch);
        assert_eq!(steps(&mut course, SOON / 2, 40, Step::Part), [16, 33]);
        assert_eq!(course.seat, Seat::Anywhere);
    }
}

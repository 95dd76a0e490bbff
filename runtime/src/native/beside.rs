//! Where a guest runs that is kept: beside its caller if it is called now and then, on another processor if it is called again
//! and again.
//!
//! To wake somebody on a processor that has nothing to do may take ten times as long as to change over to him on one's own. Two
//! that are awake, on a processor each, need to wake nobody; but that is worth its price only if many calls follow one another.
//! So a guest is put beside its caller when it is found asleep, once it or another one of its program took long to wake. After
//! some calls in a row it is put elsewhere, and stays there as long as a call takes less than beside him: that is measured, for
//! who else wants to run there is not known. The next row begins as the last one ended.
//!
//! ```text
//!             found asleep, and is slow to wake               so many calls in a row
//!   anywhere ----------------------------------> beside ---------------------------------> apart
//!       ^                                         |  ^                                      |  |
//!       |           a call that takes long        |  |       calls take no less there       |  |
//!       +-----------------------------------------+  +--------------------------------------+  |
//!       +--------------------------------------------------------------------------------------+
//!            found asleep: the row is over; if it was long, the next one begins apart
//! ```
//!
//! A guest that has one processor, which is its caller's, is given way by him instead of being slept for ([`giving`]), and gives
//! way to him.
//!
//! No other state takes a call of the system to stay in, but for a caller whom the kernel has woken elsewhere: he is held where he is
//! while he sleeps ([`Stays`]), for some calls. A guest is let go for good, like every other, before it has a second thread, a
//! process, or an answer to how many processors there are.

mod course;
mod giving;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use super::family::Family;
use super::lane::{MOST, PARTING};
use super::near::{Caller, Stays, only};
use super::sys;

pub(super) use course::Found;
use course::{Course, Seat, Step};
use giving::Giving;

/// Whoever answers later than this was slow to wake, or had much to do.
const SLOW: Duration = Duration::from_micros(10);

/// A caller who was woken elsewhere is held for so many calls.
const HELD: u32 = 256;

/// How the answer to a call is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// Its guest runs elsewhere.
    #[default]
    Watching,
    /// Its guest needs this processor.
    Sleeping,
    /// The same, and nobody else seems to want it.
    GivingWay,
    /// The same, and whoever waits for it is not to be woken on another one.
    Staying,
    /// Its guest has to be woken elsewhere.
    Parting,
}

/// A guest, and where it is.
#[derive(Debug)]
pub(super) struct Beside {
    guest: Option<Guest>,
    course: RefCell<Course>,
    /// Where it has one processor, and both may be awake at once.
    giving: Option<Cell<Giving>>,
    now: Cell<Now>,
    /// Whether one of its program was slow to wake: the next one need not find that out by a slow call of its own.
    slow: Arc<AtomicBool>,
}

/// The call at hand.
#[derive(Clone, Copy, Debug, Default)]
struct Now {
    here: u32,
    manner: Manner,
    /// When a guest that may be anywhere was woken for it.
    woken: Option<Instant>,
}

/// One that may be held at a processor.
#[derive(Debug)]
struct Guest {
    pid: i32,
    family: Arc<Family>,
    /// Where it could run when it was made.
    all: CpuSet,
}

impl Beside {
    /// The first process of a family, which may be moved or not. `may_part`: whether both may watch at once. `slow`: what is known of
    /// others of its program.
    pub(super) fn of(
        pid: i32,
        family: &Arc<Family>,
        (may_move, may_part): (bool, bool),
        slow: &Arc<AtomicBool>,
    ) -> Self {
        // Where there is one processor, there is nothing to choose.
        let all = sched_getaffinity(Pid::from_raw(pid)).ok().filter(|all| {
            let mut set = (0..CpuSet::count()).filter(|at| all.is_set(*at).unwrap_or(false));
            set.nth(1).is_some()
        });
        let giving = (may_part && all.is_none()).then(Cell::default);
        let may_part = may_part && all.is_some();
        let guest =
            all.filter(|_| may_move).map(|all| Guest { pid, family: Arc::clone(family), all });
        let mut course = Course::new(guest.is_some(), may_part);
        course.is_slow = slow.load(Ordering::Relaxed);
        let course = RefCell::new(course);
        Self { guest, course, giving, now: Cell::default(), slow: Arc::clone(slow) }
    }

    /// Somebody is about to call it.
    pub(super) fn before_call(&self, found: Found) -> Manner {
        let mut course = self.course.borrow_mut();
        let was = course.seat;
        let step = course.next(found, Instant::now);
        let is_put = match (&self.guest, step) {
            (Some(guest), Step::Bring) => guest.is_put(found.here),
            (Some(guest), Step::Part) if course.may_move => guest.is_put_elsewhere(found.here),
            _ => true,
        };
        if !is_put {
            *course = course.unmoved();
        }
        if was != course.seat
            && matches!(course.seat, Seat::Anywhere | Seat::Apart { is_there: true })
        {
            self.guest.iter().for_each(Guest::let_go);
        }
        let manner = match step {
            Step::Watch => Manner::Watching,
            Step::Stay if self.may_give_way() => Manner::GivingWay,
            Step::Stay | Step::Bring if course.is_held() => Manner::Staying,
            Step::Stay | Step::Bring => Manner::Sleeping,
            Step::Part => Manner::Parting,
        };
        let is_timed = matches!(manner, Manner::Parting | Manner::GivingWay)
            || found.sleeps && course.may_move && !course.is_slow;
        let woken = is_timed.then(Instant::now);
        self.now.set(Now { here: found.here, manner, woken });
        manner
    }

    fn may_give_way(&self) -> bool {
        self.giving.as_ref().is_some_and(|giving| giving.get().may_begin(Instant::now))
    }

    /// When it was called, by one who gives way to it while he waits.
    pub(super) fn gives_way_since(&self) -> Option<Instant> {
        let Now { manner, woken, .. } = self.now.get();
        woken.filter(|_| manner == Manner::GivingWay)
    }

    /// The call was not made here after all.
    pub(super) fn was_not_called(&self) {
        self.now.take();
    }

    /// Whoever waits for its answer is about to sleep.
    pub(super) fn before_sleep(&self) -> Option<Stays> {
        let Now { here, manner, .. } = self.now.get();
        if manner == Manner::Staying { Stays::at(here as usize) } else { None }
    }

    /// It has answered soon. `slept`: whether its caller had to sleep for that.
    pub(super) fn after_call(&self, slept: bool) {
        let Now { here, manner, woken } = self.now.take();
        let mut course = self.course.borrow_mut();
        let is_beside = matches!(course.seat, Seat::Beside(_));
        if manner == Manner::Sleeping && is_beside && sys::processor() != here {
            course.held = HELD;
        }
        let took = woken.map_or(Duration::ZERO, |woken| woken.elapsed());
        match manner {
            // Whoever runs there does not make room soon.
            Manner::Parting if took > PARTING => self.is_over(&mut course, took),
            Manner::Parting => {}
            Manner::GivingWay => self.gave_way(took, slept),
            _ if took > SLOW && !course.is_slow => {
                course.is_slow = true;
                self.slow.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn gave_way(&self, took: Duration, slept: bool) {
        if let Some(cell) = &self.giving {
            let mut giving = cell.get();
            giving.learn(took, slept, Instant::now);
            cell.set(giving);
        }
    }

    /// It was put elsewhere in vain.
    fn is_over(&self, course: &mut Course, loss: Duration) {
        course.is_of_no_use(loss, Instant::now());
        self.guest.iter().for_each(Guest::let_go);
    }

    /// It takes long: it may run wherever it likes.
    pub(super) fn let_go(&self) {
        let Now { manner, woken, .. } = self.now.take();
        if manner == Manner::GivingWay {
            self.gave_way(woken.map_or(Duration::ZERO, |woken| woken.elapsed()), false);
        }
        let mut course = self.course.borrow_mut();
        match std::mem::take(&mut course.seat) {
            Seat::Anywhere => {}
            Seat::Apart { .. } => self.is_over(&mut course, MOST),
            Seat::Beside(_) => self.guest.iter().for_each(Guest::let_go),
        }
    }
}

impl Guest {
    /// Whether it is at that one processor now.
    fn is_put(&self, here: u32) -> bool {
        let here = only(here as usize);
        here.is_some_and(|here| self.family.hold(Some((self.pid, here)), Caller::this(self.all)))
    }

    /// Whether it is at the others now, or comes there when it is woken.
    fn is_put_elsewhere(&self, here: u32) -> bool {
        // He may have been given others since, and have lost some.
        let caller = Caller::this(self.all);
        let mut others = caller.may_use();
        let is_known = others.unset(here as usize).is_ok();
        is_known && self.family.hold(Some((self.pid, others)), caller)
    }

    fn let_go(&self) {
        self.family.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_held_for_some_calls_after_he_was_woken_elsewhere() {
        let beside = Beside::of(0, &Arc::default(), (false, false), &Arc::default());
        let mut course = Course::new(false, false);
        (course.is_slow, course.seat) = (true, Seat::Beside(7));
        *beside.course.borrow_mut() = course;
        // Nobody is on this processor.
        let here = u32::MAX;
        let found = Found { here, is_here: true, sleeps: true };
        assert_eq!(beside.before_call(found), Manner::Sleeping);
        beside.after_call(true);
        for _ in 0..HELD {
            assert_eq!(beside.before_call(found), Manner::Staying);
        }
        assert_eq!(beside.before_call(found), Manner::Sleeping);
    }

    #[test]
    fn what_was_found_out_with_one_guest_is_known_of_the_next_one_of_its_program() {
        let slow = Arc::default();
        let first = Beside::of(0, &Arc::default(), (false, false), &slow);
        assert!(!first.course.borrow().is_slow);
        let long_ago = Instant::now().checked_sub(2 * SLOW);
        first.now.set(Now { woken: long_ago, ..Now::default() });
        first.after_call(true);
        let next = Beside::of(0, &Arc::default(), (false, false), &slow);
        assert!(first.course.borrow().is_slow && next.course.borrow().is_slow);
    }

    #[test]
    fn a_call_that_took_long_or_came_to_nothing_has_giving_way_left_off() {
        let ours = || {
            let beside = Beside::of(0, &Arc::default(), (false, false), &Arc::default());
            Beside { giving: Some(Cell::default()), ..beside }
        };
        let found = Found { here: 0, is_here: true, sleeps: true };
        let call = |beside: &Beside, took: Duration| {
            assert_eq!(beside.before_call(found), Manner::GivingWay);
            assert!(beside.gives_way_since().is_some());
            let woken = Instant::now().checked_sub(took);
            beside.now.set(Now { woken, ..beside.now.get() });
        };
        let soon = Duration::ZERO;
        let is_off = |beside: &Beside| beside.before_call(found) == Manner::Sleeping;

        let beside = ours();
        call(&beside, soon);
        beside.let_go();
        call(&beside, soon);
        // It was not called after all, and whoever looks away later has lost nothing.
        beside.was_not_called();
        beside.let_go();
        call(&beside, Duration::from_secs(1));
        beside.let_go();
        assert!(is_off(&beside) && beside.gives_way_since().is_none());

        let beside = ours();
        call(&beside, Duration::from_secs(1));
        beside.after_call(false);
        assert!(is_off(&beside));
    }
}

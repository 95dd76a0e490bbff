//! Where a guest runs: on the caller's own thread, where that has the stack for it, or on one of ours.
//!
//! The caller's thread is the fast way: nothing is handed over, and the ear hears each piece as it is
//! written. But a guest may use its whole stack limit, and its overflow must be the engine's to catch, not
//! the operating system's. So the room that is left is asked for, each time.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::signal::Signal;
use super::threads::{Lease, ThreadTime, Threads};

/// Stack that host functions may need below the guest's, the caller's ear among them.
const HOST_RESERVE: usize = 512 * 1024;

/// What belongs to a thread that guests run on.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) bell: Arc<Bell>,
    pub(super) time: ThreadTime,
}

impl Seat {
    /// Whether it is that of this thread.
    pub(super) fn is_here(&self) -> bool {
        let is_it =
            |seat: &Option<Self>| seat.as_ref().is_some_and(|it| Arc::ptr_eq(&it.bell, &self.bell));
        SEAT.with_borrow(is_it)
    }
}

/// Where one guest runs.
pub(super) enum Stage {
    /// On this thread.
    Here(Seat),
    /// On a thread of ours, while this one listens.
    Lent(Lease),
}

/// How exact the processor time of a guest is told. To ask the system for it costs a part of what a small
/// guest costs as a whole, so what follows from a moment this close is not asked for.
const EXACT: Duration = Duration::from_micros(100);

thread_local! {
    static SEAT: RefCell<Option<Seat>> = const { RefCell::new(None) };

    /// When this thread was last asked for its processor time, and what it said.
    static ASKED: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Counts the processor time of one guest.
#[derive(Clone, Copy)]
pub(super) struct CpuCount {
    began: Instant,
    time: ThreadTime,
    /// What its thread had used before, never less than that. `None` if this system does not say.
    before: Option<Duration>,
}

impl CpuCount {
    /// Where the thread's count has to stay below.
    pub(super) fn end(&self, limit: Duration) -> Option<(ThreadTime, Duration)> {
        Some((self.time, self.before?.saturating_add(limit)))
    }

    /// What the guest has used, when it has ended.
    pub(super) fn used(&self, signal: &Signal) -> Duration {
        let elapsed = self.began.elapsed();
        let used = match self.before {
            // Less than this can't be told from the clock on the wall, if nothing was waited for.
            _ if elapsed < EXACT && !signal.has_waited() => elapsed,
            Some(before) => {
                let now = self.time.used().unwrap_or_default();
                now.saturating_sub(before).min(elapsed)
            }
            None => Duration::ZERO,
        };
        used.saturating_sub(signal.elsewhere())
    }
}

impl Stage {
    /// A place for a guest with so much stack.
    pub(super) fn find(threads: &Arc<Threads>, guest_stack: usize) -> io::Result<Self> {
        if has_stack(guest_stack) {
            return Ok(Self::Here(seat()?));
        }
        Ok(Self::Lent(threads.lease(guest_stack)?))
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        match self {
            Self::Here(seat) => &seat.bell,
            Self::Lent(lease) => lease.bell(),
        }
    }

    /// Begins to count.
    pub(super) fn count(&self, began: Instant) -> CpuCount {
        let (time, before) = match self {
            Self::Here(seat) => (seat.time, used_here(seat.time, began)),
            Self::Lent(lease) => (lease.time(), lease.time().used()),
        };
        CpuCount { began, time, before }
    }
}

/// Whether a guest with so much stack fits on what is left of this thread's.
pub(super) fn has_stack(guest_stack: usize) -> bool {
    stacker::remaining_stack().is_some_and(|left| left >= guest_stack + HOST_RESERVE)
}

/// This thread's own, made once.
pub(super) fn seat() -> io::Result<Seat> {
    SEAT.with_borrow_mut(|seat| match seat {
        Some(seat) => Ok(seat.clone()),
        None => {
            let made = Seat { bell: Arc::new(Bell::new()?), time: ThreadTime::of_this_thread() };
            Ok(seat.insert(made).clone())
        }
    })
}

/// What this thread has used, or a little more: if it was asked a moment ago, all the time since then.
pub(super) fn used_here(time: ThreadTime, now: Instant) -> Option<Duration> {
    if let Some((at, used)) = ASKED.get() {
        let since = now.saturating_duration_since(at);
        if since < EXACT {
            return Some(used + since);
        }
    }
    let used = time.used()?;
    ASKED.set(Some((now, used)));
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds_here(thread_stack: usize, guest_stack: usize) -> bool {
        let thread = std::thread::Builder::new().stack_size(thread_stack);
        let found = thread.spawn(move || {
            matches!(Stage::find(&Arc::default(), guest_stack).unwrap(), Stage::Here(_))
        });
        found.unwrap().join().unwrap()
    }

    #[test]
    fn a_guest_runs_here_if_its_stack_fits_and_elsewhere_if_not() {
        // The smaller one first: a thread may get the larger stack of one that is over.
        assert!(!finds_here(1 << 20, 1 << 20));
        assert!(finds_here(2 << 20, 1 << 20));
        assert!(!finds_here(2 << 20, 8 << 20));
    }
}

//! The alarm of a guest that is called again and again: it stays set from call to call.
//!
//! A call only writes down when the clock is to look, and that it is over. The clock looks when it was last told to, and
//! finds out then what has become of it: another call, which is due later, or none, and it goes to sleep. A call wakes
//! it only from there. So a thousand calls in a row are one look.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::evidence::StopReason;
use crate::isolation::StopHandle;
use crate::limits::Limits;

use super::clock::{self, Alarm, AlarmId, FAR, LEAST_PAUSE, REMIND, Watch};
use super::signal::Signal;
use super::stage::{Seat, used_here};

/// No call runs, and the clock will look.
const IDLE: u64 = 0;
/// No call runs, and the clock will not look.
const ASLEEP: u64 = 1;
/// The call is being stopped.
const FIRED: u64 = 2;
/// Anything from here on: a call runs, and the clock is to look so many nanoseconds after `zero`.
const FIRST: u64 = 3;

/// An alarm for all calls of one guest on one thread.
pub(super) struct Standing {
    shared: Arc<Shared>,
    watch: Watch,
}

struct Shared {
    zero: Instant,
    state: AtomicU64,
    /// What the thread had used before the call, in nanoseconds.
    before: AtomicU64,
    /// How long after the beginning of a call the clock looks.
    pause: Duration,
    wall: Duration,
    /// `None` where the wall time is over first in any case.
    cpu: Option<Duration>,
    seat: Seat,
    stop: StopHandle,
    signal: Arc<Signal>,
    engine: Engine,
}

impl Standing {
    /// For calls from this thread, under these limits.
    pub(super) fn new(
        seat: Seat,
        limits: &Limits,
        stop: &StopHandle,
        signal: &Arc<Signal>,
        engine: &Engine,
    ) -> io::Result<Self> {
        // A thread cannot use up its time faster than the clock on the wall runs.
        let cpu = (limits.cpu < limits.wall).then_some(limits.cpu);
        let pause = limits.wall.min(limits.cpu).min(FAR);
        let now = Instant::now();
        let shared = Arc::new(Shared {
            zero: now,
            state: AtomicU64::new(ASLEEP),
            before: AtomicU64::new(0),
            pause,
            wall: limits.wall,
            cpu,
            seat,
            stop: stop.clone(),
            signal: Arc::clone(signal),
            engine: engine.clone(),
        });
        let alarm: Arc<dyn Alarm> = Arc::clone(&shared) as _;
        let watch = clock::watch(now + FAR, alarm)?;
        Ok(Self { shared, watch })
    }

    pub(super) fn id(&self) -> AlarmId {
        self.watch.id()
    }

    /// Whether this is the thread it is for.
    pub(super) fn is_here(&self) -> bool {
        self.shared.seat.is_here()
    }

    /// A call begins.
    pub(super) fn arm(&self, began: Instant) {
        let shared = &*self.shared;
        if let Some(used) = used_here(shared.seat.time, began) {
            shared.before.store(nanos(used), Ordering::Relaxed);
        }
        let due = began.saturating_duration_since(shared.zero) + shared.pause;
        let due = nanos(due).saturating_add(FIRST);
        if shared.state.swap(due, Ordering::SeqCst) == ASLEEP {
            clock::hurry_to(self.watch.id(), began + shared.pause);
        }
    }

    /// It is over.
    pub(super) fn disarm(&self) {
        self.shared.state.swap(IDLE, Ordering::SeqCst);
    }

    /// The processor time of the call that is just over.
    pub(super) fn used(&self, elapsed: Duration) -> Duration {
        let before = Duration::from_nanos(self.shared.before.load(Ordering::Relaxed));
        let used = self.shared.seat.time.used().unwrap_or_default();
        used.saturating_sub(before).min(elapsed)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Shared {
    /// Whether the call that began then is to end, or when to ask again.
    fn verdict(&self, began: Instant, now: Instant) -> Result<StopReason, Instant> {
        let end = began.checked_add(self.wall);
        if end.is_some_and(|end| end <= now) {
            return Ok(StopReason::WallTime);
        }
        let far = now + FAR;
        let end = end.unwrap_or(far).min(far);
        let Some(limit) = self.cpu else { return Err(end) };
        let before = Duration::from_nanos(self.before.load(Ordering::Relaxed));
        let Some(used) = self.seat.time.used() else { return Err(end) };
        // What the thread did for the caller's ear is not the guest's.
        let left = (before + limit + self.signal.elsewhere()).saturating_sub(used);
        if left.is_zero() {
            Ok(StopReason::CpuTime)
        } else {
            Err(end.min(now + left.max(LEAST_PAUSE)))
        }
    }

    fn remind(&self, now: Instant) -> Option<Instant> {
        self.signal.fire();
        self.engine.increment_epoch();
        Some(now + REMIND)
    }
}

impl Alarm for Shared {
    fn look(&self, now: Instant) -> Option<Instant> {
        loop {
            let state = self.state.load(Ordering::SeqCst);
            let exchange =
                |new| self.state.compare_exchange(state, new, Ordering::SeqCst, Ordering::SeqCst);
            match state {
                ASLEEP => return None,
                IDLE if exchange(ASLEEP).is_ok() => return None,
                IDLE => {}
                FIRED => return self.remind(now),
                // Stopped by somebody else, who has asked for this look.
                _ if self.stop.reason().is_some() => return self.remind(now),
                due => {
                    let due = self.zero + Duration::from_nanos(due - FIRST);
                    if now < due {
                        return Some(due);
                    }
                    match self.verdict(due.checked_sub(self.pause)?, now) {
                        Err(later) => return Some(later),
                        // Only if it is still the same call.
                        Ok(reason) if exchange(FIRED).is_ok() => {
                            self.stop.stop(reason);
                            return self.remind(now);
                        }
                        Ok(_) => {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::bell::Bell;

    fn standing(wall: Duration, cpu: Duration) -> (Standing, StopHandle) {
        let stop = StopHandle::new();
        let signal = Arc::new(Signal::new(Arc::new(Bell::new().unwrap())));
        let limits = Limits { wall, cpu, ..Limits::default() };
        let seat = crate::wasm::stage::seat().unwrap();
        let made = Standing::new(seat, &limits, &stop, &signal, &Engine::default());
        (made.unwrap(), stop)
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_call_that_is_over_is_not_stopped_and_the_clock_goes_to_sleep() {
        let (standing, stop) = standing(Duration::ZERO, HOUR);
        let now = Instant::now();
        standing.shared.state.store(IDLE, Ordering::SeqCst);
        assert_eq!(standing.shared.look(now + HOUR), None);
        assert_eq!(standing.shared.state.load(Ordering::SeqCst), ASLEEP);
        assert_eq!(stop.reason(), None);
    }

    #[test]
    fn a_later_call_is_looked_at_when_it_is_due_itself() {
        let (standing, stop) = standing(HOUR / 2, HOUR);
        let (shared, now) = (&standing.shared, standing.shared.zero);
        standing.arm(now);
        standing.disarm();
        standing.arm(now + HOUR / 4);
        assert_eq!(shared.look(now + HOUR / 2), Some(now + 3 * HOUR / 4));
        assert_eq!(stop.reason(), None);
        assert!(shared.look(now + 3 * HOUR / 4).is_some());
        assert_eq!(stop.reason(), Some(StopReason::WallTime));
        assert!(shared.signal.is_fired());
    }

    #[test]
    fn the_clock_itself_stops_a_call_that_wakes_it() {
        let (standing, stop) = standing(Duration::from_millis(1), HOUR);
        standing.arm(Instant::now());
        let bell = standing.shared.seat.bell.clone();
        while stop.reason().is_none() {
            bell.wait_until(Some(Instant::now() + Duration::from_millis(1)));
        }
        assert_eq!(stop.reason(), Some(StopReason::WallTime));
    }

    #[test]
    fn a_call_that_somebody_else_stops_is_reminded_while_it_runs_and_not_longer() {
        let (standing, stop) = standing(HOUR / 2, HOUR);
        let now = Instant::now();
        standing.arm(now);
        stop.stop(StopReason::Cancelled);
        assert_eq!(standing.shared.look(now), Some(now + REMIND));
        standing.disarm();
        assert_eq!(standing.shared.look(now), None);
    }
}

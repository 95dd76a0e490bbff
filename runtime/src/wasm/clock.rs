//! One clock for all attempts of the process. It sleeps until the earliest due time; nothing ticks.
//!
//! An `Alarm` is called when it is due and says when it wants to be called again. The clock's thread is
//! started by the first alarm and ends by itself when there has been none for a while.
//!
//! The epoch of the engine is what makes a guest's code look at its flag, but one look can be missed: a
//! guest that has just looked, for another guest's sake, sets its next deadline after our step of the
//! epoch. So an attempt that was stopped keeps its alarm, which steps again until the guest has ended.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::evidence::StopReason;
use crate::isolation::StopHandle;

use super::signal::Signal;
use super::threads::ThreadTime;

/// How long the clock's thread stays without anything to wait for.
const IDLE: Duration = Duration::from_secs(10);

/// How soon a guest that was stopped and has not ended is reminded.
const REMIND: Duration = Duration::from_millis(2);

/// The shortest pause between two looks at the processor time of a guest.
const LEAST_PAUSE: Duration = Duration::from_millis(5);

/// What is called at the due time. Says when to call again, if ever.
type Alarm = Box<dyn FnMut(Instant) -> Option<Instant> + Send>;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::default);

#[derive(Default)]
struct Clock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next_id: u64,
    is_running: bool,
    due: BTreeMap<(Instant, u64), Alarm>,
    /// Where each alarm stands. One that is just being called stands nowhere in `due`.
    places: HashMap<u64, Instant>,
}

/// Keeps an alarm set. It is taken away when this is dropped.
pub(super) struct Watch {
    id: u64,
}

/// Names an alarm, to have it called early.
#[derive(Clone, Copy)]
pub(super) struct AlarmId(u64);

/// Sets an alarm.
pub(super) fn watch(
    first: Instant,
    alarm: impl FnMut(Instant) -> Option<Instant> + Send + 'static,
) -> io::Result<Watch> {
    CLOCK.set(first, Box::new(alarm))
}

/// Has an alarm called now. One that is no longer set is nobody's concern.
pub(super) fn hurry(AlarmId(id): AlarmId) {
    CLOCK.hurry(id);
}

impl Watch {
    pub(super) fn id(&self) -> AlarmId {
        AlarmId(self.id)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = CLOCK.state();
        if let Some(at) = state.places.remove(&self.id) {
            state.due.remove(&(at, self.id));
        }
    }
}

impl Clock {
    fn state(&self) -> MutexGuard<'_, State> {
        // Alarms are called outside of the lock, so nothing can panic with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&'static self, at: Instant, alarm: Alarm) -> io::Result<Watch> {
        let mut state = self.state();
        if !state.is_running {
            std::thread::Builder::new().name("sandtrap-clock".into()).spawn(|| self.run())?;
            state.is_running = true;
        }
        let id = state.next_id;
        state.next_id += 1;
        self.place(&mut state, at, id, alarm);
        Ok(Watch { id })
    }

    fn place(&self, state: &mut State, at: Instant, id: u64, alarm: Alarm) {
        state.places.insert(id, at);
        state.due.insert((at, id), alarm);
        if state.due.keys().next() == Some(&(at, id)) {
            self.changed.notify_one();
        }
    }

    fn hurry(&self, id: u64) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(place) = state.places.get_mut(&id) else { return };
        let before = std::mem::replace(place, now);
        // If it is just being called, its place alone says that it is to be called again.
        if let Some(alarm) = state.due.remove(&(before, id)) {
            self.place(&mut state, now, id, alarm);
        }
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            match state.due.first_key_value().map(|((at, _), _)| *at) {
                Some(at) if at <= now => state = self.call_first(state, now),
                Some(at) => state = self.sleep(state, at - now).0,
                None => {
                    let (after, timed_out) = self.sleep(state, IDLE);
                    state = after;
                    if timed_out && state.due.is_empty() {
                        state.is_running = false;
                        return;
                    }
                }
            }
        }
    }

    fn sleep<'a>(
        &self,
        state: MutexGuard<'a, State>,
        pause: Duration,
    ) -> (MutexGuard<'a, State>, bool) {
        let (state, timeout) =
            self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
        (state, timeout.timed_out())
    }

    fn call_first<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        now: Instant,
    ) -> MutexGuard<'a, State> {
        let Some(((at, id), mut alarm)) = state.due.pop_first() else { return state };
        drop(state);
        let next = alarm(now);
        let mut state = self.state();
        let Some(place) = state.places.get(&id).copied() else { return state };
        let was_hurried = place != at;
        let next = if was_hurried { Some(place) } else { next };
        match next {
            Some(next) => self.place(&mut state, next, id, alarm),
            None => {
                state.places.remove(&id);
            }
        }
        state
    }
}

/// The alarm of one attempt: its wall time, its processor time, and the reminders after its stop.
pub(super) struct Deadline {
    pub(super) stop: StopHandle,
    /// Whoever stops the attempt fires it, too; the alarm does not rely on that.
    pub(super) signal: Arc<Signal>,
    pub(super) engine: Engine,
    /// When its wall time is over. `None` lies beyond what the host's clock can say.
    pub(super) wall: Option<Instant>,
    /// The processor time of its thread, and where that has to stay below.
    pub(super) cpu: Option<(ThreadTime, Duration)>,
}

impl Deadline {
    /// When to look for the first time.
    pub(super) fn first(&self, now: Instant) -> Instant {
        self.next(now).unwrap_or_else(|| now + Duration::from_secs(3_600))
    }

    /// Looks, stops the attempt if it is due, and says when to look again.
    pub(super) fn look(&mut self, now: Instant) -> Option<Instant> {
        if self.stop.reason().is_none() {
            if self.wall.is_some_and(|wall| wall <= now) {
                self.stop.stop(StopReason::WallTime);
            } else if self.cpu_left() == Some(Duration::ZERO) {
                self.stop.stop(StopReason::CpuTime);
            }
        }
        if self.stop.reason().is_some() {
            self.signal.fire();
            self.engine.increment_epoch();
            return Some(now + REMIND);
        }
        Some(self.first(now))
    }

    /// A thread cannot use up its time faster than the clock on the wall runs.
    fn next(&self, now: Instant) -> Option<Instant> {
        let cpu = self.cpu_left().and_then(|left| now.checked_add(left.max(LEAST_PAUSE)));
        match (self.wall, cpu) {
            (Some(wall), Some(cpu)) => Some(wall.min(cpu)),
            (wall, cpu) => wall.or(cpu),
        }
    }

    fn cpu_left(&self) -> Option<Duration> {
        let (time, end) = self.cpu.as_ref()?;
        Some(end.saturating_sub(time.used()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::bell::Bell;
    use std::sync::mpsc;

    #[test]
    fn alarms_are_called_in_their_order_and_again_when_they_ask_for_it() {
        let (called, calls) = mpsc::channel();
        let begin = Instant::now();
        let late = called.clone();
        let _late = watch(begin + Duration::from_millis(40), move |_| {
            late.send("late").unwrap();
            None
        });
        let mut rest = 2;
        let _early = watch(begin + Duration::from_millis(1), move |now| {
            called.send("early").unwrap();
            rest -= 1;
            (rest > 0).then_some(now)
        });
        assert_eq!(calls.iter().take(3).collect::<Vec<_>>(), ["early", "early", "late"]);
    }

    #[test]
    fn an_alarm_far_away_can_be_called_now() {
        let (called, calls) = mpsc::channel();
        let far = Instant::now() + Duration::from_secs(3_600);
        let watch = watch(far, move |_| {
            called.send(()).unwrap();
            Some(far)
        });
        let watch = watch.unwrap();
        for _ in 0..3 {
            hurry(watch.id());
            calls.recv().unwrap();
        }
        drop(watch);
        assert!(calls.recv().is_err(), "the alarm is gone with its watch");
    }

    #[test]
    fn a_deadline_wakes_its_guest_even_if_the_stop_did_not() {
        let signal = Arc::new(Signal::new(Arc::new(Bell::new().unwrap())));
        let (stop, engine, begin) = (StopHandle::new(), Engine::default(), Instant::now());
        let mut deadline =
            Deadline { stop, signal: Arc::clone(&signal), engine, wall: Some(begin), cpu: None };
        assert_eq!(deadline.look(begin - REMIND), Some(begin));
        assert!(!signal.is_fired());
        assert_eq!(deadline.look(begin), Some(begin + REMIND));
        assert!(signal.is_fired());
        assert_eq!(deadline.stop.reason(), Some(StopReason::WallTime));
    }
}

//! One clock for all attempts of the process. It sleeps until the earliest due time; nothing ticks.
//!
//! An alarm is looked at when it is due and says when it wants to be looked at again. The clock's thread
//! is started by the first alarm and ends by itself when there has been none for a while. It is woken
//! only for an alarm that is due before it would wake anyway: attempts that follow each other with the
//! same limit cost it nothing.
//!
//! The epoch of the engine is what makes a guest's code look at its flag, but one look can be missed: a
//! guest that has just looked, for another guest's sake, sets its next deadline after our step of the
//! epoch. So an attempt that was stopped keeps its alarm, which steps again until the guest has ended.

use std::io;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::evidence::StopReason;
use crate::isolation::{Notice, StopHandle};

use super::signal::Signal;
use super::threads::ThreadTime;

/// How long the clock's thread stays without anything to wait for.
const IDLE: Duration = Duration::from_secs(10);

/// How soon a guest that was stopped and has not ended is reminded.
pub(super) const REMIND: Duration = Duration::from_millis(2);

/// The shortest pause between two looks at the processor time of a guest.
pub(super) const LEAST_PAUSE: Duration = Duration::from_millis(5);

/// What an alarm without an end is due at: when it makes no difference any more.
pub(super) const FAR: Duration = Duration::from_secs(3_600);

/// What is looked at when it is due. Says when to look again, if ever.
pub(super) trait Alarm: Send + Sync {
    fn look(&self, now: Instant) -> Option<Instant>;
}

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::default);

#[derive(Default)]
struct Clock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_running: bool,
    /// Until when the clock's thread sleeps, if it does.
    wakes_at: Option<Instant>,
    places: Vec<Option<Place>>,
    free: Vec<usize>,
}

/// Where an alarm stands.
struct Place {
    alarm: Arc<dyn Alarm>,
    /// `None` while it is being looked at.
    due: Option<Instant>,
}

/// Keeps an alarm set. It is taken away when this is dropped.
pub(super) struct Watch {
    place: usize,
}

/// Names an alarm, to have it looked at early.
#[derive(Clone, Copy)]
pub(super) struct AlarmId(usize);

/// Sets an alarm.
pub(super) fn watch(first: Instant, alarm: Arc<dyn Alarm>) -> io::Result<Watch> {
    CLOCK.set(first, alarm)
}

/// Has an alarm looked at now. Another one that has taken its place is looked at for nothing.
pub(super) fn hurry(alarm: AlarmId) {
    hurry_to(alarm, Instant::now());
}

/// The same, at that time.
pub(super) fn hurry_to(AlarmId(place): AlarmId, due: Instant) {
    CLOCK.hurry(place, due);
}

impl Watch {
    pub(super) fn id(&self) -> AlarmId {
        AlarmId(self.place)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = CLOCK.state();
        state.places[self.place] = None;
        state.free.push(self.place);
    }
}

impl Clock {
    fn state(&self) -> MutexGuard<'_, State> {
        // Alarms are looked at outside of the lock, so nothing can panic with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&'static self, due: Instant, alarm: Arc<dyn Alarm>) -> io::Result<Watch> {
        let mut state = self.state();
        if !state.is_running {
            std::thread::Builder::new().name("sandtrap-clock".into()).spawn(|| self.run())?;
            state.is_running = true;
        }
        let set = Some(Place { alarm, due: Some(due) });
        let place = match state.free.pop() {
            Some(free) => {
                state.places[free] = set;
                free
            }
            None => {
                state.places.push(set);
                state.places.len() - 1
            }
        };
        self.wake_before(&mut state, due);
        Ok(Watch { place })
    }

    fn wake_before(&self, state: &mut State, due: Instant) {
        if state.wakes_at.is_some_and(|at| due < at) {
            // Nobody needs to wake it a second time.
            state.wakes_at = None;
            self.changed.notify_one();
        }
    }

    fn hurry(&self, place: usize, due: Instant) {
        let mut state = self.state();
        let Some(Some(place)) = state.places.get_mut(place) else { return };
        // If it is just being looked at, this says that it is to be looked at again.
        place.due = Some(place.due.map_or(due, |set| set.min(due)));
        self.wake_before(&mut state, due);
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            match state.earliest() {
                Some((due, place)) if due <= now => state = self.look(state, place, now),
                Some((due, _)) => state = self.sleep(state, now, due - now).0,
                None => {
                    let (after, timed_out) = self.sleep(state, now, IDLE);
                    state = after;
                    if timed_out && state.earliest().is_none() {
                        state.is_running = false;
                        return;
                    }
                }
            }
        }
    }

    fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        now: Instant,
        pause: Duration,
    ) -> (MutexGuard<'a, State>, bool) {
        state.wakes_at = now.checked_add(pause);
        let (mut state, timeout) =
            self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
        state.wakes_at = None;
        (state, timeout.timed_out())
    }

    fn look<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        place: usize,
        now: Instant,
    ) -> MutexGuard<'a, State> {
        let Some(set) = state.places[place].as_mut() else { return state };
        set.due = None;
        let alarm = Arc::clone(&set.alarm);
        drop(state);
        let next = alarm.look(now);
        let mut state = self.state();
        if let Some(Some(set)) = state.places.get_mut(place)
            && Arc::ptr_eq(&set.alarm, &alarm)
        {
            // It may have been hurried meanwhile; then that counts.
            set.due = set.due.or(next).or(now.checked_add(FAR));
        }
        state
    }
}

impl State {
    fn earliest(&self) -> Option<(Instant, usize)> {
        let set = self.places.iter().enumerate();
        set.filter_map(|(place, set)| Some((set.as_ref()?.due?, place))).min()
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
    /// How long it may say nothing.
    pub(super) silence: Option<Duration>,
    /// By what it is told to end, and how much time it has then.
    pub(super) grace: Option<(Notice, Duration)>,
}

impl Deadline {
    /// When to look, if so much processor time is left.
    pub(super) fn next(&self, now: Instant, cpu_left: Option<Duration>) -> Instant {
        // A thread cannot use up its time faster than the clock on the wall runs.
        let cpu = cpu_left.and_then(|left| now.checked_add(left.max(LEAST_PAUSE)));
        let grace = self.grace_left(now).and_then(|left| now.checked_add(left));
        let next = [self.wall, cpu, self.silent_at(), grace].into_iter().flatten().min();
        next.unwrap_or(now + FAR)
    }

    /// When it will have said nothing for too long.
    fn silent_at(&self) -> Option<Instant> {
        self.signal.heard_at().checked_add(self.silence?)
    }

    /// How much is left of its time of grace, if that has begun.
    fn grace_left(&self, now: Instant) -> Option<Duration> {
        let (notice, grace) = self.grace.as_ref()?;
        notice.left(*grace, now)
    }

    fn cpu_left(&self) -> Option<Duration> {
        let (time, end) = self.cpu.as_ref()?;
        // What the thread did for the caller's ear is not the guest's.
        Some((*end + self.signal.elsewhere()).saturating_sub(time.used()?))
    }
}

impl Alarm for Deadline {
    /// Looks, stops the attempt if it is due, and says when to look again.
    fn look(&self, now: Instant) -> Option<Instant> {
        let cpu_left = self.cpu_left();
        if self.stop.reason().is_none() {
            if self.wall.is_some_and(|wall| wall <= now) {
                self.stop.stop(StopReason::WallTime);
            } else if cpu_left == Some(Duration::ZERO) {
                self.stop.stop(StopReason::CpuTime);
            } else if self.silent_at().is_some_and(|at| at <= now) {
                self.stop.stop(StopReason::Silence);
            } else if self.grace_left(now) == Some(Duration::ZERO) {
                let reason = self.grace.as_ref().and_then(|(notice, _)| notice.reason());
                self.stop.stop(reason.unwrap_or(StopReason::Cancelled));
            }
        }
        if self.stop.reason().is_some() {
            self.signal.fire();
            self.engine.increment_epoch();
            return Some(now + REMIND);
        }
        Some(self.next(now, cpu_left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::bell::Bell;
    use std::sync::mpsc;

    /// Says its name, and wants to be looked at again at once, so many times.
    struct Says {
        name: &'static str,
        to: mpsc::Sender<&'static str>,
        rest: Mutex<u32>,
        again: Instant,
    }

    impl Alarm for Says {
        fn look(&self, _: Instant) -> Option<Instant> {
            let mut rest = self.rest.lock().unwrap();
            // The end of a test takes away who listens.
            let _ = self.to.send(self.name);
            *rest = rest.checked_sub(1)?;
            Some(self.again)
        }
    }

    fn says(name: &'static str, to: &mpsc::Sender<&'static str>, rest: u32) -> Arc<Says> {
        Arc::new(Says { name, to: to.clone(), rest: Mutex::new(rest), again: Instant::now() })
    }

    #[test]
    fn alarms_are_looked_at_in_their_order_and_again_when_they_ask_for_it() {
        let (to, said) = mpsc::channel();
        let begin = Instant::now();
        let late = begin + Duration::from_millis(40);
        let _late = watch(late, says("late", &to, 0)).unwrap();
        let _early = watch(begin + Duration::from_millis(1), says("early", &to, 2)).unwrap();
        let said: Vec<_> = said.iter().take(4).collect();
        assert_eq!(said, ["early", "early", "early", "late"]);
        assert!(begin.elapsed() >= Duration::from_millis(40));
    }

    #[test]
    fn an_alarm_that_is_taken_away_is_not_looked_at_and_one_in_a_hurry_is() {
        let (to, said) = mpsc::channel();
        let hour = Instant::now() + Duration::from_secs(3_600);
        let gone = watch(hour, says("gone", &to, 0)).unwrap();
        drop(gone);
        let hurried = watch(hour, says("hurried", &to, 0)).unwrap();
        hurry(hurried.id());
        assert_eq!(said.recv(), Ok("hurried"));
    }

    #[test]
    fn a_stopped_attempt_is_reminded_until_it_is_over() {
        let deadline = |wall| Deadline {
            stop: StopHandle::new(),
            signal: Arc::new(Signal::new(Arc::new(Bell::new().unwrap()))),
            engine: Engine::default(),
            wall,
            cpu: None,
            silence: None,
            grace: None,
        };
        let now = Instant::now();
        let quiet = deadline(Some(now + Duration::from_secs(1)));
        assert_eq!(quiet.look(now), quiet.wall);
        let due = deadline(Some(now));
        assert_eq!(due.look(now), Some(now + REMIND));
        assert_eq!(due.stop.reason(), Some(StopReason::WallTime));
        assert!(due.signal.is_fired());
    }
}

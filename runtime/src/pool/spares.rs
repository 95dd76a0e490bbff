//! Guests that are ready beyond those of the workers: made while there is time, used in the order in which they came.
//!
//! Each is made on a thread of its own, which waits until its guest is ready: a program may take long to start, and neither
//! tasks nor other spares wait for that. One that does not become ready, or ends before it was used, is replaced like a
//! worker that died: at once the first time, later and later if that goes on. It costs no task, and says nothing about the
//! workers.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::evidence::Step;
use crate::isolation::{Cell, LoadError, OpenError, StopHandle};
use crate::limits::Limits;
use crate::policy::restart::{Condition, Past, Restart, RestartSettings, Restarts};
use crate::task::Entry;
use crate::telemetry::Happening;

use super::remains::CALM;
use super::shared::Shared;
use super::slots::{Aging, Place};
use super::state::State;

/// So many are made at the same time.
const MOST_COMING: usize = 16;

pub(super) struct Spares {
    cells: Vec<Ready>,
    /// How many there are to be.
    wanted: usize,
    /// How many are being made.
    coming: usize,
    past: Past,
    restarts: Restarts,
    /// When the next one may be made, after one that ended or could not be made.
    next: Option<Restart>,
    /// And not before this.
    calm_until: Option<Instant>,
    /// The threads that make them.
    makers: Vec<JoinHandle<()>>,
    /// Ends those that are being made.
    stop: StopHandle,
}

/// One that stands ready.
pub(super) struct Ready {
    pub(super) cell: Box<dyn Cell>,
    pub(super) age: Aging,
    pub(super) old_at: Option<Instant>,
}

impl Spares {
    pub(super) fn new(wanted: usize, restart: RestartSettings) -> Self {
        let (past, restarts) = (Past::default(), Restarts::new(restart));
        let (cells, makers, stop) = (Vec::new(), Vec::new(), StopHandle::new());
        Self {
            cells,
            wanted,
            coming: 0,
            past,
            restarts,
            next: None,
            calm_until: None,
            makers,
            stop,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.cells.len()
    }

    /// What ends all that are being made, and workers' own guests, too.
    pub(super) fn stop(&self) -> &StopHandle {
        &self.stop
    }

    /// The one that has been ready for longest.
    pub(super) fn take(&mut self) -> Option<Ready> {
        let taken = (!self.cells.is_empty()).then(|| self.cells.remove(0));
        if taken.is_some() {
            self.calm_until = Some(Instant::now() + CALM);
        }
        taken
    }

    /// The same, of those that are ready for this.
    pub(super) fn take_for(&mut self, entry: &Entry, limits: &Limits) -> Option<Ready> {
        let at = self.cells.iter().position(|ready| ready.cell.awaits(entry, limits))?;
        self.calm_until = Some(Instant::now() + CALM);
        Some(self.cells.remove(at))
    }

    /// All that are ready, to be cleared away; others are made.
    pub(super) fn give_up(&mut self) -> Vec<Box<dyn Cell>> {
        std::mem::take(&mut self.cells).into_iter().map(|ready| ready.cell).collect()
    }

    /// All of them, and the threads of those that are being made, to be stopped; there will be no more.
    pub(super) fn take_all(&mut self) -> (Vec<Box<dyn Cell>>, Vec<JoinHandle<()>>, StopHandle) {
        self.wanted = 0;
        (self.give_up(), std::mem::take(&mut self.makers), self.stop.clone())
    }

    /// Those that have ended, and those that are too old to be kept by now, to be cleared away.
    pub(super) fn take_spent(&mut self, now: Instant, random: f64) -> Vec<Box<dyn Cell>> {
        let mut spent = self.take_old(now);
        let ended: Vec<_> = self.cells.extract_if(.., |ready| !ready.cell.is_usable()).collect();
        ended.iter().for_each(|_| self.ended(now, random));
        spent.extend(ended.into_iter().map(|ready| ready.cell));
        spent
    }

    /// Whether one has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.cells.iter().any(|ready| !ready.cell.is_usable())
    }

    fn take_old(&mut self, now: Instant) -> Vec<Box<dyn Cell>> {
        let is_old = |ready: &mut Ready| ready.old_at.is_some_and(|at| at <= now);
        self.cells.extract_if(.., is_old).map(|ready| ready.cell).collect()
    }

    /// When the first of them is too old.
    pub(super) fn old_at(&self) -> Option<Instant> {
        self.cells.iter().filter_map(|ready| ready.old_at).min()
    }

    /// One has ended before it was used.
    pub(super) fn ended(&mut self, now: Instant, random: f64) {
        self.next = Some(self.restarts.died(&mut self.past, now, random));
    }

    /// When one is to be made: now, later, or not before somebody uses one. After one that failed, one at a time.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let most = if self.next.is_some() { 1 } else { MOST_COMING };
        let is_short = self.cells.len() + self.coming < self.wanted && self.coming < most;
        match self.next {
            _ if !is_short => None,
            Some(Restart::Never) => None,
            Some(Restart::At(at)) => Some(at),
            None => Some(self.calm_until.map_or(now, |until| until.max(now))),
        }
    }

    /// It was made, or could not be, and why. What is not needed any more comes back, as does one that came too late.
    fn made(
        &mut self,
        made: Result<Ready, OpenError>,
        is_outdated: bool,
        now: Instant,
        random: f64,
    ) -> (Option<Box<dyn Cell>>, Option<OpenError>) {
        self.coming -= 1;
        let (left, error) = match made {
            Ok(ready) if is_outdated || self.cells.len() >= self.wanted => {
                return (Some(ready.cell), None);
            }
            // From here on whoever is called at its end finds it.
            Ok(ready) if ready.cell.is_usable() => {
                self.next = None;
                self.restarts.ready(&mut self.past, now);
                self.cells.push(ready);
                return (None, None);
            }
            Ok(ready) => {
                let why = "its guest ended as soon as it was ready";
                (Some(ready.cell), LoadError::at(Step::Execute, why))
            }
            Err(error) => (None, error),
        };
        let (next, _) = self.restarts.failed_to_start(&mut self.past, now, random);
        self.next = Some(next);
        (left, Some(error))
    }

    /// Forgets what happened to them.
    pub(super) fn reset(&mut self) {
        self.restarts.reset();
        (self.past, self.next) = (Past::default(), None);
    }
}

impl State {
    /// A spare for a worker that is to be replaced. After one death it need not wait as long as a new one would; but where too
    /// many died, it is as rare as any restart, and where they were the end, there is none.
    pub(super) fn spare_for(&mut self, place: Place, now: Instant) -> Option<Ready> {
        let restart = self.slots[place.slot].restart;
        let may_begin = match (self.restarts.condition(now), restart) {
            (Condition::Stopped, _) | (_, Some(Restart::Never)) => false,
            (Condition::Degraded, Some(Restart::At(at))) => at <= now,
            (Condition::Degraded | Condition::Sound, _) => true,
        };
        if !may_begin {
            return None;
        }
        self.spent.extend(self.spares.take_old(now));
        self.spares.take()
    }

    /// When a spare is to be made.
    pub(super) fn spare_due(&mut self, shared: &Shared, now: Instant) -> Option<Instant> {
        let is_kept = shared.settings.keep.is_some();
        // Nobody would be replaced by it.
        let is_over = is_kept && self.restarts.condition(now) == Condition::Stopped;
        if is_over { None } else { self.spares.due(now) }
    }

    /// Has one made.
    pub(super) fn start_spare(&mut self, shared: &Arc<Shared>) {
        let spares = &mut self.spares;
        spares.coming += 1;
        spares.makers.retain(|maker| !maker.is_finished());
        let (maker, stop, epoch) = (Arc::clone(shared), spares.stop.clone(), self.epoch);
        let named = thread::Builder::new().name("sandtrap-spare".into());
        match named.spawn(move || maker.make_spare(&stop, epoch)) {
            Ok(thread) => spares.makers.push(thread),
            Err(error) => {
                let why = format!("there is no thread for it: {error}");
                let _ = self.take_spare(shared, epoch, Err(LoadError::at(Step::Reserve, why)));
            }
        }
    }

    /// Takes one that was made, or says why there is none. What is not needed any more comes back.
    fn take_spare(
        &mut self,
        shared: &Shared,
        epoch: u64,
        made: Result<Ready, OpenError>,
    ) -> Option<Box<dyn Cell>> {
        let now = Instant::now();
        let (is_stopped, random) = (self.spares.stop.reason().is_some(), shared.chance.next());
        let (left, error) = self.spares.made(made, self.epoch != epoch, now, random);
        if let Some(error) = error.filter(|_| !is_stopped) {
            self.tell(shared, || Happening::WorkerFailedToStart { why: error.to_string() });
        }
        if self.spare_due(shared, now).is_some()
            && let Some(slot) = self.idle.last()
        {
            // Whoever rests may not know that yet.
            shared.bells[*slot].notify_all();
        }
        left
    }
}

impl Shared {
    fn make_spare(self: &Arc<Self>, stop: &StopHandle, epoch: u64) {
        let made = self.source.open_spare(&self.settings, stop, self.look_again()).map(|cell| {
            let age = self.aging(&*cell);
            let old_at = age.keep.and_then(|keep| Instant::now().checked_add(keep.max_age));
            Ready { cell, age, old_at }
        });
        let mut state = self.lock();
        let left = state.take_spare(self, epoch, made);
        self.release(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::evidence::Evidence;
    use crate::isolation::{Attempt, Ear, Vitals};

    struct Stands;

    impl Cell for Stands {
        fn run(&mut self, _: &Attempt<'_>, _: &StopHandle, _: &mut dyn Ear) -> Evidence {
            unreachable!("nobody has a task for it")
        }
        fn is_usable(&self) -> bool {
            true
        }
        fn vitals(&self) -> Vitals {
            Vitals::default()
        }
    }

    #[test]
    fn one_that_is_too_old_to_be_kept_makes_room_for_another() {
        let now = Instant::now();
        let later = now + Duration::from_secs(3_600);
        let mut spares = Spares::new(2, RestartSettings::default());
        for old_at in [Some(later), None] {
            spares.coming += 1;
            let ready = Ready { cell: Box::new(Stands), age: Aging::default(), old_at };
            assert!(spares.made(Ok(ready), false, now, 0.5).1.is_none());
        }
        assert_eq!((spares.old_at(), spares.due(now)), (Some(later), None));
        assert!(spares.take_spent(now, 0.5).is_empty());
        assert_eq!(spares.take_spent(later, 0.5).len(), 1);
        assert_eq!((spares.count(), spares.old_at(), spares.due(now)), (1, None, Some(now)));
    }
}

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
use crate::policy::restart::{Condition, Past, Restart, RestartSettings, Restarts};
use crate::telemetry::Happening;

use super::remains::CALM;
use super::shared::Shared;
use super::slots::Place;
use super::state::State;

/// So many are made at the same time.
const MOST_COMING: usize = 16;

pub(super) struct Spares {
    cells: Vec<Box<dyn Cell>>,
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
    pub(super) fn take(&mut self) -> Option<Box<dyn Cell>> {
        let taken = (!self.cells.is_empty()).then(|| self.cells.remove(0));
        if taken.is_some() {
            self.calm_until = Some(Instant::now() + CALM);
        }
        taken
    }

    /// All that are ready, to be cleared away; others are made.
    pub(super) fn give_up(&mut self) -> Vec<Box<dyn Cell>> {
        std::mem::take(&mut self.cells)
    }

    /// All of them, and the threads of those that are being made, to be stopped; there will be no more.
    pub(super) fn take_all(&mut self) -> (Vec<Box<dyn Cell>>, Vec<JoinHandle<()>>, StopHandle) {
        self.wanted = 0;
        let (cells, makers) = (&mut self.cells, &mut self.makers);
        (std::mem::take(cells), std::mem::take(makers), self.stop.clone())
    }

    /// Those that have ended, to be cleared away.
    pub(super) fn take_ended(&mut self, now: Instant, random: f64) -> Vec<Box<dyn Cell>> {
        let ended: Vec<_> = self.cells.extract_if(.., |cell| !cell.is_usable()).collect();
        ended.iter().for_each(|_| self.ended(now, random));
        ended
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
        made: Result<Box<dyn Cell>, OpenError>,
        is_outdated: bool,
        now: Instant,
        random: f64,
    ) -> (Option<Box<dyn Cell>>, Option<OpenError>) {
        self.coming -= 1;
        let (left, error) = match made {
            Ok(cell) if is_outdated || self.cells.len() >= self.wanted => {
                return (Some(cell), None);
            }
            // From here on whoever is called at its end finds it.
            Ok(cell) if cell.is_usable() => {
                self.next = None;
                self.restarts.ready(&mut self.past, now);
                self.cells.push(cell);
                return (None, None);
            }
            Ok(cell) => {
                let why = "its guest ended as soon as it was ready";
                (Some(cell), LoadError::at(Step::Execute, why))
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
    pub(super) fn spare_for(&mut self, place: Place, now: Instant) -> Option<Box<dyn Cell>> {
        let restart = self.slots[place.slot].restart;
        let may_begin = match (self.restarts.condition(now), restart) {
            (Condition::Stopped, _) | (_, Some(Restart::Never)) => false,
            (Condition::Degraded, Some(Restart::At(at))) => at <= now,
            (Condition::Degraded | Condition::Sound, _) => true,
        };
        if may_begin { self.spares.take() } else { None }
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
        made: Result<Box<dyn Cell>, OpenError>,
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
        let made = self.source.open_spare(self.settings.keep.is_some(), stop, self.look_again());
        let mut state = self.lock();
        let left = state.take_spare(self, epoch, made);
        self.release(state);
        drop(left);
    }
}

//! Guests that are ready beyond those of the workers: made while there is time, used in the order in which they came.
//!
//! One that ends before it was used is replaced like a worker that died: at once the first time, later and later if
//! that goes on. It costs no task, and says nothing about the workers.

use std::time::Instant;

use crate::isolation::{Cell, OpenError};
use crate::policy::restart::{Past, Restart, RestartSettings, Restarts};

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
}

impl Spares {
    pub(super) fn new(wanted: usize, restart: RestartSettings) -> Self {
        let (past, restarts) = (Past::default(), Restarts::new(restart));
        Self { cells: Vec::new(), wanted, coming: 0, past, restarts, next: None }
    }

    pub(super) fn count(&self) -> usize {
        self.cells.len()
    }

    /// The one that has been ready for longest.
    pub(super) fn take(&mut self) -> Option<Box<dyn Cell>> {
        (!self.cells.is_empty()).then(|| self.cells.remove(0))
    }

    /// All of them; there will be no more.
    pub(super) fn take_all(&mut self) -> Vec<Box<dyn Cell>> {
        self.wanted = 0;
        std::mem::take(&mut self.cells)
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

    /// When one is to be made: now, later, or not before somebody uses one.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let is_short = self.cells.len() + self.coming < self.wanted;
        match self.next {
            _ if !is_short => None,
            Some(Restart::Never) => None,
            Some(Restart::At(at)) => Some(at),
            None => Some(now),
        }
    }

    /// Somebody makes one.
    pub(super) fn begin(&mut self) {
        self.coming += 1;
    }

    /// It was made, or could not be. What is not needed any more comes back.
    pub(super) fn made(
        &mut self,
        made: Result<Box<dyn Cell>, OpenError>,
        now: Instant,
        random: f64,
    ) -> Result<Option<Box<dyn Cell>>, OpenError> {
        self.coming -= 1;
        match made {
            Ok(cell) if self.cells.len() < self.wanted => {
                self.next = None;
                self.restarts.ready(&mut self.past, now);
                self.cells.push(cell);
                Ok(None)
            }
            Ok(cell) => Ok(Some(cell)),
            Err(error) => {
                let (next, _) = self.restarts.failed_to_start(&mut self.past, now, random);
                self.next = Some(next);
                Err(error)
            }
        }
    }

    /// Forgets what happened to them.
    pub(super) fn reset(&mut self) {
        self.restarts.reset();
        (self.past, self.next) = (Past::default(), None);
    }
}

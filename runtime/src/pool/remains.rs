//! What guests leave behind: it is cleared up when there is time for that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::isolation::Cell;

/// So long after a crash, a call in a spare, or a task after them nothing is done that can wait: a task that comes at once has
/// the processors.
pub(super) const CALM: Duration = Duration::from_millis(1);

/// But nothing waits for longer than this.
const MOST_CALM: Duration = Duration::from_millis(50);

/// So many cells that are no more of use may wait to be cleared up.
const MOST_REMAINS: usize = 16;

/// Cells that are no more of use. A wall may panic over each of them, and that is the end of nothing else.
#[derive(Default)]
pub(super) struct Remains {
    cells: Vec<Box<dyn Cell>>,
    /// When it is time to clear them up, and when at the latest.
    due: Option<(Instant, Instant)>,
}

impl Remains {
    pub(super) fn extend(&mut self, cells: impl IntoIterator<Item = Box<dyn Cell>>) {
        self.cells.extend(cells);
        if !self.cells.is_empty() && self.due.is_none() {
            let now = Instant::now();
            self.due = Some((now + CALM, now + MOST_CALM));
        }
    }

    /// There was a task meanwhile.
    pub(super) fn put_off(&mut self, now: Instant) {
        if let Some((due, latest)) = &mut self.due {
            *due = (now + CALM).min(*latest);
        }
    }

    /// When it is time to clear them up.
    pub(super) fn clear_at(&self) -> Option<Instant> {
        self.due.map(|(due, _)| due)
    }

    pub(super) fn are_many_or_late(&self) -> bool {
        self.cells.len() >= MOST_REMAINS
            || self.due.is_some_and(|(_, latest)| latest <= Instant::now())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.due = None;
        for cell in self.cells.drain(..) {
            // Its message is on stderr, and there is nobody whom it concerns.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(cell)));
        }
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        self.clear();
    }
}

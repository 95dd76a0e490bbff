//! What guests leave behind: it is cleared up when there is time for that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task;
use std::time::{Duration, Instant};

use crate::isolation::{Cell, Wake};

use super::shared::Shared;

/// So long after a crash, a call in a spare, or a task after them nothing is done that can wait: a task that comes at once has
/// the processors.
pub(super) const CALM: Duration = Duration::from_millis(1);

/// But nothing waits for longer than this.
const MOST_CALM: Duration = Duration::from_millis(50);

/// So many cells that are no more of use may wait to be cleared up.
const MOST_REMAINS: usize = 8;

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
        // All of them together: each takes as long to end as the others.
        let end_all = || self.cells.iter().filter_map(|cell| cell.lingers()).for_each(|end| end());
        let _ = catch_unwind(AssertUnwindSafe(end_all));
        for cell in self.cells.drain(..) {
            // Its message is on stderr, and there is nobody whom it concerns.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(cell)));
        }
    }
}

/// A guest that was left as it was after its task ends after this, whoever has time by then to clear it up.
const MOST_LINGERING: Duration = Duration::from_millis(5);

struct End(Wake);

impl task::Wake for End {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

impl Shared {
    /// Has the supervisor end it: the worker may have a task before it has time, which may be a long one.
    pub(super) fn end_soon(&self, end: Wake) {
        let mut state = self.lock();
        if state.is_unwatched {
            // Nobody would come in time.
            self.release(state);
            return end();
        }
        let at = Instant::now() + MOST_LINGERING;
        state.alarm_at(self, at, Arc::new(End(end)).into());
        self.release(state);
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        self.clear();
    }
}

//! What a pool has to know of its program: how to open a cell, run an attempt in it, and write the report.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::classify::classify;
use crate::evidence::{Ending, Evidence, Source as Seen, Step, StopReason};
use crate::isolation::{Attempt, Cell, Deaf, Image, LoadError, OpenError, StopHandle, admit};
use crate::limits::Limits;
use crate::order::Order;
use crate::report::{Report, TaskSummary};
use crate::task::{Program, Wall};

/// A program made ready, and where it stands.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) image: Arc<dyn Image>,
    pub(crate) program: Arc<Program>,
    pub(crate) wall: Wall,
}

impl Source {
    /// Opens one more cell.
    pub(super) fn open(&self, keep: bool) -> Result<Box<dyn Cell>, OpenError> {
        survive(|| if keep { self.image.keep() } else { self.image.open() })
    }

    /// Opens one whose guest is there already.
    pub(super) fn open_spare(&self, keep: bool) -> Result<Box<dyn Cell>, OpenError> {
        survive(|| if keep { self.image.keep() } else { self.image.ready() })
    }

    /// The limits of a task: its wall time is over at its deadline, too.
    pub(crate) fn limits(&self, order: &Order, now: Instant) -> Limits {
        let mut limits = self.program.policy().limits_for(order.task.limits.as_ref());
        if let Some(deadline) = order.deadline {
            let left = deadline.saturating_duration_since(now).max(Duration::from_millis(1));
            limits.wall = limits.wall.min(left);
        }
        self.image.grantable(limits)
    }

    /// Runs a task to its end and reports it; says whether its guest ended before it had read it. Cannot fail.
    pub(super) fn run(
        &self,
        cell: &mut dyn Cell,
        order: &Order,
        limits: &Limits,
        silence: Option<Duration>,
        stop: &StopHandle,
    ) -> (Report, bool) {
        let attempt = Attempt {
            task: &order.task.id,
            entry: &order.task.entry,
            limits,
            stdout: order.task.stdout,
            began: Instant::now(),
            silence,
        };
        let evidence = match admit(&self.program, limits).and_then(|()| attempt.check_silence(true))
        {
            Ok(()) => catch_unwind(AssertUnwindSafe(|| cell.run(&attempt, stop, &mut Deaf)))
                .unwrap_or_else(|_| vanished(stop.reason())),
            Err(error) => error.into_evidence(),
        };
        let is_unread = evidence.unread;
        (self.report(order, limits.clone(), evidence), is_unread)
    }

    /// The report of a task that did not run here.
    pub(super) fn report(&self, order: &Order, limits: Limits, evidence: Evidence) -> Report {
        let summary = TaskSummary::new(&self.program, self.wall, &order.task);
        Report::new(summary, limits, classify(&evidence), evidence).about(&order.task.entry)
    }

    /// The report of a task of which nothing ran.
    pub(crate) fn unrun(&self, order: &Order, evidence: Evidence) -> Report {
        let limits = self.program.policy().limits_for(order.task.limits.as_ref());
        self.report(order, limits, evidence)
    }
}

/// A wall that panics over a cell has none for us.
fn survive(
    open: impl FnOnce() -> Result<Box<dyn Cell>, OpenError>,
) -> Result<Box<dyn Cell>, OpenError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
        Err(LoadError::at(Step::Reserve, "the wall panicked; its message is on stderr"))
    })
}

/// The evidence of a task of which nothing more is known.
pub(crate) fn vanished(stopped_by_us: Option<StopReason>) -> Evidence {
    Evidence { stopped_by_us, ..Evidence::of(Seen::Status, Ending::Vanished) }
}

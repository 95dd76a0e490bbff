//! What a pool has to know of its program: how to open a cell, run an attempt in it, and write the report.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::classify::classify;
use crate::event::Event;
use crate::evidence::{Ending, Evidence, Source as Seen, Step, StopReason};
use crate::isolation::{
    Attempt, Cell, Image, LoadError, OpenError, Shortcut, StopHandle, Vitals, Wake, admit,
};
use crate::limits::Limits;
use crate::order::Order;
use crate::report::{Report, TaskSummary};
use crate::reuse::Reuse;
use crate::task::{Capture, Program, TaskId, Wall};

use super::settings::PoolSettings;

/// Hears what tasks do while they run, and which of them it is.
pub(crate) type Listener = Arc<dyn Fn(&TaskId, Event<'_>) + Send + Sync>;

/// A program made ready, and where it stands.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) image: Arc<dyn Image>,
    pub(crate) program: Arc<Program>,
    pub(crate) wall: Wall,
    pub(crate) listener: Option<Listener>,
    /// What its wall has for calls of guests that are kept.
    pub(crate) shortcut: Option<Shortcut>,
}

/// One try at a task.
pub(super) struct Try<'a> {
    pub(super) order: &'a Order,
    pub(super) limits: &'a Limits,
    pub(super) silence: Option<Duration>,
    /// Where its guest has begun with it already: when, and how much of others' words there may be.
    pub(super) begun: Option<(Instant, u64)>,
}

impl Source {
    /// Opens one more cell, until it is stopped.
    pub(super) fn open(
        &self,
        keep: Option<Reuse>,
        stop: &StopHandle,
    ) -> Result<Box<dyn Cell>, OpenError> {
        let open = || if keep.is_some() { self.image.keep_until(stop) } else { self.image.open() };
        survive(open).and_then(|cell| if_of_use(cell, keep))
    }

    /// Opens one whose guest is there already, and has `ended` called when it ends.
    pub(super) fn open_spare(
        &self,
        settings: &PoolSettings,
        stop: &StopHandle,
        ended: Wake,
    ) -> Result<Box<dyn Cell>, OpenError> {
        let keep = settings.keep;
        survive(|| {
            let cell = match &settings.spares_for {
                None => self.image.ready(keep.is_some(), stop)?,
                Some(_) if keep.is_some() => {
                    let detail = "guests that are kept take calls, so none can stand ready for a command: leave one of \
                                  `keep` and `spares_for` out";
                    return Err(LoadError::at(Step::Accept, detail));
                }
                Some(entry) => self.image.ready_for(entry, stop)?,
            };
            cell.when_ended(ended);
            Ok(cell)
        })
        .and_then(|cell| if_of_use(cell, keep))
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
        tried: &Try<'_>,
        stop: &StopHandle,
    ) -> (Report, bool) {
        let Try { order, limits, silence, begun } = *tried;
        let (began, roomy) = match begun {
            None => (Instant::now(), None),
            Some((began, unheard)) => (began, Some(limits.with_room_for(unheard))),
        };
        let attempt = Attempt {
            task: &order.task.id,
            entry: &order.task.entry,
            limits: roomy.as_ref().unwrap_or(limits),
            stdout: order.task.stdout,
            began,
            silence,
        };
        let mut ear = |event: Event<'_>| {
            if let Some(listener) = &self.listener {
                listener(&order.task.id, event);
            }
        };
        let evidence = match admit(&self.program, limits).and_then(|()| attempt.check_silence(true))
        {
            Ok(()) => catch_unwind(AssertUnwindSafe(|| cell.run(&attempt, stop, &mut ear)))
                .unwrap_or_else(|_| vanished(stop.reason())),
            Err(error) => error.into_evidence(),
        };
        // One that was stopped has its report, whoever was there.
        let is_unread = evidence.unread && evidence.stopped_by_us.is_none();
        (self.report(order, limits.clone(), evidence), is_unread)
    }

    /// The report of a task that did not run here.
    pub(super) fn report(&self, order: &Order, limits: Limits, evidence: Evidence) -> Report {
        let summary = TaskSummary::new(&self.program, self.wall, &order.task);
        Report::new(summary, limits, classify(&evidence), evidence).about(&order.task.entry)
    }

    /// The reports of tasks whose guest came to an end before it could have them: each is told of that as if it had been its
    /// own, and keeps what it asked for.
    pub(super) fn unready(&self, orders: &[Order], error: LoadError) -> Vec<Report> {
        let mut seen = error.into_evidence();
        // It may be much, and most tasks want none of it.
        let stdout = seen.output.stdout.take();
        let report = |order: &Order| {
            if let Some(listener) = &self.listener {
                let mut ear = |event: Event<'_>| listener(&order.task.id, event);
                // Whose code panics here loses nothing but what he would have heard.
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    seen.retell(stdout.as_deref(), &mut ear);
                }));
            }
            let mut evidence = seen.clone();
            if order.task.stdout == Capture::Keep {
                evidence.output.stdout.clone_from(&stdout);
            }
            self.unrun(order, evidence)
        };
        orders.iter().map(report).collect()
    }

    /// The report of a task of which nothing ran.
    pub(crate) fn unrun(&self, order: &Order, evidence: Evidence) -> Report {
        let limits = self.program.policy().limits_for(order.task.limits.as_ref());
        self.report(order, limits, evidence)
    }
}

/// A guest that is used up before it has had a task would be so the next time, too: somebody has to hear of that. Its age counts
/// from now on.
fn if_of_use(cell: Box<dyn Cell>, keep: Option<Reuse>) -> Result<Box<dyn Cell>, OpenError> {
    let used_up = keep.and_then(|keep| {
        let Vitals { resident_bytes, tasks_run, .. } = cell.vitals();
        keep.used_up(tasks_run, Duration::ZERO, resident_bytes)
    });
    match used_up {
        None => Ok(cell),
        Some(what) => {
            let detail = format!(
                "a guest is used up before its first task: {what}; let guests be kept for more tasks, for longer, or with \
                 more memory"
            );
            Err(LoadError::at(Step::Accept, detail))
        }
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

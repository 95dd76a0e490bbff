//! One attempt: asked for, made, and told to the breakers; with a second copy where the first one is late.

use std::future::{Future as _, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use crate::isolation::{StopGuard, StopHandle};
use crate::label::Label;
use crate::order::Order;
use crate::policy::later;
use crate::policy::quarantine::Standing;
use crate::policy::signs::Sign;
use crate::policy::weight::Weight;
use crate::pool::{Done, Ticket, WorkerState};
use crate::rejection::Rejection;
use crate::telemetry::Happening;

use super::Executor;
use super::journey::Journey;

/// A copy of a task that is under way. Whoever drops it before it has ended, cancels it.
struct UnderWay<'a> {
    ticket: Ticket,
    _stopped_with: StopGuard<'a>,
    has_ended: bool,
}

impl<'a> UnderWay<'a> {
    fn new(ticket: Ticket, stop: &'a StopHandle) -> Self {
        let stopped_with = ticket.stopped_with(stop);
        Self { ticket, _stopped_with: stopped_with, has_ended: false }
    }

    fn poll(&mut self, context: &std::task::Context<'_>) -> Poll<Done> {
        match self.ticket.poll_done(context.waker()) {
            Some(done) => {
                self.has_ended = true;
                Poll::Ready(done)
            }
            None => Poll::Pending,
        }
    }

    async fn done(&mut self) -> Done {
        poll_fn(|context| self.poll(context)).await
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.ticket.cancel();
        }
    }
}

impl Executor {
    pub(super) async fn attempt(
        &self,
        journey: &mut Journey<'_>,
        attempt: u32,
    ) -> Result<Done, Rejection> {
        let order = &journey.order;
        let longest = self.source.limits(order, Instant::now()).wall;
        let admission = self.desk.admit(&journey.keys, longest, Instant::now())?;
        let standing = self.desk.standing(&journey.culprit, Instant::now())?;
        let alone = order.alone || standing == Standing::Suspect;
        let order = Order { alone, ..order.clone() };
        let done = match self.here(journey, order) {
            ControlFlow::Break(done) => done,
            ControlFlow::Continue(order) => self.elsewhere(journey, order, attempt).await?,
        };
        if done.worker.is_some() {
            let counts =
                self.desk.settings.breaker.map_or(Weight::FAILURES, |breaker| breaker.counts);
            let weight = Weight::of(done.report.verdict.label(), counts);
            let of_device = match self.sign(&done.report, &journey.order) {
                Some(Sign::Failed) => Weight::Failure,
                Some(Sign::OutOfMemory) | None => weight,
            };
            admission.record(weight, of_device, done.report.usage.wall, Instant::now());
        }
        if done.report.verdict.label() == Label::Completed {
            self.desk.took(&journey.culprit.kind, done.report.usage.wall, Instant::now());
        }
        Ok(done)
    }

    /// An attempt on the caller's own thread, if he waits for it there and a worker is idle. One that may have a second copy
    /// needs somebody who looks at the clock.
    fn here(&self, journey: &Journey<'_>, order: Order) -> ControlFlow<Done, Order> {
        let may_have_copies = self.desk.settings.hedge.is_some() && !order.alone;
        match journey.blocks && !may_have_copies && journey.stop.reason().is_none() {
            true => self.pool.run_here(order, Some(journey.stop)),
            false => ControlFlow::Continue(order),
        }
    }

    async fn elsewhere(
        &self,
        journey: &Journey<'_>,
        order: Order,
        attempt: u32,
    ) -> Result<Done, Rejection> {
        let alone = order.alone;
        let ticket = self.pool.enter(order, journey.stop).await.map_err(|rejected| rejected.why)?;
        let first = UnderWay::new(ticket, journey.stop);
        // What is suspected of killing guests is not sent to two of them.
        Ok(match alone {
            true => { first }.done().await,
            false => self.answer(journey, first, attempt).await,
        })
    }

    /// The answer of a copy, or of the second one if that is there before it.
    async fn answer(&self, journey: &Journey<'_>, mut first: UnderWay<'_>, attempt: u32) -> Done {
        let late = self.desk.late_after(&journey.culprit.kind, Instant::now());
        let Some(late) = late.filter(|_| self.may_be_done_twice(&journey.order, None)) else {
            return first.done().await;
        };
        let mut at = later(Instant::now(), late);
        loop {
            if let Some(done) = self.until(&mut first, at).await {
                return done;
            }
            let now = Instant::now();
            at = match self.pool.runs_since(&first.ticket) {
                Some(since) if later(since, late) > now => later(since, late),
                Some(_) => match self.second(journey) {
                    Some(second) => return self.first_of(journey, first, second, attempt).await,
                    // There may be a worker for it, or a budget, some time later.
                    None => later(now, late),
                },
                // Behind it a copy would wait, too.
                None => later(now, late),
            };
        }
    }

    /// What a copy says until a time.
    async fn until(&self, copy: &mut UnderWay<'_>, at: Instant) -> Option<Done> {
        let mut alarm = pin!(self.pool.alarm(at));
        poll_fn(|context| match copy.poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => alarm.as_mut().poll(context).map(|()| None),
        })
        .await
    }

    /// Sends a second copy, if there is a worker for it at once and copies may be paid.
    fn second<'a>(&self, journey: &Journey<'a>) -> Option<UnderWay<'a>> {
        let status = self.pool.status();
        let is_idle = |state| state == WorkerState::Idle;
        if status.waiting > 0 || !status.workers.iter().any(|worker| is_idle(worker.state)) {
            return None;
        }
        let now = Instant::now();
        let longest = self.source.limits(&journey.order, now).wall;
        // An open breaker has no copies, and a half-open one needs its probes. The permit comes back at once: how the copy
        // ends is told with that of the task.
        drop(self.desk.admit(&journey.keys, longest, now).ok()?);
        if !self.desk.withdraw(now) {
            return None;
        }
        let ticket = self.pool.try_submit(journey.order.clone()).ok()?;
        self.desk.telemetry.tell(&Happening::HedgeSent { task: journey.order.task.id.clone() });
        Some(UnderWay::new(ticket, journey.stop))
    }

    /// The first answer of two. A copy that died is none as long as there is another one.
    async fn first_of(
        &self,
        journey: &Journey<'_>,
        first: UnderWay<'_>,
        second: UnderWay<'_>,
        attempt: u32,
    ) -> Done {
        let mut copies = [first, second];
        let (at, done) = poll_fn(|context| {
            let [first, second] = &mut copies;
            if let Poll::Ready(done) = first.poll(context) {
                return Poll::Ready((0, done));
            }
            second.poll(context).map(|done| (1, done))
        })
        .await;
        let failed = Weight::of(done.report.verdict.label(), Weight::FAILURES) == Weight::Failure;
        let (winner, done) = match failed {
            false => (at, done),
            true => {
                let (died, worker) = (done.report, done.worker);
                if let Some(worker) = worker {
                    self.tell_of(journey, &died, worker, attempt, Instant::now());
                }
                (1 - at, copies[1 - at].done().await)
            }
        };
        // Who is left over has won nothing.
        if winner == 1 && !failed {
            let task = journey.order.task.id.clone();
            self.desk.telemetry.tell(&Happening::HedgeWon { task });
        }
        // What it might still put in order, the other one has: it need not keep its worker for a time of grace.
        copies[1 - winner].ticket.cancel_now();
        done
    }
}

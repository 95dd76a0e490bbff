//! The way of one task through its attempts: asked for, made, judged, waited for, made again.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::evidence::{Evidence, StopReason};
use crate::isolation::StopHandle;
use crate::order::Order;
use crate::policy::health::{CrashRecord, Ended, HealthSettings};
use crate::policy::later;
use crate::policy::quarantine::{Culprit, Death};
use crate::policy::retry::{Decision, Tried};
use crate::pool::{Bell, Done, Rejected, vanished};
use crate::rejection::Rejection;
use crate::report::{AttemptSummary, Report};
use crate::telemetry::Happening;

use super::desk::{Key, keys};
use super::{Executor, culprit};

/// One task on its way through all attempts.
pub(super) struct Journey<'a> {
    pub(super) order: Order,
    pub(super) culprit: Culprit,
    pub(super) keys: Vec<Key>,
    pub(super) stop: &'a StopHandle,
    /// Whether the caller's thread has nothing else to do.
    pub(super) blocks: bool,
    /// What the last attempt left behind, if there was one.
    last: Option<Report>,
    history: Vec<AttemptSummary>,
    delay: Duration,
    raised: bool,
    /// How often a retry has waited for a breaker.
    held: u32,
}

impl Executor {
    pub(super) fn journey<'a>(&self, mut order: Order, stop: &'a StopHandle) -> Journey<'a> {
        let now = Instant::now();
        if order.deadline.is_none() && self.desk.settings.enabled {
            let deadline = self.desk.settings.deadline;
            order.deadline = deadline.and_then(|deadline| now.checked_add(deadline));
        }
        let keys = keys(self.source.program.name(), &order);
        self.desk.deposit(now);
        Journey {
            culprit: culprit::culprit(&self.source.program, &order),
            order,
            keys,
            stop,
            blocks: false,
            last: None,
            history: Vec::new(),
            delay: Duration::ZERO,
            raised: false,
            held: 0,
        }
    }

    pub(super) async fn travel(&self, mut journey: Journey<'_>) -> Report {
        if let Some(report) = self.answered(&journey.order) {
            return report;
        }
        let mut attempt = 1;
        loop {
            match self.attempt(&mut journey, attempt).await {
                Ok(done) => match self.settle(&mut journey, done, attempt) {
                    Some(after) if self.wait(&mut journey, after).await => attempt += 1,
                    Some(_) | None => break,
                },
                Err(why) => match self.held(&mut journey, &why, attempt) {
                    Some(after) if self.wait(&mut journey, after).await => {}
                    Some(_) => break,
                    None => return self.refused(journey, why),
                },
            }
        }
        let once = journey.order.once.clone();
        let report = self.last_words(journey);
        self.remember(once.as_ref(), &report);
        report
    }

    /// Takes in how an attempt ended; says after which time there is another one.
    fn settle(&self, journey: &mut Journey<'_>, done: Done, attempt: u32) -> Option<Duration> {
        let Done { report, worker, .. } = done;
        self.desk.heard_marks(&report);
        let (label, now) = (report.verdict.label(), Instant::now());
        journey.history.push(AttemptSummary {
            number: attempt,
            label,
            message: report.verdict.to_string(),
            delay: journey.delay,
            took: report.usage.wall,
            memory: report.limits.memory,
            worker,
        });
        if let Some(worker) = worker {
            self.tell_of(journey, &report, worker, attempt, now);
        }
        let tried = Tried {
            attempt,
            label,
            idempotent: self.may_be_done_twice(&journey.order, Some(&report)),
            memory: report.limits.memory,
            raised: journey.raised,
            delay: journey.delay,
            left: journey.order.deadline.map(|at| at.saturating_duration_since(now)),
        };
        journey.last = Some(report);
        journey.delay = Duration::ZERO;
        if journey.stop.reason().is_some() {
            return None;
        }
        match self.desk.decide(&tried, now)? {
            Decision::Enough(_) => None,
            Decision::Again { after, memory } => {
                if let Some(memory) = memory {
                    journey.raised = true;
                    let mut limits = self.source.program.policy().limits.clone();
                    // A task that brings limits of its own has none of the pool's.
                    limits.grace = self.desk.settings.pool.grace.unwrap_or(limits.grace);
                    journey.order.task.limits.get_or_insert(limits).memory = memory;
                }
                let task = journey.order.task.id.clone();
                let next = attempt + 1;
                let happening =
                    Happening::RetryAttempt { task, attempt: next, delay: after, label };
                self.desk.telemetry.tell(&happening);
                Some(after)
            }
        }
    }

    pub(super) fn tell_of(
        &self,
        journey: &Journey<'_>,
        report: &Report,
        worker: u64,
        attempt: u32,
        at: Instant,
    ) {
        let (label, order) = (report.verdict.label(), &journey.order);
        if HealthSettings::CRASHES.contains(label) {
            self.desk.killed(&journey.culprit, Death { at, worker, label });
        }
        let ended = Ended {
            at,
            worker,
            program: self.source.program.name(),
            device: order.device.as_ref(),
            kind: &journey.culprit.kind,
            sign: self.sign(report, order),
            label,
            took: report.usage.wall,
            memory: (report.usage.peak_memory, report.limits.memory.as_u64()),
        };
        self.desk.ended(&ended, || CrashRecord {
            at,
            task: order.task.id.clone(),
            attempt,
            worker,
            program: Arc::clone(self.source.program.name()),
            device: order.device.clone(),
            label,
            phase: culprit::phase(report),
            stderr: culprit::last_words(report),
            signature: culprit::signature(report),
            culprit: journey.culprit.clone(),
        });
    }

    /// A retry has come upon an open breaker: how long it waits for the next probe, if that is to be waited for.
    fn held(&self, journey: &mut Journey<'_>, why: &Rejection, attempt: u32) -> Option<Duration> {
        let (retry, Rejection::CircuitOpen { key, retry_after, .. }) =
            (self.desk.settings.retry.filter(|_| journey.last.is_some())?, why)
        else {
            return None;
        };
        let left = journey.order.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let random = self.desk.chance.next();
        let delay = retry.until_probe((*retry_after)?, journey.held, left, random)?;
        journey.held += 1;
        let (task, key) = (journey.order.task.id.clone(), Arc::clone(key));
        self.desk.telemetry.tell(&Happening::RetryHeld { task, attempt, key, delay });
        Some(delay)
    }

    /// Waits between two attempts. A stop ends the waiting, and the task.
    async fn wait(&self, journey: &mut Journey<'_>, after: Duration) -> bool {
        journey.delay = journey.delay.saturating_add(after);
        let bell = Bell::default();
        let _rings = bell.clone().rings_at(journey.stop);
        let mut alarm = pin!(self.pool.alarm(later(Instant::now(), after)));
        let goes_on = poll_fn(|context| {
            bell.is_heard_by(context.waker());
            match journey.stop.reason() {
                Some(_) => Poll::Ready(false),
                None => alarm.as_mut().poll(context).map(|()| true),
            }
        });
        if goes_on.await {
            return true;
        }
        self.stopped(journey);
        false
    }

    /// It was stopped while no attempt ran: that is how the task ended, and what the last attempt used and wrote is still true.
    fn stopped(&self, journey: &mut Journey<'_>) {
        let reason = journey.stop.reason().unwrap_or(StopReason::Cancelled);
        let evidence = match journey.last {
            None => Evidence::stopped_before_it_began(reason),
            Some(_) => vanished(Some(reason)),
        };
        let stopped = self.source.unrun(&journey.order, evidence);
        journey.last = Some(match journey.last.take() {
            Some(last) => Report { verdict: stopped.verdict, facts: stopped.facts, ..last },
            None => stopped,
        });
    }

    /// An attempt was refused. The first one makes the report; a later one leaves that of the attempt before.
    fn refused(&self, mut journey: Journey<'_>, why: Rejection) -> Report {
        let task = journey.order.task.id.clone();
        self.desk.telemetry.tell(&Happening::TaskRejected { task, why: why.clone() });
        if journey.stop.reason().is_some() {
            self.stopped(&mut journey);
        }
        if journey.last.is_some() {
            return self.last_words(journey);
        }
        let order = Box::new(journey.order);
        self.pool.report_of(&Rejected { why, order })
    }

    fn last_words(&self, journey: Journey<'_>) -> Report {
        let attempts = journey.history.len().max(1) as u32;
        match journey.last {
            Some(report) => Report { attempts, history: journey.history, ..report },
            None => self.source.unrun(&journey.order, vanished(None)),
        }
    }
}

//! The time that a process has which is told to end.
//!
//! One that serves a call is told over its channel; a command by the signal that asks a program to end. No guest of ours
//! that serves calls gets that signal: it would die of it where it stands, and had no time at all.

use std::time::{Duration, Instant};

use crate::channel::Warning;

use super::{Finish, Pump, Served, Talk};

impl Pump<'_> {
    /// Telling the process to end with these words, if it has time for that.
    pub(in crate::native) fn warning(self, warning: Warning) -> Self {
        Self { warning, ..self }
    }

    /// Tells it, once, and ends it when its time is over.
    pub(super) fn keep_grace(&mut self, talk: &mut Talk<'_>) {
        let has_none = self.attempt.limits.grace.is_zero();
        if has_none || self.process.leash.stop.reason().is_some() {
            return;
        }
        if self.warning.pass_on(&mut talk.outbox) {
            self.process.family.send(self.process.launched.pid, libc::SIGTERM);
        }
        let is_over = self.warning.left(self.attempt.limits.grace, Instant::now());
        if let Some(reason) = self.warning.told().filter(|_| is_over == Some(Duration::ZERO)) {
            self.process.leash.stop.stop(reason);
        }
    }

    /// The end of the task, and why it was told to end, if it was.
    pub(super) fn over(&self, talk: Talk<'_>, finish: Finish, is_unread: bool) -> Served {
        Served { told: self.warning.told(), ..talk.over(finish, is_unread) }
    }

    /// How much of it is left: none that ends, for one that was not told.
    pub(super) fn grace_left(&self, now: Instant) -> Duration {
        let grace = self.attempt.limits.grace;
        let left = if grace.is_zero() { None } else { self.warning.left(grace, now) };
        left.unwrap_or(Duration::MAX)
    }
}

//! What there is in a cell for an attempt before it begins.

use crate::evidence::Refusal;
use crate::isolation::Attempt;
use crate::native::process::Process;
use crate::task::Entry;

use super::NativeCell;
use super::words::rejected;

/// What there is for an attempt before it begins.
pub(super) enum Found {
    /// A process that waits for its call.
    Waiting(Box<Process>),
    /// None, or none of use: one is started.
    Nobody,
    /// One with a past that has ended.
    Gone,
}

impl NativeCell {
    /// The process that is there for this attempt already, if it can be used.
    pub(super) fn at_hand(&mut self, attempt: &Attempt<'_>) -> Result<Found, Refusal> {
        let is_call = matches!(attempt.entry, Entry::Invoke { .. });
        if self.stays && !is_call {
            let detail = "a process that is kept takes calls of its functions; a command is over when it has \
                          ended: run it by itself";
            return Err(rejected(detail));
        }
        let (was_called, process) = (self.tasks_run > 0, self.process.take());
        if was_called && !process.as_ref().is_some_and(|process| process.waits(true)) {
            return Ok(Found::Gone);
        }
        let Some(process) = process else { return Ok(Found::Nobody) };
        let misfit = process.misfit(attempt.limits);
        if let Some(limit) = misfit.filter(|_| was_called) {
            self.process = Some(process);
            let detail = format!(
                "the {limit} limit stays with a process, and this one was started with another; keep another \
                 one for it, or leave the limit as it was"
            );
            return Err(rejected(&detail));
        }
        // One that was never called has no state to lose.
        let is_meant = match &self.held {
            Some(held) => held.is_for(attempt.entry, attempt.limits),
            None => is_call,
        };
        // One that stood ready and can't begin any more gives its task back.
        let is_there = was_called || self.held.is_some() || process.waits(false);
        let is_of_use = is_meant && misfit.is_none() && is_there;
        Ok(if is_of_use { Found::Waiting(process) } else { Found::Nobody })
    }
}

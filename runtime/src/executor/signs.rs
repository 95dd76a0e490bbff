//! What a report says besides its verdict: about the device of its task, and about what may be done twice.

use crate::label::Label;
use crate::order::Order;
use crate::policy::signs::Sign;
use crate::report::Report;
use crate::task::Entry;
use crate::verdict::{Failure, Verdict};

use super::Executor;

impl Executor {
    /// What the end of a task says about its device.
    pub(super) fn sign(&self, report: &Report, order: &Order) -> Option<Sign> {
        order.device.as_ref()?;
        let signs = &self.desk.settings.device;
        let found = match report.verdict.label() {
            Label::Completed => None,
            _ if signs.is_empty() => None,
            _ => {
                let exit = match report.verdict {
                    Verdict::Failed(Failure::Exit { code }) => Some(code),
                    _ => None,
                };
                let words = report.verdict.to_string();
                signs.find(&[&words, &report.output.stderr_text()], exit)
            }
        };
        let said = report.facts.device_out_of_memory.map(|_| Sign::OutOfMemory);
        found.or(said)
    }

    /// Whether its caller says so, its guest of the function that is called, or what it is: a module that imports nothing, in an
    /// instance of its own, has no effect but its report. What such a one has died of it would die of again.
    pub(super) fn may_be_done_twice(&self, order: &Order, ended: Option<&Report>) -> bool {
        let marks = self.desk.settings.retry.is_none_or(|retry| retry.marks);
        let is_marked = || match &order.task.entry {
            Entry::Invoke { function, .. } => marks && self.desk.is_marked(function),
            Entry::Command { .. } | Entry::Call { .. } => false,
        };
        let has_died = ended.is_some_and(|report| matches!(report.verdict, Verdict::Crashed(_)));
        let is_pure =
            || marks && self.desk.settings.pool.keep.is_none() && self.source.image.is_pure();
        order.idempotent || is_marked() || (!has_died && is_pure())
    }
}

//! The hooks of a run: told of its report once, and of its end where nobody waits for that any more.

use crate::evidence::StopReason;
use crate::hooks::TaskHooks;
use crate::order::Order;
use crate::pool::{Source, vanished};
use crate::report::Report;

use super::Executor;

/// What is to be called when a run has its report. Dropped before, the run was: it has ended by that.
pub(crate) struct AtTheEnd<'a> {
    source: &'a Source,
    hooks: Option<(Order, TaskHooks)>,
}

impl Executor {
    /// Takes the hooks off an order: none of its attempts is its end.
    pub(crate) fn at_the_end(&self, order: &mut Order) -> AtTheEnd<'_> {
        let hooks = order.hooks.take();
        AtTheEnd { source: &self.source, hooks: hooks.map(|hooks| (order.clone(), hooks)) }
    }
}

impl AtTheEnd<'_> {
    pub(crate) fn tell(mut self, report: Report) -> Report {
        if let Some((_, hooks)) = self.hooks.take() {
            hooks.tell(&report);
        }
        report
    }
}

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        if let Some((order, hooks)) = self.hooks.take() {
            // It may have been under way.
            hooks.tell(&self.source.unrun(&order, vanished(Some(StopReason::Cancelled))));
        }
    }
}

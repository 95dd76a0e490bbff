//! What a filter can't know, or can't forbid: births and executions in a profile that has neither.

use libc::pid_t;

use crate::evidence::StopReason;

use super::Watch;
use crate::native::status::process_of;
use crate::native::tracing;

impl Watch {
    /// A filter keeps most guests from having processes. Where there is none, or it has to let a launcher's births
    /// pass, it is seen here.
    pub(super) fn at_birth(&mut self, parent: pid_t, born: pid_t) {
        let is_process = || process_of(born) == Some(born);
        if self.terms.may_have_processes() || !is_process() {
            return;
        }
        // Before whoever serves it hears of it: he kills it, and then it stands still no more to be asked.
        let call = tracing::call_within(parent);
        if self.stop.stop(StopReason::Denied) {
            self.seen.denied = call.map(|call| self.terms.denied(&call));
            self.clear();
        }
    }

    /// A program was executed after the first, and none of it has run. That may be forbidden, which a filter
    /// can't know: it sees no difference between the two.
    pub(super) fn at_exec(&mut self) {
        if !self.terms.may_have_processes() && self.stop.stop(StopReason::Denied) {
            self.seen.denied = Some(self.terms.denied_exec());
            self.clear();
        }
    }
}

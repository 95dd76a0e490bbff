//! Everybody goes, when the task is over or is to be.

use super::Watch;
use crate::native::group::Group;
use crate::native::sys;

impl Watch {
    /// Kills everybody, also those whose birth no tracer saw.
    pub(super) fn clear(&mut self) {
        self.clearing = true;
        for tracee in self.tracees.values() {
            sys::send(tracee.process, libc::SIGKILL);
        }
        // To ask the group takes longer than to end a small process.
        let group = self.group.as_deref().filter(|_| !self.sees_everybody());
        let in_group = group.map_or(0, Group::kill_all);
        self.ends_to_come = in_group.max(self.tracees.len()) / 2;
    }

    /// Whether a filter forbids every birth of which this thread would not hear. (Where a launcher's births have to pass
    /// it, the kernel ends whoever is left in the namespace with its first process.)
    fn sees_everybody(&self) -> bool {
        self.own_pids && !self.terms.may_have_processes()
    }
}

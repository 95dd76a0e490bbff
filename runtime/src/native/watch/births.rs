//! Who is born: threads and processes of the task. The forks of a zygote that were ordered are tasks of their own.

use libc::pid_t;

use super::Watch;
use crate::native::keeper::Role;
use crate::native::status::numbers_of;
use crate::native::sys;
use crate::native::tracee::Tracee;

impl Watch {
    /// Knows a new thread or process from now on, whichever of its two announcements comes first.
    pub(super) fn take_in(&mut self, tid: pid_t) {
        if self.tracees.contains_key(&tid) {
            return;
        }
        // One that is gone already was waited for before its birth was told.
        let Some((process, inside)) = numbers_of(tid) else { return };
        self.tracees.insert(tid, Tracee::of(process, inside, true));
        let processes = if process == tid { self.family.add(tid) } else { 0 };
        if let Some(reason) = self.crowd.excess(processes, self.tracees.len()) {
            self.stop.stop(reason);
            self.clear();
        }
        if self.clearing {
            sys::send(process, libc::SIGKILL);
        }
    }

    /// Whether it is a zygote's.
    pub(in crate::native) fn is_zygote(&self) -> bool {
        self.role == Role::Zygote
    }
}

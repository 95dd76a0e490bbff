//! The first process of a namespace: the kernel spares it from signals that would end any other, so what would have
//! become of it is done here, and told as if the kernel had done it.

use libc::{c_int, pid_t};

use crate::evidence::Sender;

use super::{FIRST, Watch};
use crate::native::backtrace::Steps;
use crate::native::killing::kills;
use crate::native::status::{ends_by_default, takes};
use crate::native::tracee::Met;
use crate::native::{sys, tracing};

impl Watch {
    /// The kernel lets the first process of a namespace live on after a signal that it doesn't handle. Nobody else
    /// would, so it is killed here, and its death is put down to that signal.
    pub(super) fn execute_sentence(&mut self, tid: pid_t, signal: c_int) -> bool {
        let of_main = self.tracees.get(&tid).filter(|tracee| tracee.process == self.main);
        let Some(met) = of_main.and_then(|tracee| tracee.met.clone()) else { return false };
        if !ends_by_default(signal) || takes(tid, signal) {
            return false;
        }
        self.sentence.get_or_insert(met);
        if self.tracees.len() == 1 && self.group.is_some() {
            // All that there is to be seen at its exit is seen.
            self.family.note(self.main);
            tracing::see_no_exit(tid);
        }
        sys::send(self.main, libc::SIGKILL);
        true
    }

    /// Somebody is about to kill: the kernel spares the first process of a namespace, but nobody else would. Or he asks
    /// which processors he may use: all of them.
    pub(super) fn at_call(&mut self, tid: pid_t) {
        self.family.let_go_for_good(&[tid]);
        let (Some(registers), Some(tracee)) = (tracing::registers(tid), self.tracees.get(&tid))
        else {
            return self.resume(tid, 0);
        };
        let by_itself = tracee.process == self.main;
        let order = self.signals_met;
        if !self.own_pids || !kills(tracee, tid, &registers, self.main, FIRST) {
            return self.resume(tid, 0);
        }
        if by_itself {
            self.killed_itself = true;
        } else {
            let sender = Sender::Process(tracee.inside);
            let (signal, code) = (libc::SIGKILL, libc::SI_USER);
            let steps = Steps::default();
            self.sentence.get_or_insert(Met { order, signal, code, sender, fault: None, steps });
        }
        sys::send(self.main, libc::SIGKILL);
    }
}

//! How threads and processes end: what is there to be seen of it before, and what came of it.

use libc::{c_int, pid_t};

use super::Watch;
use crate::evidence::{Death, Ending, Sender};
use crate::native::group::Group;
use crate::native::killing::kills;
use crate::native::sys::Waited;
use crate::native::{autopsy, oom_kills, status, tracing};
use crate::signals::Signal;

impl Watch {
    /// A thread is about to end; its memory and registers are still there.
    pub(super) fn at_exit(&mut self, tid: pid_t) {
        let signal = (tracing::event_message(tid) & 0x7f) as c_int;
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        self.family.note(tracee.process);
        if tracee.process != self.main {
            return;
        }
        self.main_dies |= self.own_pids && signal == libc::SIGKILL;
        if self.stop.reason().is_some() && !self.clearing {
            // Its children go with it, not only when all of its memory is given back.
            self.clear();
        }
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        // A group has counted it, and to read it costs more than most of what is done here.
        if tid == self.main && self.group.is_none() {
            self.seen.peak = self.seen.peak.max(status::bytes(tid, "VmHWM:"));
        }
        match tracee.met.take() {
            Some(met) if met.signal == signal => {
                let later = self.fatal.as_ref().is_none_or(|known| known.order < met.order);
                if later {
                    self.fatal = Some(met);
                }
            }
            _ if signal == libc::SIGSYS && self.seen.denied.is_none() => {
                // Other threads of the process end with the same signal, but in the middle of their calls.
                let denied =
                    tracing::call(tid).filter(|call| call.is_stopped || self.terms.kills(call));
                self.seen.denied = denied.map(|call| self.terms.denied(&call));
                if self.seen.denied.is_some() {
                    self.seen.steps = self.backtraces.at_exit(tid);
                }
            }
            _ if signal == libc::SIGKILL => {
                let kills_itself = tracing::registers(tid).is_some_and(|registers| {
                    kills(tracee, tid, &registers, self.main, tracee.inside)
                });
                if kills_itself || tid == self.main && !self.killed_itself {
                    self.seen.steps = self.backtraces.at_exit(tid);
                }
                self.killed_itself |= kills_itself;
            }
            // Newer kernels let no tracer see this signal.
            _ if signal == libc::SIGSEGV => {
                self.seen.loading |= autopsy::is_loading(signal, tracing::registers(tid));
            }
            _ => {}
        }
    }

    pub(super) fn ended(&mut self, waited: &Waited) {
        let was_tracee = self.tracees.remove(&waited.pid).is_some();
        let was_process = std::mem::take(&mut self.process_ends);
        if was_process && waited.pid != self.main && !self.clearing && !self.main_dies {
            let kills = || self.group.as_deref().map_or(0, Group::oom_kills);
            oom_kills::attribute(&mut self.seen.oom_kills_of_others, waited.status, kills);
        }
        self.ends_to_come = self.ends_to_come.saturating_sub(1);
        if waited.pid == self.main {
            self.seen.cpu = waited.cpu;
            self.main_ended = true;
            self.seen.ending = if libc::WIFEXITED(waited.status) {
                Ending::Exited(libc::WEXITSTATUS(waited.status))
            } else {
                Ending::Signalled(self.death(libc::WTERMSIG(waited.status)))
            };
            if !self.own_pids {
                self.clear();
            }
            return;
        }
        // Somebody may have outrun the kill. To ask for the survivors after each of a thousand ends would cost
        // more than the ends; after every half of them it costs little.
        let last_tracee = was_tracee && self.tracees.is_empty();
        if self.clearing && (self.ends_to_come == 0 || last_tracee) {
            self.clear();
        }
    }

    fn death(&mut self, signal: c_int) -> Death {
        let named = Signal::from_number(signal);
        let unseen = Death { signal: named, code: None, sender: Sender::Unseen, fault: None };
        if !self.traced {
            return unseen;
        }
        if let Some(met) = self.sentence.take() {
            self.seen.steps = met.steps;
            return Death {
                signal: Signal::from_number(met.signal),
                code: Some(met.code),
                sender: met.sender,
                fault: met.fault,
            };
        }
        match self.fatal.take() {
            Some(met) if met.signal == signal => {
                self.seen.steps = met.steps;
                Death { signal: named, code: Some(met.code), sender: met.sender, fault: met.fault }
            }
            _ if self.killed_itself => Death { sender: Sender::Itself, ..unseen },
            _ if self.seen.denied.is_some() || self.seen.loading => {
                Death { sender: Sender::Kernel, ..unseen }
            }
            _ => unseen,
        }
    }
}

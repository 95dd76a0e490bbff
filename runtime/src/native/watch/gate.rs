//! A program that is not to begin before there is a task for it; see `gate`.

use libc::{c_int, pid_t};

use super::Watch;
use crate::native::gate::CALL;
use crate::native::sys;
use crate::native::tracing::{self, Resume};

impl Watch {
    /// It has been executed: it goes on, or to sleep.
    pub(super) fn begin(&mut self, tid: pid_t) {
        if let Some(gate) = self.gate.clone().filter(|gate| !gate.is_open()) {
            self.asleep = tracing::put_to_sleep(tid);
            if self.asleep.is_none() {
                sys::send(self.main, libc::SIGKILL);
            }
            gate.settle(self.asleep.is_some());
        }
        tracing::resume(tid, Resume::Freely, 0);
    }

    /// One that sleeps was sent a signal. Says whether that was the one that wakes: then it has begun if it may, and sleeps on
    /// if that was a stranger's. Whatever else it is sent finds it asleep, and it dies without having begun, or sleeps on.
    pub(super) fn is_called(&mut self, tid: pid_t, signal: c_int) -> bool {
        if signal != CALL || tid != self.main || self.asleep.is_none() {
            return false;
        }
        if self.gate.as_ref().is_some_and(|gate| gate.is_open())
            && let Some(first) = self.asleep
        {
            // It fails for one that is gone: that one has not begun.
            match tracing::set_registers(tid, &first) {
                true => self.asleep = None,
                false => sys::send(self.main, libc::SIGKILL),
            }
        }
        tracing::resume(tid, Resume::Freely, 0);
        true
    }
}

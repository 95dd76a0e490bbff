//! Whose turn it is: a keeper starts one task at a time, and a launch may hang (a program on a dead network share, say).
//! Whoever waits for it keeps his own deadline.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::evidence::StopReason;
use crate::isolation::StopHandle;

/// How often a caller who waits looks whether he was stopped.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// One at a time, and nobody for longer than he has.
#[derive(Debug, Default)]
pub(super) struct Turns {
    is_taken: Mutex<bool>,
    free: Condvar,
}

/// It is the holder's turn as long as he has this.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for a turn. `None` if there was a reason to stop, or the deadline came, before it.
    pub(super) fn take(&self, stop: &StopHandle, deadline: Option<Instant>) -> Option<Turn<'_>> {
        let mut is_taken = self.is_taken();
        while *is_taken {
            if is_over(stop, deadline) {
                return None;
            }
            let waited = self.free.wait_timeout(is_taken, LOOK);
            is_taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_taken = true;
        Some(Turn(self))
    }

    fn is_taken(&self) -> MutexGuard<'_, bool> {
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
        self.is_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.is_taken() = false;
        self.0.free.notify_one();
    }
}

/// Whether a task that waits is to wait no longer: it was stopped, or its time is up, which stops it.
pub(super) fn is_over(stop: &StopHandle, deadline: Option<Instant>) -> bool {
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        stop.stop(StopReason::WallTime);
    }
    stop.reason().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_turn_keeps_his_own_deadline_and_can_be_stopped() {
        let turns = Turns::default();
        let first = turns.take(&StopHandle::default(), None).unwrap();
        let late = StopHandle::default();
        assert!(turns.take(&late, Some(Instant::now())).is_none());
        assert_eq!(late.reason(), Some(StopReason::WallTime));
        let stopped = StopHandle::default();
        stopped.stop(StopReason::Cancelled);
        assert!(turns.take(&stopped, None).is_none());
        assert_eq!(stopped.reason(), Some(StopReason::Cancelled));
        drop(first);
        assert!(turns.take(&StopHandle::default(), None).is_some());
    }

    #[test]
    fn a_turn_that_ends_is_given_to_one_who_waits() {
        let turns = Turns::default();
        let first = turns.take(&StopHandle::default(), None).unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| turns.take(&StopHandle::default(), None).is_some());
            drop(first);
            assert!(next.join().unwrap());
        });
    }
}

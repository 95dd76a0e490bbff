//! How an attempt is ended from outside: at once, or with notice where its guest has a time of grace.
//!
//! Who asks for an end (`Cancelled`, `Shutdown`) asks a handle. A wing that runs a guest with a time of grace ties a
//! handle of its own to it: what is asked reaches the guest as a [`Notice`], and the wing's own handle is stopped when
//! the grace is over. All else, and who insists, stops it at once.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::evidence::StopReason;

/// Ends attempts from outside: every one that was given this handle or a clone of it.
#[derive(Clone, Default)]
pub struct StopHandle {
    shared: Arc<Mutex<StopState>>,
}

#[derive(Default)]
struct StopState {
    reason: Option<StopReason>,
    /// Whether nobody has any time left.
    is_urgent: bool,
    wakers: Vec<(u64, Wake)>,
    next: u64,
}

/// Called when something has happened; quick, and never in need of whoever calls.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

impl StopHandle {
    /// A handle for an attempt that nobody has stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the reason down, then wakes the wing. The first reason counts; says whether this was it. A guest with a time of
    /// grace ([`Limits::grace`](crate::Limits::grace)) that is to be cancelled, or to be shut down, is told so and has that time.
    pub fn stop(&self, reason: StopReason) -> bool {
        let wakers = {
            let mut state = self.state();
            if state.reason.is_some() {
                return false;
            }
            state.reason = Some(reason);
            state.wakers.clone()
        };
        for (_, wake) in wakers {
            wake();
        }
        true
    }

    /// The same, and takes the time away from those who have been told to end: whoever is still there ends at once. If there
    /// is a reason already, that one stays. Says whether anybody could have had time until now.
    pub fn stop_now(&self, reason: StopReason) -> bool {
        let wakers = {
            let mut state = self.state();
            if std::mem::replace(&mut state.is_urgent, true) {
                return false;
            }
            state.reason.get_or_insert(reason);
            state.wakers.clone()
        };
        for (_, wake) in wakers {
            wake();
        }
        true
    }

    /// Whether whoever has stopped it gives nobody time ([`stop_now`](Self::stop_now)).
    pub fn is_urgent(&self) -> bool {
        self.state().is_urgent
    }

    /// Why the attempt is to end, if it is.
    pub fn reason(&self) -> Option<StopReason> {
        self.state().reason
    }

    /// For wings: calls `wake` when the attempt is stopped, at once if it already was, until the guard
    /// is dropped. One handle may stop many attempts.
    pub fn on_stop(&self, wake: impl Fn() + Send + Sync + 'static) -> StopGuard<'_> {
        let wake: Wake = Arc::new(wake);
        let (id, stopped) = {
            let mut state = self.state();
            let id = state.next;
            state.next += 1;
            state.wakers.push((id, Arc::clone(&wake)));
            (id, state.reason.is_some())
        };
        if stopped {
            wake();
        }
        StopGuard { handle: self, id, ends: None }
    }

    /// The same, and when the guard is gone nobody calls it any more: not even who had begun to before that.
    fn on_stop_until(&self, wake: impl Fn() + Send + Sync + 'static) -> StopGuard<'_> {
        let is_over = Arc::new(Mutex::new(false));
        let ends = Some(Arc::clone(&is_over));
        let mut guard = self.on_stop(move || {
            let is_over = is_over.lock().unwrap_or_else(PoisonError::into_inner);
            if !*is_over {
                wake();
            }
        });
        guard.ends = ends;
        guard
    }

    /// The same, for as long as there is a clone of this handle.
    pub(crate) fn on_stop_ever(&self, wake: impl Fn() + Send + Sync + 'static) {
        std::mem::forget(self.on_stop(wake));
    }

    /// Has another handle stopped with this one, for the same reason, until the guard is dropped. What stops the
    /// other one does not stop this: an attempt that hits its own limit is no reason for its neighbours to end.
    pub fn tie(&self, other: &Self) -> StopGuard<'_> {
        let (of, to) = (self.clone(), other.clone());
        self.on_stop_until(move || of.pass_on(&to))
    }

    fn pass_on(&self, other: &Self) {
        let reason = self.reason().unwrap_or(StopReason::Cancelled);
        match self.is_urgent() {
            true => other.stop_now(reason),
            false => other.stop(reason),
        };
    }

    /// The same for an attempt whose guest has a time of grace: where this handle asks for an end, notice is given and `wake`
    /// called, and the other handle is left to whoever serves the guest. What was stopped before that is not begun.
    pub(crate) fn tie_with_notice(
        &self,
        other: &Self,
        notice: &Notice,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> StopGuard<'_> {
        if self.reason().is_some() {
            self.pass_on(other);
        }
        let (of, to, notice) = (self.clone(), other.clone(), notice.clone());
        self.on_stop_until(move || match of.patient_reason() {
            Some(reason) if to.reason().is_none() => {
                notice.give(reason);
                wake();
            }
            Some(_) | None => of.pass_on(&to),
        })
    }

    /// Why it is to end, if that leaves it time.
    fn patient_reason(&self) -> Option<StopReason> {
        let state = self.state();
        let asks =
            |reason: &StopReason| matches!(reason, StopReason::Cancelled | StopReason::Shutdown);
        state.reason.filter(|_| !state.is_urgent).filter(asks)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, StopState> {
        // A panic elsewhere can't leave these two fields half written.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle").field("reason", &self.reason()).finish()
    }
}

/// Takes a wing's waker away again when dropped.
#[derive(Debug)]
pub struct StopGuard<'a> {
    handle: &'a StopHandle,
    id: u64,
    /// Where whoever stops late shall find that it is over.
    ends: Option<Arc<Mutex<bool>>>,
}

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        self.handle.state().wakers.retain(|(id, _)| *id != self.id);
        if let Some(is_over) = &self.ends {
            *is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
    }
}

/// That the guest of one attempt is to end, why, and since when it knows. It belongs to the attempt alone: what comes
/// too late for it reaches no other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notice(Arc<OnceLock<(StopReason, Instant)>>);

impl Notice {
    fn give(&self, reason: StopReason) {
        // The first one counts, as ever.
        let _ = self.0.set((reason, Instant::now()));
    }

    /// Why it is to end, if it is.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.0.get().map(|(reason, _)| *reason)
    }

    /// How much is left of so long a grace. `None` where no notice was given.
    pub(crate) fn left(&self, grace: Duration, now: Instant) -> Option<Duration> {
        let (_, since) = self.0.get()?;
        Some(grace.saturating_sub(now.saturating_duration_since(*since)))
    }
}

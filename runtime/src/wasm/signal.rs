//! Tells one running guest that it is to end, wherever it is.
//!
//! In its own code it is found out by the epoch callback, which looks at the flag. In a host call that
//! waits it is found out here: such a call is a future, and its thread waits for the future and for the
//! bell at the same time. A future that is left behind is dropped; none of them holds anything that
//! outlives it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::ending::Interrupted;

pub(super) struct Signal {
    fired: AtomicBool,
    /// Whether the guest has waited in a host call.
    has_waited: AtomicBool,
    /// Nanoseconds that the guest's thread worked for somebody else: for the caller's ear.
    elsewhere: AtomicU64,
    life: Life,
    /// That of the thread that runs the guest.
    bell: Mutex<Arc<Bell>>,
}

/// When the guest was last heard, where that matters.
struct Life {
    since: Instant,
    matters: AtomicBool,
    /// Nanoseconds.
    heard: AtomicU64,
    /// Whether it waits for its host's answer: then it is not the one to speak.
    is_asking: AtomicBool,
}

impl Life {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            matters: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            is_asking: AtomicBool::new(false),
        }
    }
}

impl Signal {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self {
            fired: AtomicBool::new(false),
            has_waited: AtomicBool::new(false),
            elsewhere: AtomicU64::new(0),
            life: Life::new(),
            bell: Mutex::new(bell),
        }
    }

    /// A call begins, and whether it matters when its guest is heard.
    pub(super) fn listen(&self, matters: bool) {
        self.life.matters.store(matters, Ordering::Relaxed);
        self.was_heard();
    }

    /// The guest has said something.
    pub(super) fn was_heard(&self) {
        if self.life.matters.load(Ordering::Relaxed) {
            let nanos = u64::try_from(self.life.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.life.heard.store(nanos, Ordering::Relaxed);
        }
    }

    /// It begins to wait for its host's answer, or has it.
    pub(super) fn is_asking(&self, asks: bool) {
        // Whoever sees that it no longer waits has to see, too, since when.
        self.was_heard();
        self.life.is_asking.store(asks, Ordering::Release);
    }

    /// When it was heard last. One that waits for its host is as good as heard.
    pub(super) fn heard_at(&self) -> Instant {
        match self.life.is_asking.load(Ordering::Acquire) {
            true => Instant::now(),
            false => {
                self.life.since + Duration::from_nanos(self.life.heard.load(Ordering::Relaxed))
            }
        }
    }

    /// Says that the guest is to end. The flag is up before anybody is woken.
    pub(super) fn fire(&self) {
        self.fired.store(true, Ordering::SeqCst);
        self.bell().ring();
    }

    /// Has a guest that waits look again whether it has to.
    pub(super) fn nudge(&self) {
        self.bell().ring();
    }

    /// The guest goes on, on a thread with this bell.
    pub(super) fn move_to(&self, bell: &Arc<Bell>) {
        self.has_waited.store(false, Ordering::Relaxed);
        self.elsewhere.store(0, Ordering::Relaxed);
        *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(bell);
    }

    fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    pub(super) fn has_waited(&self) -> bool {
        self.has_waited.load(Ordering::Relaxed)
    }

    /// Says that the guest's thread worked so long for somebody else.
    pub(super) fn was_elsewhere(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.elsewhere.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How long it did.
    pub(super) fn elsewhere(&self) -> Duration {
        Duration::from_nanos(self.elsewhere.load(Ordering::Relaxed))
    }

    /// An error if the guest is to end.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if self.is_fired() { Err(Interrupted) } else { Ok(()) }
    }

    /// Waits on this thread for `future`, as long as the guest is not to end.
    pub(super) fn wait_for<F: Future>(&self, future: F) -> Result<F::Output, Interrupted> {
        let mut future = pin!(future);
        let bell = self.bell();
        let waker = Waker::from(Arc::clone(&bell));
        let mut context = Context::from_waker(&waker);
        loop {
            self.check()?;
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            self.has_waited.store(true, Ordering::Relaxed);
            bell.wait();
        }
    }

    /// Waits on this thread until `is_ready` says so or it is `until`, as long as the guest is not to end.
    pub(super) fn wait_until(
        &self,
        until: Option<Instant>,
        is_ready: impl Fn() -> bool,
    ) -> Result<(), Interrupted> {
        let bell = self.bell();
        loop {
            self.check()?;
            if is_ready() || until.is_some_and(|until| until <= Instant::now()) {
                return Ok(());
            }
            self.has_waited.store(true, Ordering::Relaxed);
            bell.wait_until(until);
        }
    }

    /// Drives a whole guest on this thread. Once the guest is to end it has one more chance to do so where
    /// it is, and then it is left behind.
    pub(super) fn drive<F: Future>(&self, guest: F) -> Result<F::Output, Interrupted> {
        let mut guest = pin!(guest);
        let bell = self.bell();
        let waker = Waker::from(Arc::clone(&bell));
        let mut context = Context::from_waker(&waker);
        loop {
            let is_over = self.is_fired();
            if let Poll::Ready(output) = guest.as_mut().poll(&mut context) {
                return Ok(output);
            }
            if is_over {
                return Err(Interrupted);
            }
            self.has_waited.store(true, Ordering::Relaxed);
            bell.wait();
        }
    }

    /// Waits within a guest that is driven, as long as it is not to end.
    pub(super) async fn race<F: Future>(&self, future: F) -> Result<F::Output, Interrupted> {
        let mut future = pin!(future);
        poll_fn(|context| match self.check() {
            Ok(()) => future.as_mut().poll(context).map(Ok),
            Err(interrupted) => Poll::Ready(Err(interrupted)),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal() -> Signal {
        Signal::new(Arc::new(Bell::new().unwrap()))
    }

    #[test]
    fn a_fired_signal_ends_a_wait_that_would_last_for_ever() {
        let signal = Arc::new(signal());
        let waiting = Arc::clone(&signal);
        let guest = std::thread::spawn(move || waiting.wait_for(std::future::pending::<()>()));
        signal.fire();
        assert_eq!(guest.join().unwrap(), Err(Interrupted));
    }

    #[test]
    fn a_driven_guest_ends_where_it_waits_or_is_left_behind() {
        let signal = signal();
        signal.fire();
        let ends = signal.drive(async {
            let waited = signal.race(std::future::pending::<()>()).await;
            (waited, 7)
        });
        assert_eq!(ends, Ok((Err(Interrupted), 7)));
        assert_eq!(signal.drive(std::future::pending::<()>()), Err(Interrupted));
    }

    #[test]
    fn a_bell_without_a_reason_ends_nothing() {
        let signal = signal();
        signal.bell().ring();
        let mut polls = 0;
        let future = std::future::poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls < 3 { Poll::Pending } else { Poll::Ready(7) }
        });
        assert_eq!(signal.wait_for(future), Ok(7));
    }
}

//! A bell: rung from any thread, heard by whoever polls it, and by others who want to be called.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::evidence::Refusal;
use crate::isolation::Wake;

use super::refusals;

/// Readable from its first ring on, until it is muffled.
pub(super) struct Bell {
    counter: EventFd,
    was_rung: AtomicBool,
    called: OnceLock<Wake>,
    /// Nobody is to be called any more.
    is_hushed: AtomicBool,
    /// Whoever serves the process at the moment, away from its descriptors.
    startled: OnceLock<Wake>,
}

impl Bell {
    pub(super) fn new() -> Result<Self, Refusal> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let counter = EventFd::from_flags(flags);
        let counter = counter.map_err(|errno| refusals::at_plan(&errno.into()))?;
        let (was_rung, is_hushed) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self {
            counter,
            was_rung,
            called: OnceLock::new(),
            is_hushed,
            startled: OnceLock::new(),
        })
    }

    pub(super) fn ring(&self) {
        // It fails only when it has been rung 2^64 times.
        let _ = self.counter.write(1);
        self.was_rung.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let is_wanted = |_: &&Wake| !self.is_hushed.load(Ordering::SeqCst);
        let [first, second] = [self.startled.get(), self.called.get().filter(is_wanted)];
        first.into_iter().chain(second).for_each(|call| call());
    }

    /// Forgets that it was rung.
    pub(super) fn muffle(&self) {
        // It fails where nobody has rung.
        let _ = self.counter.read();
    }

    /// Whether it was ever rung. Whoever wants to be called, and asks this afterwards, misses no ring.
    pub(super) fn was_rung(&self) -> bool {
        fence(Ordering::SeqCst);
        self.was_rung.load(Ordering::SeqCst)
    }

    /// Has somebody called at each ring from now on. There is room for one.
    pub(super) fn call(&self, who: Wake) {
        // Whoever came first stays.
        let _ = self.called.set(who);
    }

    /// Whoever wanted to be called has no use for it from now on.
    pub(super) fn hush(&self) {
        self.is_hushed.store(true, Ordering::SeqCst);
    }

    /// The same for whoever serves the process, and does not always listen.
    pub(super) fn startle(&self, who: Wake) {
        let _ = self.startled.set(who);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bell").field(&self.counter).finish()
    }
}

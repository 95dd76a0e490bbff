//! What a guest's thread sleeps on: a bell that anybody may ring, and the guest's own input.
//!
//! Each guest thread has one bell, for all attempts it ever runs. A bell that is rung for an attempt that
//! is over already wakes the next one for nothing, and that is all it does: whoever wakes looks again
//! whether there is a reason.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;
use std::time::Instant;

pub(super) struct Bell {
    clapper: clapper::Clapper,
    input: Mutex<Option<Arc<File>>>,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { clapper: clapper::Clapper::new()?, input: Mutex::default() })
    }

    /// Wakes the thread that waits, or the next one that will.
    pub(super) fn ring(&self) {
        self.clapper.ring();
    }

    /// Has the next wait end when `input` can be read, too.
    pub(super) fn listen_to(&self, input: &Arc<File>) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(input));
    }

    /// Waits until it is rung or the input can be read. May end for nothing.
    pub(super) fn wait(&self) {
        self.wait_until(None);
    }

    /// The same, but not longer than until then.
    pub(super) fn wait_until(&self, until: Option<Instant>) {
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        let longest = until.map(|until| until.saturating_duration_since(Instant::now()));
        self.clapper.wait(input.as_deref(), longest);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// Whether a read would give something, be it the end, without waiting.
pub(super) use clapper::is_readable;

#[cfg(target_os = "linux")]
mod clapper {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsFd as _;

    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
    use nix::sys::eventfd::{EfdFlags, EventFd};

    pub(super) struct Clapper(EventFd);

    impl Clapper {
        pub(super) fn new() -> io::Result<Self> {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            Ok(Self(EventFd::from_value_and_flags(0, flags)?))
        }

        pub(super) fn ring(&self) {
            // It can only fail because it has been rung 2^64 times, and then it rings already.
            let _ = self.0.write(1);
        }

        pub(super) fn wait(&self, input: Option<&File>, longest: Option<Duration>) {
            let mut watched = vec![PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            watched.extend(input.map(|input| PollFd::new(input.as_fd(), PollFlags::POLLIN)));
            // Interrupted by a signal or not: the caller looks again.
            let _ = ppoll(&mut watched, longest.map(Into::into), None);
            // Nothing to read means that it was the input.
            let _ = self.0.read();
        }
    }

    pub(in super::super) fn is_readable(input: &File) -> bool {
        let mut watched = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        // What can't be waited for is read at once, and the read says what is wrong.
        poll(&mut watched, PollTimeout::ZERO) != Ok(0)
    }
}

/// Where there is nothing to wait for both at once, input is read without waiting for it first: a guest
/// that waits for input can be stopped only when some arrives.
#[cfg(not(target_os = "linux"))]
mod clapper {
    use std::fs::File;
    use std::io;
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    /// As good as for ever.
    const LONG: Duration = Duration::from_secs(1 << 30);

    #[derive(Default)]
    pub(super) struct Clapper {
        rung: Mutex<bool>,
        changed: Condvar,
    }

    impl Clapper {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self::default())
        }

        pub(super) fn ring(&self) {
            *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.changed.notify_all();
        }

        pub(super) fn wait(&self, _: Option<&File>, longest: Option<Duration>) {
            let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let waited =
                self.changed.wait_timeout_while(rung, longest.unwrap_or(LONG), |rung| !*rung);
            *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
        }
    }

    pub(in super::super) fn is_readable(_: &File) -> bool {
        true
    }
}

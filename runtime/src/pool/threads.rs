//! Threads, of which a host may have none left.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts one.
pub(crate) fn start(
    name: String,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    #[cfg(test)]
    if lack::is_of(&name) {
        return Err(io::Error::from(io::ErrorKind::WouldBlock));
    }
    Builder::new().name(name).spawn(work)
}

/// A host that has no threads of some kind, for whoever asks on the thread of a test.
#[cfg(test)]
pub(crate) mod lack {
    use std::cell::Cell;

    thread_local! {
        static KIND: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// From now on there are none whose name begins so.
    pub(crate) fn of(kind: Option<&'static str>) {
        KIND.set(kind);
    }

    pub(super) fn is_of(name: &str) -> bool {
        KIND.get().is_some_and(|kind| name.starts_with(kind))
    }
}

//! What was seen of a task.

use std::time::Duration;

use crate::evidence::{DeniedSyscall, Ending};

/// The facts that the watching thread leaves behind.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) ending: Ending,
    /// Whether the program itself was ever reached.
    pub(super) executed: bool,
    /// The system call that it was killed for.
    pub(super) denied: Option<DeniedSyscall>,
    pub(super) cpu: Duration,
    /// The most memory the main process held.
    pub(super) peak: u64,
    /// The most address space the main process had at its death.
    pub(super) address_space: u64,
}

impl Watched {
    /// Before anything was seen.
    pub(super) fn nothing(executed: bool) -> Self {
        Self {
            ending: Ending::Vanished,
            executed,
            denied: None,
            cpu: Duration::ZERO,
            peak: 0,
            address_space: 0,
        }
    }
}

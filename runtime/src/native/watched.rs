//! What was seen of a task.

use std::time::Duration;

use crate::evidence::{DeniedSyscall, Ending};

use super::backtrace::Steps;

/// The facts that the watching thread leaves behind.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) ending: Ending,
    /// Whether the program itself was ever reached.
    pub(super) executed: bool,
    /// Whether it was let begin, if it stood ready.
    pub(super) has_begun: bool,
    /// The system call that it was killed for.
    pub(super) denied: Option<DeniedSyscall>,
    pub(super) cpu: Duration,
    /// The most memory the main process held.
    pub(super) peak: u64,
    /// The most address space the main process had at its death.
    pub(super) address_space: u64,
    /// Whether it died while the kernel loaded another program into it.
    pub(super) loading: bool,
    /// How many kills in its group were other processes'; `None` where nobody saw.
    pub(super) oom_kills_of_others: Option<u64>,
    /// Where the main process was when it died, if that was asked for.
    pub(super) steps: Steps,
}

impl Watched {
    /// Before anything was seen.
    pub(super) fn nothing(executed: bool, sees_all: bool) -> Self {
        Self {
            ending: Ending::Vanished,
            executed,
            has_begun: true,
            denied: None,
            cpu: Duration::ZERO,
            peak: 0,
            address_space: 0,
            loading: false,
            oom_kills_of_others: sees_all.then_some(0),
            steps: Steps::default(),
        }
    }
}

//! The end of a process that shall not go on.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::native::group::Group;

use super::Process;

/// How long the end of a process that was killed is waited for.
const GRACE: Duration = Duration::from_millis(500);

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Process {
    /// Ends it, and waits until it is gone.
    pub(in crate::native) fn end(&self) {
        let pid = self.launched.pid;
        self.family.kill(pid);
        if self.family.is_gone(pid) {
            // Its end was taken by somebody else, and nobody will tell of it.
            return;
        }
        let done = &self.launched.done;
        let mut polled = [PollFd::new(done.as_fd(), PollFlags::POLLIN)];
        let grace = PollTimeout::try_from(GRACE).unwrap_or(PollTimeout::MAX);
        // One that has ended in order is no news: then this doesn't wait.
        let _ = poll(&mut polled, grace);
    }

    /// The same, and gives its group, if it was not served to its end and nobody can be left in it.
    pub(in crate::native) fn into_group(mut self) -> Option<Group> {
        self.end();
        // The kernel ends a namespace with its first process, and lets nobody hear of that before it has.
        let nobody_is_left = self.standing.own_pids && self.launched.watched.try_recv().is_ok();
        self.group.take().filter(|_| nobody_is_left).and_then(Arc::into_inner)
    }
}

//! What a process reads, where it may not read all there is.

use crate::evidence::StopReason;
use crate::native::feed::{self, Feed};

use super::{Pump, Talk};

impl Pump<'_> {
    /// Filling its stdin besides.
    pub(in crate::native) fn feeding(self, feed: Option<Feed>) -> Self {
        Self { feed, ..self }
    }

    /// Passes on what there is of its input, and is room for.
    pub(super) fn feed_on(&mut self, talk: &mut Talk<'_>) {
        let stop = &self.process.leash.stop;
        match self.feed.as_mut().map(Feed::go_on) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => _ = stop.stop(StopReason::Stdin),
            Some(Err(error)) => {
                talk.unfed = Some(feed::unreadable(&error));
                stop.stop(StopReason::Cancelled);
            }
        }
    }

    /// What it had taken when it ended, nobody has looked at yet.
    pub(super) fn look_at_input(&self) {
        if self.feed.as_ref().is_some_and(Feed::has_taken_too_much) {
            self.process.leash.stop.stop(StopReason::Stdin);
        }
    }
}

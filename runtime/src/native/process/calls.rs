//! What a process that is kept is asked and told between its calls, and where those are made.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::native::beside::Beside;
use crate::native::lane::OurLane;
use crate::native::news::News;
use crate::native::sys;
use crate::native::wire::Rlimit;

use super::{BELL, Process};

/// What a pipe holds.
pub(in crate::native) const PIPE_BYTES: usize = 64 * 1024;

impl Process {
    /// Its first call has been answered: it has taken its lane by then, or never will. Where something has to be counted
    /// while it works, it is of no use.
    pub(in crate::native) fn settle_lane(&mut self, is_taken: bool) {
        let Some(offer) = self.offer.take() else { return };
        if !is_taken || !self.sees_births || self.scratch.is_some() {
            return offer.withdrawn();
        }
        // Its share of the processors is for work.
        let may_watch = self.limits.cpus.is_none();
        let may_move = self.standing.may_hold;
        let slow = &self.standing.is_slow_to_wake;
        let beside = Beside::of(self.launched.pid, &self.family, (may_move, may_watch), slow);
        let Ok(lane) = offer.taken(beside, may_watch, self.sent.get()) else { return };
        let most = u64::from(self.limits.open_files);
        let files =
            Rlimit { resource: sys::number_of(libc::RLIMIT_NOFILE), soft: most, hard: most };
        // It has closed what it has mapped. This fails for one that is gone.
        let _ = sys::set_limit(self.launched.pid, &files);
        self.leash.stop.on_stop_ever(lane.alarm());
        self.launched.done.startle(Arc::new(lane.alarm()));
        self.lane = Some(lane);
    }

    /// So many bytes more went over its channel: whoever looks in the lane need not go on.
    pub(in crate::native) fn was_sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
        self.lane.iter().for_each(|lane| lane.sent_elsewhere(self.sent.get()));
    }

    /// Whether nothing whatever is to be heard of it, and it is at rest. Counts its rest anew then.
    pub(in crate::native) fn is_quiet(&mut self) -> bool {
        let heard = self.news.as_ref().and_then(News::now);
        if heard.is_some_and(|heard| heard.ready()[BELL]) {
            // It was rung for an answer to a call that was over by then; or for a stop, whose reason stands in the handle.
            self.leash.bell.muffle();
        }
        let is_quiet = heard.is_some_and(|heard| heard.is_quiet_but_for(BELL))
            && self.leash.stop.reason().is_none()
            && !self.is_restless();
        if is_quiet {
            self.rest(self.cpu());
        }
        is_quiet
    }

    /// Notes that nobody serves it from now on.
    pub(in crate::native) fn rest(&mut self, cpu: Duration) {
        self.rests = (Instant::now(), cpu);
        self.lane.iter().for_each(OurLane::rests);
    }

    /// What it had used by then.
    pub(in crate::native) fn used_at_rest(&self) -> Duration {
        self.rests.1
    }

    /// Whether it has used more processor time since it was at rest than its calls in the meantime may have, and one more.
    pub(in crate::native) fn is_restless(&self) -> bool {
        let (since, used) = self.rests;
        let calls = self.lane.as_ref().map_or(0, OurLane::calls);
        let allowed = self.limits.cpu.saturating_mul(calls.saturating_add(1));
        let most = since.elapsed().saturating_mul(crate::native::pump::processors());
        most >= allowed && self.cpu().saturating_sub(used) >= allowed
    }

    /// Throws away what it has written to its streams, as far as that fits in them.
    pub(in crate::native) fn forget_output(&self) {
        let mut piece = [0; 4096];
        for mut stream in [&self.ends.stdout, &self.ends.stderr] {
            let mut left = PIPE_BYTES;
            while left > 0
                && let Ok(count @ 1..) = stream.read(&mut piece)
            {
                left = left.saturating_sub(count);
            }
        }
    }
}

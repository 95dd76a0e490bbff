//! For how long a process is served, and how that ends.

use crate::native::news::{Heard, News};

use super::{Piece, Pump, Source, Talk};

/// How long a process is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) enum Until {
    /// Until nobody of it is left.
    Gone,
    /// Until it has answered its call.
    Answered,
    /// The same, of its only call: what it does behind that is nobody's.
    Served,
    /// Until it has greeted us.
    Greeted,
    /// Until it is warm, or says that it will never be.
    Warm,
}

/// How a task came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) enum Finish {
    /// The process has answered, and waits for the next call.
    Answered,
    /// Nobody of it is left; lost is one that is gone, and nobody told us.
    Ended { is_lost: bool },
}

impl Pump<'_> {
    /// Whether the call is over and its process stays. What the guest wrote before its answer is there by now.
    pub(super) fn has_answered(&mut self, talk: &mut Talk<'_>, open: [bool; 3]) -> bool {
        let is_all_said = talk.outbox.is_empty() && !talk.desk.is_waiting();
        let is_over = match self.until {
            Until::Gone => false,
            Until::Answered => is_all_said && open == [true; 3] && talk.witness.is_answered(),
            Until::Served => is_all_said && talk.witness.is_answered(),
            Until::Greeted => open == [true; 3] && talk.witness.is_greeted(),
            Until::Warm => open[2] && talk.witness.has_warmed_up().is_some(),
        };
        if self.killed || !is_over {
            return false;
        }
        let ready = self.process.news.as_ref().and_then(News::now).map(Heard::ready);
        if self.until == Until::Greeted
            && ready.is_some_and(|ready| ready[Source::Channel as usize])
        {
            // The rest of what it says first.
            return false;
        }
        for source in [Source::Stdout, Source::Stderr] {
            let may_have =
                open[source as usize] && ready.is_none_or(|ready| ready[source as usize]);
            // Other threads of it may write for ever, and no faster than this one reads.
            while may_have && !self.is_late() && self.read(source, talk) == Piece::Taken {}
        }
        if self.until == Until::Served && ready.is_none() {
            // What it has said behind its answer by now counts.
            while open[2] && !self.is_late() && self.read(Source::Channel, talk) == Piece::Taken {}
            if !talk.witness.is_answered() {
                return false;
            }
        }
        self.look_into_scratch();
        // That may have been too much.
        !self.is_late()
    }

    /// Whether it is to be ended, or will be.
    fn is_late(&self) -> bool {
        let limits = self.attempt.limits;
        self.process.leash.stop.reason().is_some() || self.attempt.began.elapsed() >= limits.wall
    }
}

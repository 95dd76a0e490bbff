//! What a guest is told before it is ended, where it has a time of grace: that nobody waits for its call any more.

use std::time::{Duration, Instant};

use crate::evidence::StopReason;
use crate::isolation::{Attempt, Notice};
use crate::task::Entry;

use super::outbox::{Outbox, Turn};

/// Passes the notice of one attempt on to its guest, once.
#[derive(Debug, Default)]
pub(crate) struct Warning {
    /// `None` for a guest that is ended at once.
    notice: Option<Notice>,
    /// Its call, if it serves one.
    call: Option<u64>,
    told: Option<StopReason>,
}

impl Warning {
    /// Of an attempt whose guest can be told.
    pub(crate) fn of(attempt: &Attempt<'_>, turn: Turn, notice: Option<Notice>) -> Self {
        let is_call = matches!(attempt.entry, Entry::Invoke { .. });
        Self { notice, call: is_call.then(|| turn.id()), told: None }
    }

    /// Puts the word into the outbox of a guest that serves a call, if it is to be told now. Says whether one that serves none is
    /// to be told in another way.
    pub(crate) fn pass_on(&mut self, outbox: &mut Outbox) -> bool {
        let news = self.notice.as_ref().filter(|_| self.told.is_none()).and_then(Notice::reason);
        if news.is_none() {
            return false;
        }
        self.told = news;
        if let Some(call) = self.call {
            outbox.cancel(call);
        }
        self.call.is_none()
    }

    /// How much is left of so long a grace. `None` where nobody asks for an end.
    pub(crate) fn left(&self, grace: Duration, now: Instant) -> Option<Duration> {
        self.notice.as_ref()?.left(grace, now)
    }

    /// Says whether there is a word that was not passed on yet, to whoever waits.
    pub(crate) fn has_come(&self) -> impl Fn() -> bool + use<> {
        let notice = self.notice.clone().filter(|_| self.told.is_none());
        move || notice.as_ref().and_then(Notice::reason).is_some()
    }

    /// Why the guest is to end, whether it has asked for news or not.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.notice.as_ref().and_then(Notice::reason)
    }

    /// Why it was told to end, if it was.
    pub(crate) fn told(&self) -> Option<StopReason> {
        self.told
    }
}

//! Listens to one guest and watches that it keeps the rules.
//!
//! The first frame is `Hello` with our version; a list of functions follows at once or never. A call has one result,
//! which is the last thing said about it; so is an error, whose value, if it has one, comes right before it. Panics
//! may come more than once (threads can be survived); the last one is kept. What a guest sends counts against
//! its result limit, and only one frame at a time is ever held.

mod talk;

use sandtrap_protocol::{Codec, Decoder, FrameFault, Heard, MAX_FRAME};

use crate::event::Event;
use crate::evidence::{StopReason, Testimony};
use crate::isolation::Attempt;
use crate::task::Entry;
use crate::value_file::ValueDir;

use super::desk::Asked;
use super::outbox::Turn;
use super::vessel::Vessel;
use talk::Talk;

/// Hears one guest from its start to its end. Without an attempt, hears nothing at all.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    decoder: Decoder,
    talk: Talk,
    heard: u64,
    /// The most of one value.
    longest: usize,
    /// The most of all that it says.
    limit: u64,
    /// It has said too much, and is not heard any more.
    is_over: bool,
}

/// A result that was not sent: it lies in the guest's room for values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) codec: Codec,
    pub(crate) at: u64,
    pub(crate) length: u64,
}

impl Witness {
    /// Hears an attempt of which nothing was heard so far.
    pub(crate) fn of(attempt: &Attempt<'_>, turn: Turn) -> Self {
        let call = match attempt.entry {
            Entry::Invoke { function, .. } => Some((turn.id(), function.clone())),
            Entry::Command { .. } | Entry::Call { .. } => None,
        };
        let limit = attempt.limits.result.as_u64();
        let longest = usize::try_from(limit).unwrap_or(usize::MAX);
        // A result as large as the limit fits, with the few words around it.
        let around = if call.is_some() { MAX_FRAME as u64 } else { 0 };
        // A guest that is there from an earlier call has said hello.
        let greeted = turn == Turn::Greeted || turn.id() > 1;
        Self {
            decoder: Decoder::new(longest),
            talk: Talk { call, greeted, most: limit.saturating_add(around), ..Talk::default() },
            heard: 0,
            longest,
            limit: limit.saturating_add(around),
            is_over: false,
        }
    }

    /// The same, where its greeting was heard before: what it has and can do it has said there, and nothing else of that
    /// is this attempt's.
    pub(crate) fn having_greeted(mut self, before: Self) -> Self {
        let Talk { testimony, just_greeted, just_listed, lane, .. } = before.talk;
        let Testimony { functions, idempotent, .. } = testimony;
        self.talk.testimony = Testimony { functions, idempotent, ..Testimony::default() };
        self.talk = Talk { greeted: true, just_greeted, just_listed, lane, ..self.talk };
        self
    }

    /// Whether it has said hello, and what it said behind that is whole: there may be more to come.
    pub(crate) fn is_greeted(&self) -> bool {
        let has_failed = self.talk.testimony.error.is_some();
        self.talk.greeted && !has_failed && self.decoder.end().is_ok()
    }

    /// Hears a guest before there is a call for it.
    pub(crate) fn of_greeting(attempt: &Attempt<'_>) -> Self {
        let mut witness = Self::of(attempt, Turn::Only);
        // It is no part of a result.
        witness.limit = witness.limit.saturating_add(MAX_FRAME as u64);
        witness
    }

    /// Hears a guest until it is warm.
    pub(crate) fn of_warm_up(attempt: &Attempt<'_>) -> Self {
        let mut witness = Self::of(attempt, Turn::Only);
        witness.talk.warms_up = true;
        witness
    }

    /// Whether it is warm, if it has said all that it will say by itself. One that names its functions instead, and
    /// waits for calls, knows nothing of forks.
    pub(crate) fn has_warmed_up(&self) -> Option<bool> {
        let has_said = self.talk.is_warm || !self.talk.testimony.functions.is_empty();
        has_said.then_some(self.talk.is_warm)
    }

    /// Whether the guest has said more than its greeting, or has begun to.
    pub(crate) fn has_begun(&self) -> bool {
        self.talk.has_begun || self.decoder.end().is_err()
    }

    /// Whether it is a guest of ours at all.
    pub(crate) fn was_greeted(&self) -> bool {
        self.talk.greeted
    }

    /// The same, and large results go into files of this directory, if there is one.
    pub(crate) fn storing_in(mut self, dir: Option<ValueDir>) -> Self {
        self.talk.vessel = Vessel::new(dir);
        self
    }

    /// Takes what arrived, and tells `ear` what is to be heard at once. Says why the guest must be ended, if it must.
    pub(crate) fn hear(
        &mut self,
        bytes: &[u8],
        ear: &mut dyn FnMut(Event<'_>),
    ) -> Option<StopReason> {
        if self.talk.testimony.broken.is_some() {
            return Some(StopReason::Protocol);
        }
        if self.talk.is_over() {
            return None;
        }
        let left = usize::try_from(self.limit.saturating_sub(self.heard)).unwrap_or(usize::MAX);
        self.heard += bytes.len() as u64;
        let is_too_much = bytes.len() > left;
        self.is_over |= is_too_much && !self.talk.ends_with_answer;
        if self.is_over {
            return Some(StopReason::Result);
        }
        // What is nobody's may have come with an answer that is within the limit.
        let bytes = &bytes[..left.min(bytes.len())];
        let (talk, longest) = (&mut self.talk, self.longest);
        let mut breach = None;
        let decoded = self.decoder.feed_parts(bytes, |heard| match heard {
            _ if breach.is_some() || talk.is_over() => Ok(true),
            Heard::Part { frame, bytes, missing } => Ok(talk.vessel.takes(frame, bytes, missing)),
            // A short one came with the words around it.
            Heard::Whole(_, tail) if tail.len() > longest => {
                talk.is_too_much = true;
                Ok(true)
            }
            Heard::Whole(frame, tail) => {
                breach = talk.accept(frame, tail, ear);
                Ok(true)
            }
        });
        let fault = match decoded {
            Err(_) if self.talk.is_over() => return None,
            Err(FrameFault::TooMuch(_)) if breach.is_none() => {
                self.is_over = true;
                return Some(StopReason::Result);
            }
            Err(fault) => breach.unwrap_or_else(|| fault.to_string()),
            Ok(()) if self.talk.is_too_much || self.talk.vessel.is_lost() => {
                self.is_over = true;
                return Some(StopReason::Result);
            }
            Ok(()) if breach.is_none() && is_too_much && !self.talk.is_over() => {
                self.is_over = true;
                return Some(StopReason::Result);
            }
            Ok(()) => breach?,
        };
        Some(self.refuse(fault))
    }

    /// Its answer is the last that is heard of it: what it says behind that is nobody's.
    pub(crate) fn ends_with_answer(&mut self) {
        self.talk.ends_with_answer = true;
    }

    /// The guest has so much room for values: what lies elsewhere is none.
    pub(crate) fn has_room(&mut self, bytes: u64) {
        self.talk.room = bytes;
    }

    /// The guest was offered a lane with its start, and may say that it has taken it.
    pub(crate) fn has_offered_lane(&mut self) {
        self.talk.lane = Some(false);
    }

    /// Whether it has.
    pub(crate) fn has_taken_lane(&self) -> bool {
        self.talk.lane == Some(true)
    }

    /// Where the result lies, if it was not sent. What the testimony has of it then is its codec.
    pub(crate) fn placed(&self) -> Option<Placed> {
        self.talk.placed
    }

    /// The calls of the host's functions that were heard since somebody asked.
    pub(crate) fn asked(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.talk.asked)
    }

    /// What arrived is so wrong that it can't even be heard: notes why.
    pub(crate) fn refuse(&mut self, fault: String) -> StopReason {
        self.talk.testimony.broken.get_or_insert(fault);
        StopReason::Protocol
    }

    /// Whether the call has its answer, and nothing more has begun to come.
    pub(crate) fn is_answered(&self) -> bool {
        let is_answer = self.talk.has_answer() && self.talk.testimony.broken.is_none();
        is_answer && (self.talk.is_over() || self.decoder.end().is_ok())
    }

    /// The most that can arrive at once.
    pub(crate) fn most_at_once(&self) -> u64 {
        self.limit.saturating_add(MAX_FRAME as u64)
    }

    /// No more will come: what was said.
    pub(crate) fn finish(&mut self) -> Testimony {
        let talk = std::mem::take(&mut self.talk);
        let is_over = self.is_over || talk.is_over();
        let mut testimony = talk.testimony;
        if testimony.broken.is_none()
            && !is_over
            && let Err(fault) = self.decoder.end()
        {
            testimony.broken = Some(fault.to_string());
        }
        testimony.never_greeted = talk.call.is_some() && !talk.greeted;
        if testimony.result.is_none() && testimony.error.is_none() {
            testimony.unanswered = talk.call.map(|(_, function)| match talk.greeted {
                true => format!("it ended, and `{function}` has given no result"),
                false => format!(
                    "it ended, and `{function}` has given no result; it never said hello, as guests with functions do \
                     first: run it as a command, or serve its functions with sandtrap-guest"
                ),
            });
        }
        testimony
    }
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;

#[cfg(test)]
mod greeting_tests;

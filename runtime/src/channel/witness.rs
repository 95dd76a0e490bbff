//! Listens to one guest and watches that it keeps the rules.
//!
//! The first frame is `Hello` with our version; a list of functions follows at once or never. A call has one result,
//! which is the last thing said about it; so is an error, whose value, if it has one, comes right before it. Panics
//! may come more than once (threads can be survived); the last one is kept. What a guest sends counts against
//! its result limit, and only one frame at a time is ever held.

use std::borrow::Cow;
use std::collections::HashSet;

use sandtrap_protocol::{Codec, Decoder, FrameFault, FromGuest, Heard, MAX_FRAME, VERSION};

use crate::event::Event;
use crate::evidence::{StopReason, Testimony};
use crate::isolation::Attempt;
use crate::payload::Payload;
use crate::task::Entry;
use crate::value_file::ValueDir;

use super::desk::{Asked, MOST_OPEN};
use super::outbox::Turn;
use super::vessel::Vessel;

/// Hears one guest from its start to its end. Without an attempt, hears nothing at all.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    decoder: Decoder,
    talk: Talk,
    heard: u64,
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

/// How far the talk is.
#[derive(Debug, Default)]
struct Talk {
    testimony: Testimony,
    greeted: bool,
    /// Whether the last frame was the greeting.
    just_greeted: bool,
    /// Whether it was the list of functions.
    just_listed: bool,
    /// Whether there was any frame that is no part of the greeting.
    has_begun: bool,
    /// Whether this is a guest that warms up, to be forked later; and whether it is warm.
    warms_up: bool,
    is_warm: bool,
    /// The call that has to be answered, and its function.
    call: Option<(u64, String)>,
    /// Calls of the host's functions that nobody has taken up yet.
    asked: Vec<Asked>,
    /// How much room for values the guest has.
    room: u64,
    /// How much it may put there.
    most: u64,
    /// Where the result that follows lies.
    placing: Option<(u64, u64)>,
    /// What it has placed is more than it may.
    is_too_much: bool,
    placed: Option<Placed>,
    /// Whether it was offered a lane, and whether it has taken it.
    lane: Option<bool>,
    /// Takes the result.
    vessel: Vessel,
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
        let greeted = matches!(turn, Turn::OneOfMany(id) if id > 1);
        Self {
            decoder: Decoder::new(longest),
            talk: Talk { call, greeted, most: limit.saturating_add(around), ..Talk::default() },
            heard: 0,
            limit: limit.saturating_add(around),
            is_over: false,
        }
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

    /// Whether it is a guest of ours at all.
    /// Whether the guest has said more than its greeting, or has begun to.
    pub(crate) fn has_begun(&self) -> bool {
        self.talk.has_begun || self.decoder.end().is_err()
    }

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
        self.heard += bytes.len() as u64;
        self.is_over |= self.heard > self.limit;
        if self.is_over {
            return Some(StopReason::Result);
        }
        let talk = &mut self.talk;
        let mut breach = None;
        let decoded = self.decoder.feed_parts(bytes, |heard| match heard {
            _ if breach.is_some() => Ok(true),
            Heard::Part { frame, bytes, missing } => Ok(talk.vessel.takes(frame, bytes, missing)),
            Heard::Whole(frame, tail) => {
                breach = talk.accept(frame, tail, ear);
                Ok(true)
            }
        });
        let fault = match decoded {
            Err(FrameFault::TooMuch(_)) if breach.is_none() => {
                self.is_over = true;
                return Some(StopReason::Result);
            }
            Err(fault) => breach.unwrap_or_else(|| fault.to_string()),
            Ok(()) if self.talk.is_too_much || self.talk.vessel.is_lost() => {
                self.is_over = true;
                return Some(StopReason::Result);
            }
            Ok(()) => breach?,
        };
        Some(self.refuse(fault))
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
        let testimony = &self.talk.testimony;
        let is_answer = testimony.result.is_some() || testimony.error.is_some();
        is_answer && testimony.broken.is_none() && self.decoder.end().is_ok()
    }

    /// The most that can arrive at once.
    pub(crate) fn most_at_once(&self) -> u64 {
        self.limit.saturating_add(MAX_FRAME as u64)
    }

    /// No more will come: what was said.
    pub(crate) fn finish(&mut self) -> Testimony {
        let talk = std::mem::take(&mut self.talk);
        let mut testimony = talk.testimony;
        if testimony.broken.is_none()
            && !self.is_over
            && let Err(fault) = self.decoder.end()
        {
            testimony.broken = Some(fault.to_string());
        }
        if testimony.result.is_none() && testimony.error.is_none() {
            testimony.unanswered = talk.call.map(|(_, function)| match talk.greeted {
                true => format!("it ended, and `{function}` has given no result"),
                false => format!(
                    "it ended, and `{function}` has given no result; it never said hello, so it may \
                     be no guest with functions at all"
                ),
            });
        }
        testimony
    }
}

impl Talk {
    /// Takes one frame, or says which rule it breaks.
    fn accept(
        &mut self,
        frame: FromGuest,
        tail: Cow<'_, [u8]>,
        ear: &mut dyn FnMut(Event<'_>),
    ) -> Option<String> {
        let just_greeted = std::mem::take(&mut self.just_greeted);
        let just_listed = std::mem::take(&mut self.just_listed);
        if let Some(words) = self.out_of_turn(&frame) {
            return Some(words);
        }
        let placing = self.placing.take();
        self.has_begun |= !matches!(
            frame,
            FromGuest::Hello { .. }
                | FromGuest::Functions(_)
                | FromGuest::Idempotent(_)
                | FromGuest::Lane
        );
        match frame {
            FromGuest::Hello { version } if version != VERSION => {
                return Some(format!(
                    "the guest speaks version {version} of the channel and this host version {VERSION}; \
                     build the guest with the sandtrap-guest that belongs to this host"
                ));
            }
            FromGuest::Hello { .. } => (self.greeted, self.just_greeted) = (true, true),
            FromGuest::Functions(names) if just_greeted => {
                (self.testimony.functions, self.just_listed) = (names, true);
            }
            FromGuest::Functions(_) => {
                return Some("a list of functions that does not follow the greeting".to_owned());
            }
            FromGuest::Idempotent(names) => {
                let known: HashSet<&String> = self.testimony.functions.iter().collect();
                if !just_listed || !names.iter().all(|name| known.contains(name)) {
                    let words = "a list of functions that may be called twice, and not of those listed before it";
                    return Some(words.to_owned());
                }
                self.testimony.idempotent = names;
            }
            FromGuest::DeviceOutOfMemory { requested } => {
                self.testimony.device_out_of_memory = Some(requested);
            }
            FromGuest::Error(error) => self.testimony.error = Some(error),
            FromGuest::ErrorValue { codec } => {
                self.testimony.error_value = Some(Payload::new(codec, tail));
            }
            FromGuest::Panic(panic) => {
                // A guest that goes on to panic has survived the allocation that failed before.
                self.testimony.out_of_memory = None;
                self.testimony.panic = Some(panic);
            }
            FromGuest::OutOfMemory { requested } => self.testimony.out_of_memory = Some(requested),
            FromGuest::Return { id, codec } => {
                if let Some(words) = self.of_no_call(id, "result") {
                    return Some(words);
                }
                if let Some((at, length)) = placing {
                    if !tail.is_empty() || self.vessel.has_begun() {
                        return Some("a result that was placed and is sent as well".to_owned());
                    }
                    self.placed = Some(Placed { codec, at, length });
                }
                self.testimony.result = Some(self.vessel.result(codec, tail));
            }
            FromGuest::Emit { id, codec } => {
                if let Some(words) = self.of_no_call(id, "item") {
                    return Some(words);
                }
                ear(Event::Emitted { codec, bytes: &tail });
            }
            FromGuest::Log { level } => {
                ear(Event::Log { level, text: &String::from_utf8_lossy(&tail) });
            }
            FromGuest::Progress { done, total } => {
                ear(Event::Progress { done, total, text: &String::from_utf8_lossy(&tail) });
            }
            FromGuest::HostCall { id, codec, function } => {
                if self.call.is_none() {
                    return Some("a call of the host while it serves no call itself".to_owned());
                }
                // One more than may be open: whoever counts them says what is wrong.
                if self.asked.len() <= MOST_OPEN {
                    self.asked.push(Asked { id, function, input: Payload::new(codec, tail) });
                }
            }
            FromGuest::Beat => {}
            FromGuest::Fatal => self.testimony.is_fatal = true,
            FromGuest::Warm if self.warms_up => self.is_warm = true,
            FromGuest::Warm => {
                return Some("a guest that is warm, and was to be called".to_owned());
            }
            FromGuest::Lane if self.lane == Some(false) && !self.has_begun => {
                self.lane = Some(true);
            }
            FromGuest::Lane => {
                return Some("a lane that was not offered, or is taken too late".to_owned());
            }
            FromGuest::Placed { at, length } => {
                if at.checked_add(length).is_none_or(|end| end > self.room) {
                    let room = self.room;
                    return Some(format!(
                        "{length} bytes of a value at {at}, which is outside of the {room} bytes of its room"
                    ));
                }
                // What is too much is never looked at.
                self.is_too_much = length > self.most;
                self.placing = Some((at, if self.is_too_much { 0 } else { length }));
            }
        }
        None
    }

    /// Which rule of order a frame breaks, whatever is in it.
    fn out_of_turn(&self, frame: &FromGuest) -> Option<String> {
        let is_last_words = matches!(frame, FromGuest::Panic(_) | FromGuest::OutOfMemory { .. });
        let words = match frame {
            FromGuest::Hello { .. } if self.greeted => "a second greeting",
            FromGuest::Hello { .. } => return None,
            _ if !self.greeted => "a frame before the greeting",
            _ if self.is_warm => "a frame after it was warm",
            _ if self.testimony.error.is_some() => "a frame after the task's error",
            _ if self.placing.is_some() && !matches!(frame, FromGuest::Return { .. }) => {
                "a value that was placed, and not its result"
            }
            _ if is_last_words => return None,
            FromGuest::Return { .. } if self.testimony.result.is_some() => "a second result",
            FromGuest::Error(_) | FromGuest::ErrorValue { .. }
                if self.testimony.result.is_some() =>
            {
                "an error after the result"
            }
            _ if self.testimony.result.is_some() => "a frame after the result",
            FromGuest::Error(_) => return None,
            _ if self.testimony.error_value.is_some() => "an error's value without its error",
            _ => return None,
        };
        Some(words.to_owned())
    }

    fn of_no_call(&self, id: u64, what: &str) -> Option<String> {
        match &self.call {
            Some((call, _)) if *call == id => None,
            _ => Some(format!("a {what} of call {id}, which nobody made")),
        }
    }
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;

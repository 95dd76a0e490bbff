//! How far the talk with a guest is, and which frame may come next.

use std::borrow::Cow;
use std::collections::HashSet;

use sandtrap_protocol::{FromGuest, VERSION};

use crate::event::Event;
use crate::evidence::Testimony;
use crate::payload::Payload;

use super::Placed;
use crate::channel::desk::{Asked, MOST_OPEN};
use crate::channel::vessel::Vessel;

/// So much of what a guest says of its stack is kept.
pub(super) const MOST_ADDRESSES: usize = 256;

/// How far the talk is.
#[derive(Debug, Default)]
pub(super) struct Talk {
    pub(super) testimony: Testimony,
    pub(super) greeted: bool,
    /// Whether the last frame was the greeting.
    pub(super) just_greeted: bool,
    /// Whether it was the list of functions.
    pub(super) just_listed: bool,
    /// Whether there was any frame that is no part of the greeting.
    pub(super) has_begun: bool,
    /// Whether this is a guest that warms up, to be forked later; and whether it is warm.
    pub(super) warms_up: bool,
    pub(super) is_warm: bool,
    /// The call that has to be answered, and its function.
    pub(super) call: Option<(u64, String)>,
    /// Calls of the host's functions that nobody has taken up yet.
    pub(super) asked: Vec<Asked>,
    /// How much room for values the guest has.
    pub(super) room: u64,
    /// How much it may put there.
    pub(super) most: u64,
    /// Where the result that follows lies.
    pub(super) placing: Option<(u64, u64)>,
    /// What it has placed is more than it may.
    pub(super) is_too_much: bool,
    pub(super) placed: Option<Placed>,
    /// Whether nothing that is said behind its answer is heard any more.
    pub(super) ends_with_answer: bool,
    /// Whether it was offered a lane, and whether it has taken it.
    pub(super) lane: Option<bool>,
    /// Takes the result.
    pub(super) vessel: Vessel,
}

impl Talk {
    pub(super) fn has_answer(&self) -> bool {
        self.testimony.result.is_some() || self.testimony.error.is_some()
    }

    /// Whether nothing more is heard.
    pub(super) fn is_over(&self) -> bool {
        self.ends_with_answer && self.has_answer()
    }

    /// Takes one frame, or says which rule it breaks.
    pub(super) fn accept(
        &mut self,
        frame: FromGuest,
        tail: Cow<'_, [u8]>,
        ear: &mut dyn FnMut(Event<'_>),
    ) -> Option<String> {
        if self.is_over() {
            return None;
        }
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
                self.testimony.stack.clear();
                self.testimony.panic = Some(panic);
            }
            FromGuest::Stack => {
                let words = tail.as_chunks().0.iter().take(MOST_ADDRESSES);
                self.testimony.stack = words.map(|word| u64::from_le_bytes(*word)).collect();
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
        let is_last_words =
            matches!(frame, FromGuest::Panic(_) | FromGuest::Stack | FromGuest::OutOfMemory { .. });
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

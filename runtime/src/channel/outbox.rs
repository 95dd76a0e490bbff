//! What a host sends: laid out before the guest runs, taken piece by piece as fast as the guest reads.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use sandtrap_protocol::{FrameFault, MAX_HEAD, ToGuest, VERSION, encode, head_into};

use crate::evidence::Step;
use crate::host::HostFunctions;
use crate::isolation::{Attempt, LoadError};
use crate::payload::{Payload, Source};
use crate::task::Entry;
use crate::value_file::Reader;

use super::desk::Reply;

/// A value of so many bytes is sent together with its frame.
const SMALL: usize = 4 * 1024;

/// The names in one frame. It has to be short enough to be read before its length is known to be sound.
const MOST_OF_NAMES: usize = MAX_HEAD - 24;

/// What a name takes besides itself.
const NAME_BYTES: usize = 2;

/// Bytes on their way to a guest. Large ones are never copied into it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parts: VecDeque<Part>,
    /// How many of them end a reply.
    replies: usize,
    /// Why the rest can't be sent.
    unsent: Option<LoadError>,
}

#[derive(Debug)]
struct Part {
    bytes: Bytes,
    /// Where what follows them is read from.
    rest: Option<Reader>,
    ends_reply: bool,
    /// Whether it is nothing but whole frames.
    is_whole: bool,
}

impl From<Bytes> for Part {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, rest: None, ends_reply: false, is_whole: false }
    }
}

/// Which of a guest's calls a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The only one.
    Only,
    /// One of many, and its number; the first is 1.
    OneOfMany(u64),
    /// The first, of a guest with which greetings were exchanged before.
    Greeted,
}

impl Turn {
    pub(crate) fn id(self) -> u64 {
        match self {
            Self::Only | Self::Greeted => 1,
            Self::OneOfMany(id) => id,
        }
    }
}

impl Outbox {
    /// What has to be sent for an attempt: nothing, where no function of the guest's is called.
    pub(crate) fn of(
        attempt: &Attempt<'_>,
        turn: Turn,
        granted: &HostFunctions,
    ) -> Result<Self, LoadError> {
        Self::with(attempt, turn, granted, false)
    }

    /// The same, where the input is not sent but lies at the beginning of the guest's arena.
    pub(crate) fn of_placed(
        attempt: &Attempt<'_>,
        turn: Turn,
        granted: &HostFunctions,
    ) -> Result<Self, LoadError> {
        Self::with(attempt, turn, granted, true)
    }

    fn with(
        attempt: &Attempt<'_>,
        turn: Turn,
        granted: &HostFunctions,
        is_placed: bool,
    ) -> Result<Self, LoadError> {
        let Entry::Invoke { function, input } = attempt.entry else { return Ok(Self::default()) };
        let left = attempt.limits.wall.saturating_sub(attempt.began.elapsed());
        let mut outbox = Self::default();
        if matches!(turn, Turn::Only | Turn::OneOfMany(1)) {
            outbox.add(Self::greeting(granted)?);
        }
        if is_placed {
            outbox.push(&ToGuest::Placed { at: 0, length: input.length() })?;
            outbox.call(turn.id(), function, &Payload::new(input.codec(), []), left)?;
        } else {
            outbox.call(turn.id(), function, input, left)?;
        }
        if turn == Turn::Only {
            outbox.push(&ToGuest::Shutdown)?;
        }
        Ok(outbox)
    }

    fn push(&mut self, frame: &ToGuest<'_>) -> Result<(), LoadError> {
        self.add(encode(frame).map_err(rejected)?);
        Ok(())
    }

    /// Whole frames. What is small goes with what is before it: each part is sent by itself, and its guest woken for it.
    fn add(&mut self, frames: Vec<u8>) {
        match self.parts.back_mut() {
            Some(last) if last.may_grow() && last.bytes.len() + frames.len() <= SMALL => {
                last.bytes = [&*last.bytes, &frames].concat().into();
            }
            _ => self.parts.push_back(Part { is_whole: true, ..Bytes::from(frames).into() }),
        }
    }

    /// The host's greeting, with the names of its functions that the guest may call.
    pub(crate) fn greeting(granted: &HostFunctions) -> Result<Vec<u8>, LoadError> {
        let mut bytes = encode(&ToGuest::Hello { version: VERSION }).map_err(rejected)?;
        // Longer ones hardly fit into a call.
        let mut names = granted.all().filter(|name| name.len() <= MOST_OF_NAMES).peekable();
        while names.peek().is_some() {
            let mut room = MOST_OF_NAMES + NAME_BYTES;
            let some = std::iter::from_fn(|| {
                let name = names.next_if(|name| name.len() + NAME_BYTES <= room)?;
                room -= name.len() + NAME_BYTES;
                Some(name)
            });
            bytes.extend(encode(&ToGuest::Functions(some.collect())).map_err(rejected)?);
        }
        Ok(bytes)
    }

    /// Answers calls that the guest has made.
    pub(crate) fn replies_with(&mut self, answers: Vec<Reply>) {
        answers.into_iter().for_each(|answer| self.reply(answer));
    }

    /// Answers one of them.
    pub(crate) fn reply(&mut self, reply: Reply) {
        let Reply { id, answer } = reply;
        let (is_result, value) = match answer {
            Ok(value) => (true, value),
            Err(reason) => (false, Payload::raw(reason)),
        };
        let frame = |codec, is_result| ToGuest::HostReply { id, is_result, codec };
        if self.frame(&frame(value.codec(), is_result), &value).is_err() {
            let reason = Payload::raw("the answer is too long for the channel; 4 GiB are too many");
            // A frame of a few words always fits.
            let _ = self.frame(&frame(reason.codec(), false), &reason);
        }
        if let Some(last) = self.parts.back_mut() {
            last.ends_reply = true;
            self.replies += 1;
        }
    }

    /// Tells a guest that nobody waits for this call any more.
    pub(crate) fn cancel(&mut self, id: u64) {
        // A frame of one number always fits.
        if let Ok(frame) = encode(&ToGuest::Cancel { id }) {
            self.add(frame);
        }
    }

    /// Replies that are not taken yet.
    pub(crate) fn replies(&self) -> usize {
        self.replies
    }

    fn frame(&mut self, frame: &ToGuest<'_>, value: &Payload) -> Result<(), LoadError> {
        let mut buffer = [0; MAX_HEAD];
        let length = usize::try_from(value.length()).unwrap_or(usize::MAX);
        let head = head_into(frame, length, &mut buffer).map_err(rejected)?;
        match value.source().map_err(|why| unreadable(&why))? {
            Source::Memory(bytes) if bytes.len() <= SMALL => {
                self.add([head, &*bytes].concat());
            }
            Source::Memory(bytes) => {
                self.parts.push_back(Bytes::copy_from_slice(head).into());
                self.parts.push_back(bytes.into());
            }
            Source::File(reader) => self
                .parts
                .push_back(Part { rest: Some(reader), ..Bytes::copy_from_slice(head).into() }),
        }
        Ok(())
    }

    fn call(
        &mut self,
        id: u64,
        function: &str,
        input: &Payload,
        left: Duration,
    ) -> Result<(), LoadError> {
        let time_left = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        let call = ToGuest::Call { id, codec: input.codec(), time_left, function };
        self.frame(&call, input)
    }

    /// All there is to be sent, if it is one small piece.
    pub(crate) fn only(&self) -> Option<&[u8]> {
        let front = self.parts.front().filter(|part| self.parts.len() == 1 && part.rest.is_none());
        front.map(|part| &*part.bytes)
    }

    /// What is to be sent next. Empty if nothing is.
    pub(crate) fn front(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| &part.bytes)
    }

    /// So many bytes of the front were sent.
    pub(crate) fn sent(&mut self, count: usize) {
        if let Some(front) = self.parts.front_mut() {
            front.bytes.advance(count);
            if !front.bytes.is_empty() {
                return;
            }
            match front.read_on() {
                Ok(true) => {}
                Ok(false) => {
                    self.replies -= usize::from(front.ends_reply);
                    self.parts.pop_front();
                }
                Err(error) => {
                    let unsent = Some(unreadable(&format!("its file can't be read: {error}")));
                    *self = Self { unsent, ..Self::default() };
                }
            }
        }
    }

    /// Why something can't be sent, if that came out on the way: a file that has become shorter. The guest has got no whole
    /// call then.
    pub(crate) fn unsent(&mut self) -> Option<LoadError> {
        self.unsent.take()
    }

    pub(crate) fn is_unsendable(&self) -> bool {
        self.unsent.is_some()
    }

    /// Copies as much as there is and fits. Says how much.
    pub(crate) fn take(&mut self, into: &mut [u8]) -> usize {
        let mut taken = 0;
        while taken < into.len() && !self.is_empty() {
            let front = self.front();
            let part = front.len().min(into.len() - taken);
            into[taken..taken + part].copy_from_slice(&front[..part]);
            self.sent(part);
            taken += part;
        }
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl Part {
    fn may_grow(&self) -> bool {
        self.is_whole && !self.ends_reply
    }

    /// Gets the next piece. Says whether there is one.
    fn read_on(&mut self) -> io::Result<bool> {
        let Some(reader) = &mut self.rest else { return Ok(false) };
        let mut piece = Vec::new();
        let is_more = reader.next(&mut piece)?;
        self.bytes = piece.into();
        Ok(is_more)
    }
}

fn unreadable(why: &str) -> LoadError {
    LoadError::at(Step::Accept, format!("this call's input can't be sent: {why}"))
}

fn rejected(fault: FrameFault) -> LoadError {
    let why = match fault {
        FrameFault::TooMuch(length) => format!("its input has {length} bytes; 4 GiB are too many"),
        FrameFault::TooLong(_) | FrameFault::Malformed | FrameFault::Padded | FrameFault::Torn => {
            "its function's name is too long".to_owned()
        }
    };
    LoadError::at(Step::Accept, format!("this call can't be sent to a guest: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::task::{Capture, TaskId};
    use sandtrap_protocol::encode_with;
    use std::time::Instant;

    fn outbox(function: &str, input: Payload, turn: Turn) -> Result<Outbox, LoadError> {
        let limits = Limits { wall: Duration::ZERO, ..Limits::default() };
        let entry = Entry::Invoke { function: function.to_owned(), input };
        let (task, stdout, began) = (TaskId::next(), Capture::Keep, Instant::now());
        let attempt =
            Attempt { task: &task, entry: &entry, limits: &limits, stdout, began, silence: None };
        Outbox::of(&attempt, turn, &HostFunctions::default())
    }

    fn drained(mut outbox: Outbox, piece: usize) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            match outbox.take(&mut buffer) {
                0 => return all,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn a_call_is_greeted_sent_and_dismissed_in_pieces_of_any_size() {
        let input = Payload::raw(vec![7; 1000]);
        let call = ToGuest::Call { id: 1, codec: input.codec(), time_left: 0, function: "resize" };
        let expected = [
            encode(&ToGuest::Hello { version: VERSION }).unwrap(),
            encode_with(&call, input.bytes()).unwrap(),
            encode(&ToGuest::Shutdown).unwrap(),
        ]
        .concat();
        for piece in [1, 3, 999, 4096] {
            let outbox = outbox("resize", input.clone(), Turn::Only).unwrap();
            assert_eq!(drained(outbox, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn one_of_many_calls_is_greeted_once_and_never_dismissed() {
        let sizes = [1, 2].map(|id| {
            drained(outbox("f", Payload::raw([]), Turn::OneOfMany(id)).unwrap(), 100).len()
        });
        assert_eq!(sizes, [16, 10]);
    }

    #[test]
    fn a_greeting_names_what_was_granted_in_frames_of_a_bounded_size() {
        let greeting_of = |names: &[String]| {
            let mut functions = HostFunctions::default();
            names.iter().for_each(|name| functions.add(name.clone(), |_, (): ()| ()));
            Outbox::greeting(&functions).unwrap()
        };
        assert_eq!(greeting_of(&[]), encode(&ToGuest::Hello { version: VERSION }).unwrap());
        let short: Vec<String> = (0..300).map(|number| format!("function.{number:03}")).collect();
        let long: Vec<String> =
            [100, 999, 1000, 1001].map(|length| "f".repeat(length)).into_iter().collect();
        for (names, told) in [(&short, &short[..]), (&long, &long[..3])] {
            let (greeting, mut found) = (greeting_of(names), Vec::new());
            let mut rest = &greeting[..];
            while let Some((length, frames)) = rest.split_first_chunk() {
                let length = u32::from_le_bytes(*length) as usize;
                assert!(length <= MAX_HEAD, "{length}");
                let (frame, end) = sandtrap_protocol::decode_to_guest(&frames[..length]).unwrap();
                assert_eq!(end, length);
                if let ToGuest::Functions(names) = frame {
                    found.extend(names.into_iter().map(str::to_owned));
                }
                rest = &frames[length..];
            }
            assert_eq!(found, told);
        }
    }

    #[test]
    fn a_name_that_no_frame_could_hold_is_refused() {
        for length in [2000, 100_000] {
            let refused = outbox(&"f".repeat(length), Payload::raw([]), Turn::Only).unwrap_err();
            assert!(refused.to_string().contains("can't be sent"), "{refused}");
        }
    }
}

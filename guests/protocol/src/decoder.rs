//! Makes frames out of bytes that arrive in pieces.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::codec::{FrameFault, LENGTH_BYTES, MAX_FRAME, MAX_HEAD};
use crate::frame::{FromGuest, Tail};

/// How much room is made for a value of which nothing has come yet.
const FIRST_ROOM: usize = 64 * 1024;

/// Hears a guest. Holds one unfinished frame at most, and makes room only for what has come.
#[derive(Debug)]
pub struct Decoder {
    /// The longest value.
    longest: usize,
    /// The beginning of a frame, as long as its fields are not there yet.
    head: Vec<u8>,
    value: Option<Value>,
}

/// A frame whose value is on its way.
#[derive(Debug)]
struct Value {
    frame: FromGuest,
    bytes: Vec<u8>,
    missing: usize,
}

/// What is heard of a guest: frames, and parts of values before their frame is whole.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A part of a frame's value, which comes in pieces; so many bytes are still missing.
    Part {
        /// The frame as far as it is there.
        frame: &'a FromGuest,
        /// The part.
        bytes: &'a [u8],
        /// What comes after it.
        missing: usize,
    },
    /// A frame with its tail.
    Whole(FromGuest, Cow<'a, [u8]>),
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MAX_FRAME)
    }
}

impl Decoder {
    /// Takes values of up to so many bytes.
    pub fn new(longest: usize) -> Self {
        Self { longest, head: Vec::new(), value: None }
    }

    /// Takes a piece and hands every finished frame to `take`, in order, with its tail.
    pub fn feed(
        &mut self,
        piece: &[u8],
        mut take: impl FnMut(FromGuest, Cow<'_, [u8]>) -> Result<(), FrameFault>,
    ) -> Result<(), FrameFault> {
        self.feed_parts(piece, |heard| match heard {
            Heard::Part { .. } => Ok(false),
            Heard::Whole(frame, tail) => take(frame, tail).map(|()| true),
        })
    }

    /// The same for one who may want to take large values part by part: the parts that `take` says it has taken are not
    /// held here, and not in the tail of their frame. It takes all parts of a value or none.
    pub fn feed_parts(
        &mut self,
        mut piece: &[u8],
        mut take: impl FnMut(Heard<'_>) -> Result<bool, FrameFault>,
    ) -> Result<(), FrameFault> {
        while !piece.is_empty() {
            if let Some(mut value) = self.value.take() {
                let (part, rest) = piece.split_at(value.missing.min(piece.len()));
                let missing = value.missing - part.len();
                if !take(Heard::Part { frame: &value.frame, bytes: part, missing })? {
                    value.add(part);
                }
                value.missing = missing;
                piece = rest;
                match missing {
                    0 => take(Heard::Whole(value.frame, Cow::Owned(value.bytes))).map(drop)?,
                    _ => self.value = Some(value),
                }
                continue;
            }
            if self.head.is_empty()
                && let Some(end) = self.whole(piece)?
            {
                let (whole, rest) = piece.split_at(end);
                let (frame, tail) = fields(&whole[LENGTH_BYTES..])?;
                take(Heard::Whole(frame, Cow::Borrowed(tail)))?;
                piece = rest;
                continue;
            }
            let wanted = self.wanted(&self.head)?;
            let (part, rest) = piece.split_at((wanted - self.head.len()).min(piece.len()));
            self.head.extend_from_slice(part);
            piece = rest;
            self.finish_head(&mut take)?;
        }
        Ok(())
    }

    /// Says that no more bytes will come.
    pub fn end(&self) -> Result<(), FrameFault> {
        if self.head.is_empty() && self.value.is_none() { Ok(()) } else { Err(FrameFault::Torn) }
    }

    /// Where the frame at the beginning of `piece` ends, if all of it is there.
    fn whole(&self, piece: &[u8]) -> Result<Option<usize>, FrameFault> {
        if piece.len() <= LENGTH_BYTES {
            return Ok(None);
        }
        self.wanted(&piece[..=LENGTH_BYTES])?;
        let end = LENGTH_BYTES.saturating_add(length_of(piece));
        Ok(Some(end).filter(|end| *end <= piece.len()))
    }

    /// How many bytes `head` must hold for the next step. A length is judged before any room is made.
    fn wanted(&self, head: &[u8]) -> Result<usize, FrameFault> {
        let Some(first) = head.get(LENGTH_BYTES) else {
            let length_is_there = head.len() == LENGTH_BYTES;
            return match length_is_there && length_of(head) == 0 {
                true => Err(FrameFault::Malformed),
                false => Ok(LENGTH_BYTES + usize::from(length_is_there)),
            };
        };
        let length = length_of(head);
        match FromGuest::tail_of(*first).ok_or(FrameFault::Malformed)? {
            _ if length == 0 => Err(FrameFault::Malformed),
            Tail::None | Tail::Short if length > MAX_FRAME => Err(FrameFault::TooLong(length)),
            Tail::None | Tail::Short => Ok(LENGTH_BYTES + length),
            Tail::Value if length > self.longest.saturating_add(MAX_HEAD) => {
                Err(FrameFault::TooMuch(length))
            }
            Tail::Value => Ok(LENGTH_BYTES + length.min(MAX_HEAD)),
        }
    }

    /// Reads the fields, if they are all there.
    fn finish_head(
        &mut self,
        take: &mut impl FnMut(Heard<'_>) -> Result<bool, FrameFault>,
    ) -> Result<(), FrameFault> {
        let wanted = self.wanted(&self.head)?;
        if self.head.len() < wanted || wanted <= LENGTH_BYTES {
            return Ok(());
        }
        let (length, body) = (length_of(&self.head), &self.head[LENGTH_BYTES..]);
        let (frame, tail) = fields(body)?;
        let missing = length - body.len();
        if missing == 0 {
            take(Heard::Whole(frame, Cow::Borrowed(tail)))?;
        } else {
            let is_taken = take(Heard::Part { frame: &frame, bytes: tail, missing })?;
            let bytes = if is_taken { Vec::new() } else { tail.to_vec() };
            self.value = Some(Value { frame, bytes, missing });
        }
        self.head.clear();
        Ok(())
    }
}

impl Value {
    fn add(&mut self, part: &[u8]) {
        if part.len() == self.missing {
            self.bytes.reserve_exact(part.len());
        } else if self.bytes.capacity() < FIRST_ROOM {
            self.bytes.reserve(self.missing.min(FIRST_ROOM));
        }
        self.bytes.extend_from_slice(part);
    }
}

/// The length at the beginning, which has to be there.
fn length_of(bytes: &[u8]) -> usize {
    bytes.first_chunk::<LENGTH_BYTES>().map_or(0, |prefix| u32::from_le_bytes(*prefix) as usize)
}

fn fields(body: &[u8]) -> Result<(FromGuest, &[u8]), FrameFault> {
    match postcard::take_from_bytes::<FromGuest>(body) {
        Ok((frame, tail)) if frame.tail() == Tail::None && !tail.is_empty() => {
            Err(FrameFault::Padded)
        }
        Ok((frame, tail)) => Ok((frame, tail)),
        Err(_) => Err(FrameFault::Malformed),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

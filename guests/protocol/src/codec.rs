//! Frames as bytes: a length of four bytes, little-endian, then that many bytes: the frame's fields as postcard,
//! and its tail as it is. A tail is never looked at byte by byte, and need not be copied to be sent.

use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;

use crate::frame::{Codec, FromGuest, Tail, ToGuest};

/// The longest frame without a value, not counting its length. Testimony is words for people; a guest that needs
/// more than this for them is not testifying but filling the host's memory.
pub const MAX_FRAME: usize = 64 * 1024;

/// The most that the fields of a frame take up in front of a value.
pub const MAX_HEAD: usize = 1024;

/// The bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// How bytes fail to be frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// The length says more than a frame of its kind may have.
    TooLong(usize),
    /// The value in it is longer than the reader has room for.
    TooMuch(usize),
    /// The bytes are no frame.
    Malformed,
    /// The frame is followed by bytes that its length counts but its content does not.
    Padded,
    /// The bytes ended within a frame.
    Torn,
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => {
                write!(f, "a frame of {length} bytes; {MAX_FRAME} are allowed")
            }
            Self::TooMuch(length) => write!(f, "a value of {length} bytes, which is too much"),
            Self::Malformed => f.write_str("bytes that are no frame"),
            Self::Padded => f.write_str("a frame with bytes left over"),
            Self::Torn => f.write_str("a frame cut off in its middle"),
        }
    }
}

impl core::error::Error for FrameFault {}

/// A frame of either direction.
pub trait Frame: Serialize {
    /// What follows its fields.
    fn tail(&self) -> Tail;
}

impl Frame for FromGuest {
    fn tail(&self) -> Tail {
        Self::tail(self)
    }
}

impl Frame for ToGuest<'_> {
    fn tail(&self) -> Tail {
        Self::tail(self)
    }
}

/// Writes one frame without a tail. Fails only for a frame that is too long for the channel.
pub fn encode(frame: &impl Frame) -> Result<Vec<u8>, FrameFault> {
    encode_with(frame, &[])
}

/// Writes one frame and its tail.
pub fn encode_with(frame: &impl Frame, tail: &[u8]) -> Result<Vec<u8>, FrameFault> {
    let fields = postcard::to_allocvec(frame).map_err(|_| FrameFault::Malformed)?;
    let length = length(frame.tail(), fields.len(), tail.len())?;
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + fields.len() + tail.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&fields);
    bytes.extend_from_slice(tail);
    Ok(bytes)
}

/// Writes one frame without a tail into `buffer` and gives the part that was written. Allocates nothing, so it
/// also works when there is no memory.
pub fn encode_into<'b>(frame: &impl Frame, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameFault> {
    head_into(frame, 0, buffer)
}

/// Writes what comes before a frame's tail into `buffer`. The tail itself has to be sent next. Allocates nothing.
pub fn head_into<'b>(
    frame: &impl Frame,
    tail: usize,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], FrameFault> {
    let room = buffer.get_mut(LENGTH_BYTES..).ok_or(FrameFault::Malformed)?;
    let fields = postcard::to_slice(frame, room).map_err(|_| FrameFault::Malformed)?.len();
    let length = length(frame.tail(), fields, tail)?;
    buffer[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(&buffer[..LENGTH_BYTES + fields])
}

/// What stands around the words of a panic that has so many bytes of them: before them, and behind them. Allocates nothing, for
/// a panic may well be about memory.
pub fn around_panic<'b>(
    words: usize,
    place: Option<&str>,
    fatal: bool,
    buffer: &'b mut [u8],
) -> Result<(&'b [u8], &'b [u8]), FrameFault> {
    let malformed = |_| FrameFault::Malformed;
    let room = buffer.get_mut(LENGTH_BYTES..).ok_or(FrameFault::Malformed)?;
    let before = postcard::to_slice(&(PANIC, words), room).map_err(malformed)?.len();
    let behind = postcard::to_slice(&(place, fatal), &mut room[before..]).map_err(malformed)?.len();
    let length = length(Tail::None, before.saturating_add(words).saturating_add(behind), 0)?;
    buffer[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(buffer[..LENGTH_BYTES + before + behind].split_at(LENGTH_BYTES + before))
}

/// The numbers of [`FromGuest::Panic`] and [`FromGuest::Return`] among all frames, and of [`ToGuest::Call`].
const PANIC: u8 = 2;
const RETURN: u8 = 5;
const CALL: u8 = 1;

fn length(kind: Tail, fields: usize, tail: usize) -> Result<u32, FrameFault> {
    let length = fields.saturating_add(tail);
    match kind {
        Tail::None if tail > 0 => Err(FrameFault::Padded),
        Tail::None | Tail::Short if length > MAX_FRAME => Err(FrameFault::TooLong(length)),
        Tail::Value if fields > MAX_HEAD => Err(FrameFault::TooLong(fields)),
        _ => u32::try_from(length).map_err(|_| FrameFault::TooMuch(tail)),
    }
}

/// Reads the fields of a frame of the host from the bytes after its length, or from as many of them as there are.
/// Says where its tail begins.
pub fn decode_to_guest(bytes: &[u8]) -> Result<(ToGuest<'_>, usize), FrameFault> {
    // Most are calls, and who makes them often waits for nothing else.
    if let Some(call) = call(bytes) {
        return Ok(call);
    }
    match postcard::take_from_bytes::<ToGuest<'_>>(bytes) {
        Ok((frame, tail)) => Ok((frame, bytes.len() - tail.len())),
        Err(_) => Err(FrameFault::Malformed),
    }
}

/// A call, if it is one and nothing is wrong with it.
fn call(bytes: &[u8]) -> Option<(ToGuest<'_>, usize)> {
    let mut rest = bytes.strip_prefix(&[CALL])?;
    let (id, codec, time_left) = (number(&mut rest)?, codec(&mut rest)?, number(&mut rest)?);
    let length = usize::try_from(number(&mut rest)?).ok()?;
    let (function, tail) = rest.split_at_checked(length)?;
    let function = core::str::from_utf8(function).ok()?;
    Some((ToGuest::Call { id, codec, time_left, function }, bytes.len() - tail.len()))
}

/// The next number, as postcard writes it.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    // The tenth byte of a number has one bit of it, and few are as long.
    for (at, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

fn codec(bytes: &mut &[u8]) -> Option<Codec> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    match first {
        0 => Some(Codec::Raw),
        1 => Some(Codec::Typed),
        2 => Some(Codec::Json),
        _ => None,
    }
}

/// Where these bytes are one Return and nothing else: its call, its codec, and its value.
pub fn only_return(bytes: &[u8]) -> Option<(u64, Codec, &[u8])> {
    let (length, body) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    if u32::from_le_bytes(*length) as usize != body.len() {
        return None;
    }
    let mut value = body.strip_prefix(&[RETURN])?;
    let (id, codec) = (number(&mut value)?, codec(&mut value)?);
    Some((id, codec, value))
}

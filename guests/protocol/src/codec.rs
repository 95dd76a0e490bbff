//! Frames as bytes: a length of four bytes, little-endian, then that many bytes of postcard.

use alloc::vec::Vec;
use core::fmt;

use crate::frame::FromGuest;

/// The longest frame, without its length. Testimony is words for people; a guest that needs more than
/// this for them is not testifying but filling the host's memory.
pub const MAX_FRAME: usize = 64 * 1024;

const LENGTH_BYTES: usize = 4;

/// How bytes from a guest fail to be frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// The length says more than any frame may have.
    TooLong(usize),
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
            Self::Malformed => f.write_str("bytes that are no frame"),
            Self::Padded => f.write_str("a frame with bytes left over"),
            Self::Torn => f.write_str("a frame cut off in its middle"),
        }
    }
}

impl core::error::Error for FrameFault {}

/// Writes one frame. Fails only for a frame that is too long for the channel.
pub fn encode(frame: &FromGuest) -> Result<Vec<u8>, FrameFault> {
    let body = postcard::to_allocvec(frame).map_err(|_| FrameFault::Malformed)?;
    if body.len() > MAX_FRAME {
        return Err(FrameFault::TooLong(body.len()));
    }
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + body.len());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Writes one frame into `buffer` and gives the part that was written. Allocates nothing, so it also works
/// when there is no memory.
pub fn encode_into<'a>(frame: &FromGuest, buffer: &'a mut [u8]) -> Result<&'a [u8], FrameFault> {
    let room = buffer.get_mut(LENGTH_BYTES..).ok_or(FrameFault::Malformed)?;
    let length = postcard::to_slice(frame, room).map_err(|_| FrameFault::Malformed)?.len();
    if length > MAX_FRAME {
        return Err(FrameFault::TooLong(length));
    }
    buffer[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(&buffer[..LENGTH_BYTES + length])
}

/// Makes frames out of bytes that arrive in pieces. Holds one unfinished frame at most.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes a piece and hands every finished frame to `take`, in order.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        mut take: impl FnMut(FromGuest) -> Result<(), FrameFault>,
    ) -> Result<(), FrameFault> {
        while !piece.is_empty() {
            let wanted = self.wanted()?;
            let part = wanted.saturating_sub(self.pending.len()).min(piece.len());
            self.pending.extend_from_slice(&piece[..part]);
            piece = &piece[part..];
            if self.pending.len() >= LENGTH_BYTES && self.pending.len() == self.wanted()? {
                let frame = decode(&self.pending[LENGTH_BYTES..])?;
                self.pending.clear();
                take(frame)?;
            }
        }
        Ok(())
    }

    /// Says that no more bytes will come.
    pub fn end(&self) -> Result<(), FrameFault> {
        if self.pending.is_empty() { Ok(()) } else { Err(FrameFault::Torn) }
    }

    /// How many bytes `pending` must hold for the next step. The length is judged before any room is made.
    fn wanted(&self) -> Result<usize, FrameFault> {
        let Some(prefix) = self.pending.first_chunk::<LENGTH_BYTES>() else {
            return Ok(LENGTH_BYTES);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        match length {
            0 => Err(FrameFault::Malformed),
            1..=MAX_FRAME => Ok(LENGTH_BYTES + length),
            _ => Err(FrameFault::TooLong(length)),
        }
    }
}

fn decode(body: &[u8]) -> Result<FromGuest, FrameFault> {
    match postcard::take_from_bytes(body) {
        Ok((frame, [])) => Ok(frame),
        Ok(_) => Err(FrameFault::Padded),
        Err(_) => Err(FrameFault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ErrorReport, PanicReport};
    use alloc::vec;

    fn every_frame() -> Vec<FromGuest> {
        vec![
            FromGuest::Hello { version: 1 },
            FromGuest::Error(ErrorReport { message: "no".into(), chain: vec!["why".into()] }),
            FromGuest::Panic(PanicReport {
                message: "boom".into(),
                place: Some("a.rs:1:2".into()),
                fatal: true,
            }),
            FromGuest::OutOfMemory { requested: 1 << 20 },
        ]
    }

    fn decoded(bytes: &[u8], piece: usize) -> Result<Vec<FromGuest>, FrameFault> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for chunk in bytes.chunks(piece) {
            decoder.feed(chunk, |frame| {
                frames.push(frame);
                Ok(())
            })?;
        }
        decoder.end().map(|()| frames)
    }

    #[test]
    fn the_bytes_of_every_frame_stay_the_same() {
        let bytes: Vec<Vec<u8>> = every_frame().iter().map(|f| encode(f).unwrap()).collect();
        assert_eq!(bytes[0], [2, 0, 0, 0, 0, 1]);
        assert_eq!(bytes[1], [9, 0, 0, 0, 1, 2, b'n', b'o', 1, 3, b'w', b'h', b'y']);
        assert_eq!(bytes[2], b"\x11\0\0\0\x02\x04boom\x01\x08a.rs:1:2\x01");
        assert_eq!(bytes[3], [4, 0, 0, 0, 3, 0x80, 0x80, 0x40]);
    }

    #[test]
    fn a_frame_is_the_same_with_and_without_allocation() {
        let mut buffer = [0; 64];
        for frame in every_frame() {
            assert_eq!(
                encode_into(&frame, &mut buffer),
                encode(&frame).as_deref().map_err(Clone::clone)
            );
        }
        assert!(encode_into(&every_frame()[1], &mut [0; 6]).is_err());
    }

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let bytes: Vec<u8> = every_frame().iter().flat_map(|f| encode(f).unwrap()).collect();
        for piece in 1..=bytes.len() {
            assert_eq!(decoded(&bytes, piece), Ok(every_frame()), "pieces of {piece}");
        }
    }

    #[test]
    fn hostile_bytes_are_named_and_never_reserved_for() {
        for (bytes, fault) in [
            (&[0xff, 0xff, 0xff, 0xff][..], FrameFault::TooLong(u32::MAX as usize)),
            (&[1, 0, 1, 0], FrameFault::TooLong(MAX_FRAME + 1)),
            (&[0, 0, 0, 0], FrameFault::Malformed),
            (&[1, 0, 0, 0, 99], FrameFault::Malformed),
            (&[3, 0, 0, 0, 0, 1, 7], FrameFault::Padded),
            (&[2, 0, 0], FrameFault::Torn),
            (&[2, 0, 0, 0, 0], FrameFault::Torn),
        ] {
            assert_eq!(decoded(bytes, 1), Err(fault), "{bytes:?}");
        }
    }
}

//! Bytes of a task, wherever they lie: those that it was given, and those that it gives.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

use sandtrap_protocol::{typed_bytes, typed_bytes_around, typed_bytes_to_vec};
use serde::de::Deserialize;
use serde::{Deserializer, Serialize, Serializer};

#[cfg(unix)]
use crate::arena::Mapping;

/// Room around bytes that are to be sent, for what is written before and behind them.
const HEAD: usize = 16;
const TAIL: usize = 4;

/// Bytes that are not copied on their way between a task and its host, as far as that can be helped.
///
/// A task that takes one reads its input where the host has put it. One that gives one writes its result
/// ([`Context::blob`](crate::Context::blob)) where the host will read it:
///
/// ```no_run
/// # use sandtrap_guest::{Blob, Context, task};
/// #[task]
/// fn invert(picture: Blob, cx: &mut Context) -> Blob {
///     let mut inverted = cx.blob(picture.len());
///     for (to, from) in inverted.iter_mut().zip(picture.iter()) {
///         *to = !from;
///     }
///     inverted
/// }
/// # fn main() {}
/// ```
///
/// To a host it is a `Vec<u8>`. One that is kept beyond its call is copied at the end of that: the next call's values lie
/// in the same places.
pub struct Blob {
    held: Held,
    range: Range<usize>,
}

enum Held {
    Owned(Vec<u8>),
    #[cfg(unix)]
    Mapped(Mapping),
}

impl Blob {
    /// So many zeros, where the host will read them.
    pub(crate) fn room(length: usize) -> Self {
        let all = length.saturating_add(HEAD + TAIL);
        #[cfg(unix)]
        if length >= sandtrap_protocol::PLACED_FROM
            && let Some(mut mapping) = Mapping::room(all)
        {
            mapping.populate();
            // A guest that stays finds there what it wrote in an earlier call.
            if crate::serve::is_not_first() {
                mapping.fill(0);
            }
            return Self { held: Held::Mapped(mapping), range: HEAD..HEAD + length };
        }
        Self { held: Held::Owned(vec![0; all]), range: HEAD..HEAD + length }
    }

    /// What the host has put into the arena.
    #[cfg(unix)]
    pub(crate) fn given(at: u64, length: u64) -> Option<Self> {
        let mapping = Mapping::given(at, length)?;
        let range = 0..mapping.len();
        Some(Self { held: Held::Mapped(mapping), range })
    }

    #[cfg(not(unix))]
    pub(crate) fn given(_: u64, _: u64) -> Option<Self> {
        None
    }

    /// Keeps the first so many bytes.
    pub fn truncate(&mut self, length: usize) {
        self.range.end = self.range.end.min(self.range.start.saturating_add(length));
    }

    /// The bytes as a vector, without a copy if they lie in one by themselves.
    pub fn into_vec(self) -> Vec<u8> {
        match self.held {
            Held::Owned(bytes) if self.range == (0..bytes.len()) => bytes,
            Held::Owned(bytes) => bytes[self.range].to_vec(),
            #[cfg(unix)]
            Held::Mapped(bytes) => bytes[self.range].to_vec(),
        }
    }

    fn all(&mut self) -> &mut [u8] {
        match &mut self.held {
            Held::Owned(bytes) => bytes,
            #[cfg(unix)]
            Held::Mapped(bytes) => bytes,
        }
    }

    /// The bytes of a `Vec<u8>` that was written, where they stand.
    pub(crate) fn undressed(mut self) -> Result<Self, sandtrap_protocol::TypedFault> {
        let inner = typed_bytes(&self)?;
        let begin = inner.as_ptr().addr() - self.as_ptr().addr() + self.range.start;
        self.range = begin..begin + inner.len();
        Ok(self)
    }

    /// Written as a `Vec<u8>`, where they stand if there is room around them.
    pub(crate) fn dressed(mut self) -> Result<Self, String> {
        let (head, tail) = typed_bytes_around(self.len()).map_err(|error| error.to_string())?;
        let Range { start, end } = self.range.clone();
        let has_room = start >= head.len() && self.all().len() - end >= tail.len();
        if !has_room {
            let written = typed_bytes_to_vec(&self).map_err(|error| error.to_string())?;
            return Ok(written.into());
        }
        let begin = start - head.len();
        self.all()[begin..start].copy_from_slice(&head);
        self.all()[end..end + tail.len()].copy_from_slice(&tail);
        self.range = begin..end + tail.len();
        Ok(self)
    }

    /// Puts them where the host will read them, and says where that is. Gives them back if they have to be sent.
    #[cfg(unix)]
    pub(crate) fn place(self) -> Result<(u64, u64), Self> {
        let length = self.len();
        if let Held::Mapped(mapping) = &self.held
            && let Some(at) = mapping.at()
        {
            return Ok((at + self.range.start as u64, length as u64));
        }
        let Some(mut room) = Mapping::room(length) else { return Err(self) };
        room.populate();
        room.copy_from_slice(&self);
        // It is for others only.
        room.at().map(|at| (at, length as u64)).ok_or(self)
    }

    /// The same: a module's whole memory is its host's to read, until the next call.
    #[cfg(all(not(unix), not(target_env = "p2")))]
    pub(crate) fn place(self) -> Result<(u64, u64), Self> {
        use std::sync::{Mutex, PoisonError};
        static KEPT: Mutex<Option<Blob>> = Mutex::new(None);
        let place = (self.as_ptr().addr() as u64, self.len() as u64);
        *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
        Ok(place)
    }

    #[cfg(target_env = "p2")]
    pub(crate) fn place(self) -> Result<(u64, u64), Self> {
        Err(self)
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.held {
            Held::Owned(bytes) => &bytes[self.range.clone()],
            #[cfg(unix)]
            Held::Mapped(bytes) => &bytes[self.range.clone()],
        }
    }
}

impl DerefMut for Blob {
    fn deref_mut(&mut self) -> &mut [u8] {
        let range = self.range.clone();
        &mut self.all()[range]
    }
}

impl Default for Blob {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { held: Held::Owned(bytes), range }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => (**self).serialize(serializer),
            false => serializer.serialize_bytes(self),
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_dressed_and_undressed_where_they_stand() {
        for length in [0, 1, 127, 128, 70_000] {
            let mut blob = Blob::room(length);
            blob.fill(7);
            let place = blob.as_ptr();
            let dressed = blob.dressed().unwrap();
            assert_eq!(*dressed, typed_bytes_to_vec(&vec![7; length]).unwrap());
            let undressed = dressed.undressed().unwrap();
            assert_eq!((undressed.as_ptr(), undressed.len()), (place, length));
        }
        let blob = Blob::from(vec![1, 2]).dressed().unwrap();
        assert_eq!(blob.undressed().unwrap().into_vec(), [1, 2]);
    }
}

//! Typed values as bytes: postcard, and behind it a fingerprint of the types that were written.
//!
//! Postcard is compact for it tells no types: what was written as one type can often be read as another, and is
//! garbage then. So both sides note which kinds of values they pass on their way, and at the end they compare. The
//! names of types and fields don't count, nor how often an element comes: a tuple may be read as a struct of the same
//! fields in the same order, and bytes are a sequence of `u8` however they are written.

mod read;
mod write;

use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use serde::{Deserialize, Serialize, Serializer, de};

/// The bytes of a fingerprint.
const FINGERPRINT: usize = 4;

/// Room for most values: to make it byte by byte takes longer than to write them.
const USUAL: usize = 128;

/// How deep values may lie within each other: each level takes a piece of the stack of whoever reads them.
const MOST_DEPTH: u32 = 256;

/// So many elements more than there are bytes may be read: most take one at least, and nothing else would end the others.
const MOST_EMPTY: u64 = 1 << 20;

/// How bytes fail to be a value of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedFault {
    /// They end before the value does.
    TooShort,
    /// So many are left over.
    LeftOver(usize),
    /// They are no value of that type.
    Malformed,
    /// They are the value of another type.
    OtherType,
    /// They lie within each other too deep, or are too many that take no bytes.
    TooMuch,
}

impl fmt::Display for TypedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("they end too early"),
            Self::LeftOver(count) => write!(f, "{count} of them are left over"),
            Self::Malformed => f.write_str("they are malformed, or were written as another type"),
            Self::OtherType => f.write_str("they were written as another type"),
            Self::TooMuch => write!(
                f,
                "they lie within each other more than {MOST_DEPTH} deep, or have too many elements without bytes"
            ),
        }
    }
}

impl core::error::Error for TypedFault {}

/// Writes a value. Fails only for types that can't be written at all.
pub fn typed_to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, postcard::Error> {
    let shape = Shape::default();
    let room = Vec::with_capacity(USUAL);
    let mut bytes = postcard::to_extend(&write::Traced { value, shape: &shape }, room)?;
    bytes.extend_from_slice(&shape.fingerprint());
    Ok(bytes)
}

/// The same into a place that is there already. `None` where it has no room.
pub fn typed_into<'b, T: Serialize + ?Sized>(value: &T, place: &'b mut [u8]) -> Option<&'b [u8]> {
    let shape = Shape::default();
    let length = postcard::to_slice(&write::Traced { value, shape: &shape }, place).ok()?.len();
    let (all, _) = place.split_at_mut_checked(length + FINGERPRINT)?;
    all[length..].copy_from_slice(&shape.fingerprint());
    Some(all)
}

/// Reads a value that was written as this type.
pub fn typed_from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, TypedFault> {
    let (body, fingerprint) =
        bytes.split_last_chunk::<FINGERPRINT>().ok_or(TypedFault::TooShort)?;
    let shape = Shape { left: Cell::new(MOST_EMPTY + body.len() as u64), ..Shape::default() };
    let mut inner = postcard::Deserializer::from_bytes(body);
    let value = T::deserialize(read::Traced { inner: &mut inner, shape: &shape });
    let rest = inner.finalize().map_err(|_| TypedFault::Malformed)?;
    let value = value.map_err(|error| match error {
        _ if shape.is_too_much.get() => TypedFault::TooMuch,
        postcard::Error::DeserializeUnexpectedEnd => TypedFault::TooShort,
        _ => TypedFault::Malformed,
    })?;
    match rest.len() {
        0 if shape.fingerprint() == *fingerprint => Ok(value),
        0 => Err(TypedFault::OtherType),
        count => Err(TypedFault::LeftOver(count)),
    }
}

/// Writes bytes as if they were a `Vec<u8>`, in one piece.
pub fn typed_bytes_to_vec(bytes: &[u8]) -> Result<Vec<u8>, postcard::Error> {
    struct Whole<'a>(&'a [u8]);
    impl Serialize for Whole<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }
    typed_to_vec(&Whole(bytes))
}

/// What is written before and behind so many bytes that are written as a `Vec<u8>`.
pub fn typed_bytes_around(length: usize) -> Result<(Vec<u8>, [u8; FINGERPRINT]), postcard::Error> {
    let shape = Shape::default();
    shape.bytes(length == 0);
    Ok((postcard::to_allocvec(&length)?, shape.fingerprint()))
}

/// The bytes of a `Vec<u8>` that was written, where they stand.
pub fn typed_bytes(bytes: &[u8]) -> Result<&[u8], TypedFault> {
    typed_from_slice(bytes)
}

/// Which kinds of values have passed, in one number; and how much of what is read may still come.
#[derive(Debug, Default)]
struct Shape {
    kinds: Cell<u64>,
    depth: Cell<u32>,
    /// Elements of sequences.
    left: Cell<u64>,
    is_too_much: Cell<bool>,
}

/// The kinds of values. Their numbers are part of the wire format.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Bool = 1,
    I8 = 2,
    I16 = 3,
    I32 = 4,
    I64 = 5,
    I128 = 6,
    U8 = 7,
    U16 = 8,
    U32 = 9,
    U64 = 10,
    U128 = 11,
    F32 = 12,
    F64 = 13,
    Char = 14,
    Text = 15,
    Unit = 16,
    Maybe = 17,
    Sequence = 18,
    /// A tuple or a struct.
    Group = 19,
    Map = 20,
    UnitVariant = 21,
    NewtypeVariant = 22,
    GroupVariant = 23,
    End = 24,
}

impl Shape {
    fn note(&self, kind: Kind) {
        self.mix(kind as u64);
    }

    fn mix(&self, number: u64) {
        let mixed = (self.kinds.get() ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.kinds.set(mixed.rotate_left(23));
    }

    /// One element among many of a kind: it counts if it is of another kind than the last one.
    fn element<T>(&self, last: &mut u64, pass: impl FnOnce() -> T) -> T {
        let before = self.kinds.replace(0);
        let passed = pass();
        let own = self.kinds.replace(before);
        if own != *last && own != 0 {
            *last = own;
            self.mix(own);
        }
        passed
    }

    /// Goes into a value that has others in it.
    fn within<T, E: de::Error>(&self, pass: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let depth = self.depth.get() + 1;
        if depth > MOST_DEPTH {
            return Err(self.too_much());
        }
        self.depth.set(depth);
        let passed = pass();
        self.depth.set(depth - 1);
        passed
    }

    /// One more element is read.
    fn counted<E: de::Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| self.too_much())?;
        self.left.set(left);
        Ok(())
    }

    fn too_much<E: de::Error>(&self) -> E {
        self.is_too_much.set(true);
        E::custom(TypedFault::TooMuch)
    }

    fn bytes(&self, are_none: bool) {
        self.note(Kind::Sequence);
        if !are_none {
            self.element(&mut 0, || self.note(Kind::U8));
        }
        self.note(Kind::End);
    }

    fn fingerprint(&self) -> [u8; FINGERPRINT] {
        let all = self.kinds.get();
        ((all >> 32) as u32 ^ all as u32).to_le_bytes()
    }
}

#[cfg(test)]
mod tests;

//! Values that go into a guest's function and come out of it: bytes, and how they are written.

use std::any::{Any, TypeId, type_name};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use bytes::Bytes;
use sandtrap_protocol::{Codec, typed_bytes, typed_bytes_to_vec, typed_from_slice, typed_to_vec};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::value_file::{Reader, ValueFile};

/// A value as bytes. Cheap to clone, however large it is.
#[derive(Clone)]
pub struct Payload {
    codec: Codec,
    body: Body,
}

/// Where the bytes are.
#[derive(Clone)]
enum Body {
    Memory(Bytes),
    File(Arc<ValueFile>),
}

/// How large values travel between a program's tasks and their host. Those of less than 64 KiB always travel with their
/// frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Payloads {
    /// As the wall has it best: a module's result is read in its own memory, a process shares memory with its host where
    /// that takes nothing from its walls.
    #[default]
    Auto,
    /// With their frames, at the price of a copy or two.
    Inline,
    /// In memory that both share: much faster from some MiB on. A process can make code of what it writes there,
    /// which its profile may otherwise forbid: what it does with that is bounded by its other walls only.
    /// (Where the profile is `process` or `jit` it can do that anyway, and `Auto` is the same.)
    Shared,
    /// Large results go into files of this directory, each under a name that nobody can guess, and are in nobody's memory
    /// meanwhile. [`Payload::path`] says where one lies. It is removed with the last [`Payload`] that speaks of it, and
    /// where its task didn't complete; [`Payload::keep`] has it stay. Where the directory is full, a result is in memory
    /// after all.
    File(PathBuf),
}

/// A value that can't be written, or bytes that are no such value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl Payload {
    /// Bytes as they are.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Codec::Raw, bytes)
    }

    /// Bytes that are written in this way. They are not looked at.
    pub fn new(codec: Codec, bytes: impl Into<Vec<u8>>) -> Self {
        Self { codec, body: Body::Memory(Bytes::from(bytes.into())) }
    }

    /// What is in a file, written in this way. It is read piece by piece when it is sent, and has to stay as it is until
    /// then. The file is never removed.
    pub fn file(codec: Codec, path: impl AsRef<Path>) -> io::Result<Self> {
        ValueFile::of_others(path.as_ref()).map(|file| Self::in_file(codec, file))
    }

    pub(crate) fn in_file(codec: Codec, file: ValueFile) -> Self {
        Self { codec, body: Body::File(Arc::new(file)) }
    }

    /// A typed value, for a guest in Rust that knows the type.
    pub fn typed<T: Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        let bytes = typed_to_vec(value);
        bytes.map(|bytes| Self::new(Codec::Typed, bytes)).map_err(|e| unwritable::<T>(&e))
    }

    /// A value as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        let bytes = serde_json::to_vec(value);
        bytes.map(|bytes| Self::new(Codec::Json, bytes)).map_err(|e| unwritable::<T>(&e))
    }

    /// A value in this codec. Raw ones are bytes or text.
    pub(crate) fn written<T: Serialize + 'static>(
        codec: Codec,
        value: T,
    ) -> Result<Self, ValueError> {
        match codec {
            Codec::Raw => raw_of(value).map(Self::raw).ok_or_else(|| {
                unwritable::<T>(&"it was asked for as raw bytes, and only bytes and text are that")
            }),
            Codec::Typed => match (&value as &dyn Any).downcast_ref::<Vec<u8>>() {
                Some(bytes) => typed_bytes_to_vec(bytes)
                    .map(|bytes| Self::new(Codec::Typed, bytes))
                    .map_err(|error| unwritable::<T>(&error)),
                None => Self::typed(&value),
            },
            Codec::Json => Self::json(&value),
        }
    }

    /// Text that is to be JSON.
    pub fn json_text(text: impl Into<Vec<u8>>) -> Result<Self, ValueError> {
        let text = text.into();
        // Whoever passes over a text doesn't look at it.
        if let Err(error) = str::from_utf8(&text) {
            return Err(ValueError(format!("this is no JSON: it is no UTF-8 text: {error}")));
        }
        match serde_json::from_slice::<IgnoredAny>(&text) {
            Ok(_) => Ok(Self::new(Codec::Json, text)),
            Err(error) => Err(ValueError(format!("this is no JSON: {error}"))),
        }
    }

    /// Bytes that belong to something else, which is kept as long as they are. They are not copied.
    pub(crate) fn held(codec: Codec, owner: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self { codec, body: Body::Memory(Bytes::from_owner(owner)) }
    }

    /// The bytes that a function gave, where it gave bytes or text and no other value: raw ones, or those of a
    /// `Vec<u8>`. They stand where the host took them in, and are not copied; out of a file they are read once.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        let bytes = self.whole().ok()?;
        match self.codec {
            Codec::Raw => Some(bytes),
            Codec::Typed => typed_bytes(bytes).ok(),
            Codec::Json => None,
        }
    }

    /// The file in which it lies, if it lies in one.
    pub fn path(&self) -> Option<&Path> {
        match &self.body {
            Body::Memory(_) => None,
            Body::File(file) => Some(file.path()),
        }
    }

    /// Has its file stay when nobody has this value any more, and gives its name. From then on it is the caller's.
    pub fn keep(&self) -> Option<&Path> {
        if let Body::File(file) = &self.body {
            file.keep();
        }
        self.path()
    }

    /// How many bytes it has. Nothing is read for that.
    pub fn length(&self) -> u64 {
        match &self.body {
            Body::Memory(bytes) => bytes.len() as u64,
            Body::File(file) => file.length(),
        }
    }

    /// How the bytes are written.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The bytes. What lies in a file is read, once, and kept in memory from then on; there are none if it can't be read,
    /// and [`read`](Self::read) says why.
    pub fn bytes(&self) -> &[u8] {
        self.whole().map_or(&[], |bytes| bytes)
    }

    /// The bytes, without a copy if nobody else has them.
    pub fn into_bytes(self) -> Vec<u8> {
        match self.body {
            Body::Memory(bytes) => bytes.into(),
            Body::File(_) => self.bytes().to_vec(),
        }
    }

    fn whole(&self) -> Result<&Bytes, &str> {
        match &self.body {
            Body::Memory(bytes) => Ok(bytes),
            Body::File(file) => file.whole(),
        }
    }

    /// The bytes, to be sent on: shared where they are in memory, else a reader of their file.
    pub(crate) fn source(&self) -> Result<Source, String> {
        match &self.body {
            Body::Memory(bytes) => Ok(Source::Memory(bytes.clone())),
            Body::File(file) => {
                file.reader().map(Source::File).map_err(|error| file.unreadable(&error))
            }
        }
    }

    /// Reads the value. Bytes and text are read out of any codec, raw ones included.
    pub fn read<T: DeserializeOwned + 'static>(&self) -> Result<T, ValueError> {
        read(self.codec, self.whole().map_err(|why| ValueError(why.to_owned()))?)
    }
}

/// Reads a value that was written in this codec.
pub(crate) fn read<T: DeserializeOwned + 'static>(
    codec: Codec,
    bytes: &[u8],
) -> Result<T, ValueError> {
    let fail = |why: &dyn fmt::Display| {
        let (ty, codec, length) = (type_name::<T>(), codec.name(), bytes.len());
        ValueError(format!("{length} bytes of {codec} are no `{ty}`: {why}"))
    };
    match codec {
        Codec::Raw => {
            as_bytes(bytes).ok_or_else(|| fail(&"raw bytes are read as bytes or text only"))
        }
        // The same bytes, but copied whole.
        Codec::Typed if TypeId::of::<T>() == TypeId::of::<Vec<u8>>() => {
            let whole = typed_bytes(bytes).map_err(|fault| fail(&fault))?;
            as_bytes(whole).ok_or_else(|| fail(&"they are no bytes"))
        }
        Codec::Typed => typed_from_slice(bytes).map_err(|fault| fail(&fault)),
        Codec::Json => serde_json::from_slice(bytes).map_err(|error| fail(&error)),
    }
}

impl ValueError {
    /// The same, about something that has a name.
    pub(crate) fn of(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }

    /// A value that isn't there.
    pub(crate) fn missing(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes of {})", self.length(), self.codec.name())
    }
}

/// The same codec and the same bytes, wherever they lie.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        let is_alike = self.codec == other.codec && self.length() == other.length();
        is_alike && self.whole().is_ok_and(|bytes| other.whole() == Ok(bytes))
    }
}

impl Eq for Payload {}

/// What sends a value on.
pub(crate) enum Source {
    Memory(Bytes),
    File(Reader),
}

fn unwritable<T: ?Sized>(error: &dyn fmt::Display) -> ValueError {
    ValueError(format!("a `{}` can't be written: {error}", type_name::<T>()))
}

/// Bytes as the one type that they are wanted as, if that is one of those that bytes are.
fn as_bytes<T: 'static>(bytes: &[u8]) -> Option<T> {
    let wanted = TypeId::of::<T>();
    let mut found: Box<dyn Any> = if wanted == TypeId::of::<String>() {
        Box::new(Some(std::str::from_utf8(bytes).ok()?.to_owned()))
    } else if wanted == TypeId::of::<()>() && bytes.is_empty() {
        Box::new(Some(()))
    } else if wanted == TypeId::of::<Vec<u8>>() {
        Box::new(Some(bytes.to_vec()))
    } else {
        return None;
    };
    found.downcast_mut::<Option<T>>()?.take()
}

/// The bytes of the types that are bytes.
fn raw_of<T: 'static>(value: T) -> Option<Vec<u8>> {
    let mut value: Option<T> = Some(value);
    let value: &mut dyn Any = &mut value;
    if let Some(bytes) = value.downcast_mut::<Option<Vec<u8>>>() {
        return bytes.take();
    }
    if let Some(text) = value.downcast_mut::<Option<String>>() {
        return text.take().map(String::into_bytes);
    }
    value.downcast_mut::<Option<()>>().map(|_| Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written() {
        let value = (3_u8, Some("x".to_owned()));
        for payload in [Payload::typed(&value), Payload::json(&value)] {
            assert_eq!(payload.unwrap().read::<(u8, Option<String>)>().unwrap(), value);
        }
        let bytes = vec![0_u8, 255];
        for payload in [Ok(Payload::raw(&*bytes)), Payload::typed(&bytes), Payload::json(&bytes)] {
            assert_eq!(payload.unwrap().read::<Vec<u8>>().unwrap(), bytes);
        }
        Payload::raw([]).read::<()>().unwrap();
    }

    #[test]
    fn what_is_no_such_value_is_said_with_its_type_and_its_fault() {
        for (payload, words) in [
            (Payload::raw("1"), "1 bytes of raw are no `u32`: raw bytes"),
            (
                Payload::typed("x").unwrap(),
                "6 bytes of typed are no `u32`: 1 of them are left over",
            ),
            (Payload::typed(&7_u64).unwrap(), "no `u32`: they were written as another type"),
            (Payload::new(Codec::Typed, []), "no `u32`: they end too early"),
            (Payload::json("x").unwrap(), "no `u32`: invalid type: string \"x\""),
        ] {
            let error = payload.read::<u32>().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(Payload::json_text("{").unwrap_err().to_string().contains("line 1 column 1"));
        assert_eq!(Payload::json_text("[1]").unwrap(), Payload::json(&[1]).unwrap());
    }
}

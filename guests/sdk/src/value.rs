//! Values as bytes and back, in the codec that the host chose for a call.

use std::any::{Any, type_name};
use std::fmt;

use sandtrap_protocol::{Codec, typed_bytes, typed_bytes_to_vec, typed_from_slice, typed_to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blob::Blob;

/// A value that can't be written or read.
#[derive(Clone, Debug)]
pub struct ValueError(String);

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ValueError {}

/// Reads what a function was given.
pub(crate) fn read<T: DeserializeOwned + 'static>(
    codec: Codec,
    bytes: Blob,
    function: &str,
) -> Result<T, ValueError> {
    let length = bytes.len();
    value_of(codec, bytes).map_err(|why| {
        let (ty, codec) = (type_name::<T>(), codec.name());
        ValueError(format!(
            "`{function}` takes a `{ty}`, and its input ({length} bytes of {codec}) is none: {why}"
        ))
    })
}

/// Reads what a function of the host has answered.
pub(crate) fn answer<T: DeserializeOwned + 'static>(
    codec: Codec,
    bytes: Vec<u8>,
) -> Result<T, ValueError> {
    let length = bytes.len();
    value_of(codec, bytes.into()).map_err(|why| {
        let (ty, codec) = (type_name::<T>(), codec.name());
        ValueError(format!("its answer ({length} bytes of {codec}) is no `{ty}`: {why}"))
    })
}

fn value_of<T: DeserializeOwned + 'static>(codec: Codec, bytes: Blob) -> Result<T, String> {
    match codec {
        Codec::Raw | Codec::Typed if is::<T, Blob>() => {
            let bytes = match codec {
                Codec::Typed => bytes.undressed().map_err(|fault| fault.to_string())?,
                _ => bytes,
            };
            taken(bytes).ok_or_else(|| "no bytes".to_owned())
        }
        Codec::Raw => {
            let value = Raw(Some(bytes.into_vec())).take::<T>();
            value.ok_or_else(|| "raw bytes are taken as bytes or text only".to_owned())
        }
        Codec::Typed if is::<T, Vec<u8>>() => match typed_bytes(&bytes) {
            Ok(whole) => Raw(Some(whole.to_vec())).take::<T>().ok_or_else(|| "no bytes".to_owned()),
            Err(fault) => Err(fault.to_string()),
        },
        Codec::Typed => typed_from_slice(&bytes).map_err(|fault| fault.to_string()),
        Codec::Json => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
    }
}

/// Writes what a function gives.
pub(crate) fn write<T: Serialize + 'static>(
    codec: Codec,
    value: T,
    function: &str,
) -> Result<Blob, ValueError> {
    let fail = |why: &dyn fmt::Display| {
        let (ty, codec) = (type_name::<T>(), codec.name());
        ValueError(format!("`{function}` gives a `{ty}`, which can't be written as {codec}: {why}"))
    };
    if codec != Codec::Json && is::<T, Blob>() {
        let blob: Blob = taken(value).ok_or_else(|| fail(&"no bytes"))?;
        return match codec {
            Codec::Typed => blob.dressed().map_err(|error| fail(&error)),
            _ => Ok(blob),
        };
    }
    let bytes = (&value as &dyn Any).downcast_ref::<Vec<u8>>();
    let written = match codec {
        Codec::Raw => raw_of(value).ok_or_else(|| fail(&"only bytes and text can")),
        Codec::Typed => match bytes {
            Some(bytes) => typed_bytes_to_vec(bytes),
            None => typed_to_vec(&value),
        }
        .map_err(|error| fail(&error)),
        Codec::Json => serde_json::to_vec(&value).map_err(|error| fail(&error)),
    };
    written.map(Blob::from)
}

/// A value as the type that it is, by another name.
fn taken<T: 'static, U: 'static>(value: T) -> Option<U> {
    (&mut Some(value) as &mut dyn Any).downcast_mut::<Option<U>>()?.take()
}

/// The same of what is only borrowed.
pub(crate) fn write_borrowed<T: Serialize + ?Sized>(
    codec: Codec,
    value: &T,
) -> Result<Vec<u8>, ValueError> {
    let fail = |why: &dyn fmt::Display| {
        ValueError(format!("a `{}` can't be written as {}: {why}", type_name::<T>(), codec.name()))
    };
    match codec {
        Codec::Raw => Err(fail(&"only bytes can; use `emit_bytes`")),
        Codec::Typed => typed_to_vec(value).map_err(|error| fail(&error)),
        Codec::Json => serde_json::to_vec(value).map_err(|error| fail(&error)),
    }
}

fn is<T: 'static, U: 'static>() -> bool {
    std::any::TypeId::of::<T>() == std::any::TypeId::of::<U>()
}

/// Bytes as the one type that they are wanted as.
struct Raw(Option<Vec<u8>>);

impl Raw {
    fn take<T: 'static>(&mut self) -> Option<T> {
        let bytes = self.0.take()?;
        let mut found: Box<dyn Any> = if is::<T, String>() {
            Box::new(Some(String::from_utf8(bytes).ok()?))
        } else if is::<T, ()>() && bytes.is_empty() {
            Box::new(Some(()))
        } else {
            Box::new(Some(bytes))
        };
        found.downcast_mut::<Option<T>>()?.take()
    }
}

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
    fn values_survive_every_codec_that_takes_them() {
        let pair = (7_u32, "x".to_owned());
        for codec in [Codec::Typed, Codec::Json] {
            let bytes = write(codec, pair.clone(), "f").unwrap();
            assert_eq!(read::<(u32, String)>(codec, bytes, "f").unwrap(), pair);
        }
        for codec in [Codec::Raw, Codec::Typed, Codec::Json] {
            let bytes = write(codec, vec![1_u8, 200, 0], "f").unwrap();
            assert_eq!(read::<Vec<u8>>(codec, bytes, "f").unwrap(), [1, 200, 0], "{codec:?}");
            let bytes = write(codec, "é".to_owned(), "f").unwrap();
            assert_eq!(read::<String>(codec, bytes, "f").unwrap(), "é", "{codec:?}");
            let bytes = write(codec, (), "f").unwrap();
            read::<()>(codec, bytes, "f").unwrap();
        }
    }

    #[test]
    fn what_does_not_fit_is_said_with_the_function_the_type_and_the_fault() {
        for (codec, bytes, why) in [
            (Codec::Raw, &b"12"[..], "raw bytes"),
            (Codec::Typed, b"\x01", "end too early"),
            (Codec::Typed, &typed_to_vec(&(1_u64, "a")).unwrap(), "as another type"),
            (Codec::Json, b"[1]", "line 1 column 3"),
        ] {
            let error = read::<(u32, String)>(codec, bytes.to_vec().into(), "resize").unwrap_err();
            let text = error.to_string();
            let names = text.contains("`resize`") && text.contains("(u32, alloc::string::String)");
            assert!(names && text.contains(why), "{text}");
        }
        let error = write(Codec::Raw, 1_u8, "resize").unwrap_err().to_string();
        assert!(error.contains("`resize` gives a `u8`"), "{error}");
    }
}

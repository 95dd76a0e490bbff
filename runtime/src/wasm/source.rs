//! Gets the bytes of a module or a component: from a file or from memory, binary or text.
//!
//! What is not a module at all is refused here, before the compiler sees it, with the reason that helps:
//! a directory, a native executable, a text with a mistake in a certain line.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::quantity::ByteSize;
use crate::task::ProgramSource;

/// The largest module that is compiled. Compilers for whole languages stay below a third of it.
const MOST_BYTES: ByteSize = ByteSize::mib(128);

pub(super) const MAGIC: &[u8] = b"\0asm";

/// The bytes of the module or component, in its binary form.
pub(super) fn read(source: &ProgramSource) -> Result<Cow<'_, [u8]>, LoadError> {
    let (name, bytes) = match source {
        ProgramSource::File(path) => (path.display().to_string(), Cow::Owned(read_file(path)?)),
        ProgramSource::Module { name, bytes } => (name.clone(), Cow::Borrowed(&bytes[..])),
    };
    check_size(&name, bytes.len() as u64)?;
    into_binary(&name, bytes)
}

/// A module that can't be one, and why.
pub(super) fn refused(name: &str, fault: &str) -> LoadError {
    LoadError::at(Step::Parse, format!("`{name}` {fault}"))
}

fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
    let name = path.display();
    let unreadable = |error: io::Error| {
        let step = match error.kind() {
            io::ErrorKind::NotFound => Step::Find,
            _ => Step::Execute,
        };
        LoadError::at(step, format!("cannot read `{name}`: {error}"))
            .with_errno(error.raw_os_error())
    };
    // Asked before it is opened: to open a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        let detail = format!("`{name}` is {}, not a file", kind_of(&metadata));
        return Err(LoadError::at(Step::Execute, detail));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // One byte more than allowed, so that a file that grows meanwhile is seen to be too large.
    file.take(MOST_BYTES.as_u64() + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn kind_of(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a directory" } else { "a pipe or a device" }
}

fn check_size(name: &str, bytes: u64) -> Result<(), LoadError> {
    if bytes > MOST_BYTES.as_u64() {
        return Err(refused(name, &format!("is larger than {MOST_BYTES}, the most for a module")));
    }
    if bytes == 0 {
        return Err(refused(name, "is empty; a module begins with the bytes 00 61 73 6d"));
    }
    Ok(())
}

fn into_binary<'a>(name: &str, bytes: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, LoadError> {
    if bytes.starts_with(MAGIC) {
        return Ok(bytes);
    }
    if MAGIC.starts_with(&bytes) {
        return Err(refused(name, "is cut off within its first four bytes"));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if looks_like_text(text) => match wat::parse_str(text) {
            Ok(binary) => Ok(Cow::Owned(binary)),
            Err(error) => {
                Err(refused(name, &format!("is no valid text module: {}", place(&error))))
            }
        },
        _ => Err(refused(name, &format!("is not a module: {}", what_it_is(&bytes)))),
    }
}

fn looks_like_text(text: &str) -> bool {
    text.trim_start().starts_with(['(', ';'])
}

fn what_it_is(bytes: &[u8]) -> String {
    if bytes.starts_with(b"\x7fELF") {
        return "it is a native executable or a precompiled module".to_owned();
    }
    let first: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let first = first.join(" ");
    format!("it begins with {first}; a module begins with 00 61 73 6d, or as a text with `(module`")
}

/// The parser's message and its place; the picture of the line that it draws is left out.
fn place(error: &wat::Error) -> String {
    let words = error.to_string();
    let mut lines = words.lines().map(str::trim);
    let message = lines.next().unwrap_or_default();
    match lines.find_map(|line| line.strip_prefix("--> <anon>:")) {
        Some(place) => format!("{message} at {place}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn refusal(bytes: &[u8]) -> String {
        let bytes: Arc<[u8]> = bytes.into();
        read(&ProgramSource::Module { name: "it".to_owned(), bytes }).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_module_is_refused_with_the_reason() {
        for (bytes, words) in [
            (&b""[..], "is empty"),
            (b"\0as", "cut off"),
            (b"\x7fELF\x02\x01", "native executable"),
            (b"#!/bin/sh\n", "begins with 23 21 2f 62"),
            (b"(module (func (nonsense)))", "at 1:16"),
            (b"(component (import))", "at 1:19"),
        ] {
            let refusal = refusal(bytes);
            assert!(refusal.contains(words), "{refusal}");
            assert_eq!(refusal.lines().count(), 1, "{refusal}");
        }
    }
}

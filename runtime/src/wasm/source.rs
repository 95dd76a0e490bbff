//! Gets at the bytes of a module or a component: in a file or in memory, binary or text.
//!
//! What is not a module at all is refused here, before the compiler sees it, with the reason that helps:
//! a directory, a native executable, a text with a mistake in a certain line.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::quantity::ByteSize;
use crate::task::ProgramSource;
use crate::trust::CompileLimits;

use super::seal;

/// The largest text that is read as a module: texts are written by hand, and reading one takes many times its size.
const MOST_TEXT: ByteSize = ByteSize::mib(16);

pub(super) const MAGIC: &[u8] = b"\0asm";

/// Something that is to be loaded, opened and not read yet.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) content: Content,
}

/// Where its bytes are.
pub(super) enum Content {
    File(File),
    Memory(Arc<[u8]>),
}

/// What can be read again from its beginning.
pub(super) trait Rereadable: Read + Seek {}

impl<T: Read + Seek> Rereadable for T {}

impl Source {
    /// Opens it. What is no file, or too large, is refused.
    pub(super) fn open(source: &ProgramSource, limits: &CompileLimits) -> Result<Self, LoadError> {
        let (name, content, bytes) = match source {
            ProgramSource::File(path) => {
                let (file, bytes) = open_file(path)?;
                (path.display().to_string(), Content::File(file), bytes)
            }
            ProgramSource::Module { name, bytes } => {
                (name.clone(), Content::Memory(Arc::clone(bytes)), bytes.len() as u64)
            }
        };
        if bytes == 0 {
            return Err(refused(&name, "is empty; a module begins with the bytes 00 61 73 6d"));
        }
        let source = Self { name, content };
        if bytes <= limits.module.as_u64() {
            return Ok(source);
        }
        let (most, what) = match source.is_sealed()? {
            true => (limits.code, "code that was compiled ahead"),
            false => (limits.module, "a module"),
        };
        match bytes <= most.as_u64() {
            true => Ok(source),
            false => {
                Err(too_large(&source.name, &format!("is larger than {most}, the most for {what}")))
            }
        }
    }

    /// Whether it was compiled ahead, by its first bytes.
    pub(super) fn is_sealed(&self) -> Result<bool, LoadError> {
        let mut beginning = Vec::new();
        let read = self.reader()?.take(4).read_to_end(&mut beginning);
        read.map_err(|error| self.unreadable(&error))?;
        Ok(seal::looks_sealed(&beginning))
    }

    /// Its bytes, from the first one on.
    pub(super) fn reader(&self) -> Result<Box<dyn Rereadable + '_>, LoadError> {
        match &self.content {
            Content::File(file) => {
                let mut file = file;
                file.rewind().map_err(|error| self.unreadable(&error))?;
                Ok(Box::new(file))
            }
            Content::Memory(bytes) => Ok(Box::new(Cursor::new(&bytes[..]))),
        }
    }

    /// It is there, and can't be read.
    pub(super) fn unreadable(&self, error: &io::Error) -> LoadError {
        unreadable(&self.name, error)
    }

    /// It can't be loaded, and why.
    pub(super) fn refused(&self, fault: &str) -> LoadError {
        refused(&self.name, fault)
    }
}

/// A module that can't be one, and why.
pub(super) fn refused(name: &str, fault: &str) -> LoadError {
    LoadError::at(Step::Parse, format!("`{name}` {fault}"))
}

/// A module that may be one and is not looked at: what may be read of one is a limit like the others.
fn too_large(name: &str, fault: &str) -> LoadError {
    let detail = format!("`{name}` {fault}; raise what compiling may take in or give out");
    LoadError::at(Step::FitLimits, detail)
}

fn unreadable(name: &str, error: &io::Error) -> LoadError {
    let step = match error.kind() {
        io::ErrorKind::NotFound => Step::Find,
        _ => Step::Execute,
    };
    LoadError::at(step, format!("cannot read `{name}`: {error}")).with_errno(error.raw_os_error())
}

fn open_file(path: &Path) -> Result<(File, u64), LoadError> {
    let name = path.display().to_string();
    // Asked before it is opened: to open a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&name, &error))?;
    if !metadata.is_file() {
        let detail = format!("`{name}` is {}, not a file", kind_of(&metadata));
        return Err(LoadError::at(Step::Execute, detail));
    }
    let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
    let bytes = file.metadata().map_err(|error| unreadable(&name, &error))?.len();
    Ok((file, bytes))
}

fn kind_of(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a directory" } else { "a pipe or a device" }
}

/// The module or component in its binary form, or what is wrong with it.
pub(super) fn binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if bytes.starts_with(MAGIC) {
        return Ok(Cow::Borrowed(bytes));
    }
    if bytes.is_empty() {
        return Err("is empty; a module begins with the bytes 00 61 73 6d".into());
    }
    if MAGIC.starts_with(bytes) {
        return Err("is cut off within its first four bytes".into());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if looks_like_text(text) => {
            if bytes.len() as u64 > MOST_TEXT.as_u64() {
                return Err(format!(
                    "is a text of more than {MOST_TEXT}; load it in its binary form"
                ));
            }
            match wat::parse_str(text) {
                Ok(binary) => Ok(Cow::Owned(binary)),
                Err(error) => Err(format!("is no valid text module: {}", place(&error))),
            }
        }
        _ => Err(format!("is not a module: {}", what_it_is(bytes))),
    }
}

fn looks_like_text(text: &str) -> bool {
    text.trim_start().starts_with(['(', ';'])
}

fn what_it_is(bytes: &[u8]) -> String {
    if bytes.starts_with(b"\x7fELF") {
        return "it is a native executable, or was compiled by somebody else".to_owned();
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

    fn refusal(bytes: &[u8]) -> String {
        let source = ProgramSource::Module { name: "it".to_owned(), bytes: bytes.into() };
        match Source::open(&source, &CompileLimits::default()) {
            Ok(_) => binary(bytes).unwrap_err(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_no_module_is_refused_with_the_reason() {
        for (bytes, words) in [
            (&b""[..], "is empty"),
            (b"\0as", "cut off"),
            (b"\x7fELF\x02\x01", "native executable"),
            (b"#!/bin/sh\n", "begins with 23 21 2f 62"),
            (b"(module (func (nonsense)))", "at 1:16"),
        ] {
            let refusal = refusal(bytes);
            assert!(refusal.contains(words), "{refusal}");
            assert_eq!(refusal.lines().count(), 1, "{refusal}");
        }
    }
}

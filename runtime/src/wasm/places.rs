//! Where the functions of a module stand in its source, where it carries that (DWARF).
//!
//! The engine could do this itself, but it does it for every end that is an error, an exit included, and
//! starts anew for every frame: tens of milliseconds for a program with its debug information. Here it is
//! done once for a guest, and not for one that exits.

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use wasmparser::{Parser, Payload};

use super::trace::plain;
use crate::trace::Frame;

/// Debug information above this is left alone: reading it would take longer than anybody waits.
const MOST_BYTES: usize = 64 << 20;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The debug information of one module.
#[derive(Default)]
pub(super) struct Places {
    sections: Vec<(String, Vec<u8>)>,
    /// Where the code begins in the module; the debug information counts from there.
    code_start: u64,
}

/// The debug information, opened.
pub(super) struct Lookup<'a> {
    context: Context<Bytes<'a>>,
    code_start: u64,
}

impl Places {
    /// Takes the debug information out of a module. What can't be read is not there.
    pub(super) fn of(module: &[u8]) -> Self {
        let mut places = Self::default();
        for payload in Parser::new(0).parse_all(module).flatten() {
            match payload {
                Payload::CodeSectionStart { range, .. } => places.code_start = range.start as u64,
                Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                    places.sections.push((section.name().to_owned(), section.data().to_vec()));
                }
                _ => {}
            }
        }
        let total: usize = places.sections.iter().map(|(_, bytes)| bytes.len()).sum();
        if total > MOST_BYTES { Self::default() } else { places }
    }

    /// Opens it for a few questions.
    pub(super) fn open(&self) -> Option<Lookup<'_>> {
        if self.sections.is_empty() {
            return None;
        }
        let section = |id: SectionId| {
            let found = self.sections.iter().find(|(name, _)| name == id.name());
            let bytes = found.map_or(&[][..], |(_, bytes)| bytes);
            Ok::<_, addr2line::gimli::Error>(EndianSlice::new(bytes, LittleEndian))
        };
        let context = Context::from_dwarf(Dwarf::load(section).ok()?).ok()?;
        Some(Lookup { context, code_start: self.code_start })
    }
}

impl Lookup<'_> {
    /// The functions that stand at an offset of the module, the innermost inlined one first.
    pub(super) fn at(&self, offset: usize, outer: &str) -> Vec<Frame> {
        let mut found = Vec::new();
        let Some(probe) = (offset as u64).checked_sub(self.code_start) else { return found };
        let Ok(mut frames) = self.context.find_frames(probe).skip_all_loads() else { return found };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|name| name.raw_name().ok());
            let function = name.map_or_else(|| outer.to_owned(), |name| plain(&name));
            let place = frame.location.and_then(|location| {
                let file = location.file?;
                Some(location.line.map_or(file.to_owned(), |line| format!("{file}:{line}")))
            });
            found.push(Frame { function, place });
        }
        if let Some(last) = found.last_mut() {
            // The module's own name for it is the whole path; the debug information has the last word of it.
            outer.clone_into(&mut last.function);
        }
        found
    }
}

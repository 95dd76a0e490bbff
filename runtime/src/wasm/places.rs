//! Where the functions of a module stand in its source, where it carries that (DWARF).
//!
//! The engine could do this itself, but it does it for every end that is an error, an exit included, and
//! starts anew for every frame: tens of milliseconds for a program with its debug information. Here it is
//! done once for a guest, and not for one that exits.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read as _, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use addr2line::gimli::SectionId;

use super::bounds;
use crate::debug_info::{Bytes, Lines, Purse};
use crate::quantity::ByteSize;
use crate::task::ProgramSource;
use crate::trace::Frame;

/// Debug information above this is left alone: reading it would take longer than anybody waits.
const MOST_BYTES: u64 = 64 << 20;

/// What looking up may take of the host's memory, for all modules of a trace. Where it would be more, there are no lines.
const MOST_HELD: ByteSize = ByteSize::mib(256);

/// No section that is looked for has a longer name.
const LONGEST_NAME: u64 = 64;

/// What one trace may spend.
pub(super) fn purse() -> Purse {
    Purse::of(MOST_HELD)
}

/// Where the debug information of one module is. It is read when the first guest of it dies in its code.
pub(super) struct Places {
    origin: Origin,
    /// Which part of it the module is, if it is within a component.
    part: Option<Range<usize>>,
    sections: OnceLock<Sections>,
}

/// Where the module is.
enum Origin {
    File(PathBuf, Option<Marks>),
    Memory(Arc<[u8]>),
}

/// What tells a file from its successor.
type Marks = (u64, SystemTime);

/// The debug information of one module.
#[derive(Default)]
struct Sections {
    found: Vec<(String, Vec<u8>)>,
    /// Where the code begins in the module; the debug information counts from there.
    code_start: u64,
}

/// The debug information, opened.
pub(super) struct Lookup<'a> {
    lines: Lines<'a>,
    code_start: u64,
}

impl Places {
    /// Remembers where to look.
    pub(super) fn of(source: &ProgramSource) -> Self {
        let origin = match source {
            ProgramSource::File(path) => {
                let marks = File::open(path).ok().and_then(|file| marks(&file));
                Origin::File(path.clone(), marks)
            }
            ProgramSource::Module { bytes, .. } => Origin::Memory(Arc::clone(bytes)),
        };
        Self { origin, part: None, sections: OnceLock::new() }
    }

    /// Remembers where to look for a module within a component.
    pub(super) fn of_part(source: &ProgramSource, part: Range<usize>) -> Self {
        Self { part: Some(part), ..Self::of(source) }
    }

    /// Opens it for a few questions. What can't be read is not there.
    pub(super) fn open(&self, purse: &mut Purse) -> Option<Lookup<'_>> {
        let sections = self.sections.get_or_init(|| self.read().unwrap_or_default());
        if sections.found.is_empty() {
            return None;
        }
        let section = |id: SectionId| {
            let found = sections.found.iter().find(|(name, _)| name == id.name());
            Bytes::new(found.map_or(&[][..], |(_, bytes)| bytes), Default::default())
        };
        let lines = Lines::open(section, purse)?;
        Some(Lookup { lines, code_start: sections.code_start })
    }

    fn read(&self) -> io::Result<Sections> {
        match &self.origin {
            Origin::File(path, before) => {
                let file = File::open(path)?;
                match *before == marks(&file) {
                    true => self.read_from(BufReader::new(file)),
                    // Another module stands there now.
                    false => Ok(Sections::default()),
                }
            }
            Origin::Memory(bytes) => self.read_from(Cursor::new(&bytes[..])),
        }
    }

    fn read_from(&self, mut source: impl BufRead + Seek) -> io::Result<Sections> {
        let Some(part) = &self.part else { return Sections::read(&mut source) };
        source.seek(SeekFrom::Start(part.start as u64))?;
        let mut module = Vec::new();
        source.take(part.len() as u64).read_to_end(&mut module)?;
        Sections::read(&mut Cursor::new(module))
    }
}

fn marks(file: &File) -> Option<Marks> {
    let metadata = file.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

impl Sections {
    /// Goes from section to section of a binary module and takes only what it needs.
    fn read(module: &mut (impl BufRead + Seek)) -> io::Result<Self> {
        const CUSTOM: u8 = 0;
        const CODE: u8 = 10;
        let mut sections = Self::default();
        let mut header = [0; 8];
        module.read_exact(&mut header)?;
        if !header.starts_with(b"\0asm") {
            return Ok(sections);
        }
        let mut total = 0;
        while !module.fill_buf()?.is_empty() {
            let id = bounds::byte(module)?;
            let size = u64::from(bounds::number(module)?);
            let start = module.stream_position()?;
            let end = start.saturating_add(size);
            match id {
                CODE => sections.code_start = start,
                CUSTOM => {
                    let length = u64::from(bounds::number(module)?).min(LONGEST_NAME);
                    let mut name = Vec::new();
                    module.take(length).read_to_end(&mut name)?;
                    if name.starts_with(b".debug_") {
                        let room = end.saturating_sub(module.stream_position()?);
                        total += room;
                        if total > MOST_BYTES {
                            return Ok(Self::default());
                        }
                        let mut bytes = Vec::new();
                        module.take(room).read_to_end(&mut bytes)?;
                        let name = String::from_utf8_lossy(&name).into_owned();
                        sections.found.push((name, bytes));
                    }
                }
                _ => {}
            }
            module.seek(SeekFrom::Start(end))?;
        }
        Ok(sections)
    }
}

impl Lookup<'_> {
    /// The functions that stand at an offset of the module, the innermost inlined one first, and no more than this many.
    pub(super) fn at(&self, offset: usize, outer: &str, most: usize) -> Vec<Frame> {
        let Some(probe) = (offset as u64).checked_sub(self.code_start) else { return Vec::new() };
        let found = self.lines.at(probe, most).into_iter().map(|found| Frame {
            function: found.function.unwrap_or_else(|| outer.to_owned()),
            place: found.place,
            times: 1,
        });
        let mut found: Vec<Frame> = found.collect();
        if found.len() < most
            && let Some(last) = found.last_mut()
        {
            // The module's own name for it is the whole path; the debug information has the last word of it.
            outer.clone_into(&mut last.function);
        }
        found
    }
}

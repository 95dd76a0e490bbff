//! An executable or a library as it lies in a tracee's memory: where its tables are, and what tells its file from
//! another one of the same name.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mappings::{Mapping, Mappings};
use super::memory::Memory;

/// The first bytes of a file, with its header and in most of them all that identifies a build.
pub(super) const BEGINNING: usize = 4096;

/// Notes (the build's own number is one of them) are compared up to this.
const MOST_NOTE: u64 = 4096;

const MOST_SEGMENTS: u16 = 64;
const SEGMENT: u64 = 56;

const LOADED: u32 = 1;
const NOTE: u32 = 4;
const EH_FRAME_HDR: u32 = 0x6474_e550;

/// The file behind some code: by its name, and by what was in memory of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageFile {
    pub(super) path: PathBuf,
    pub(super) mark: blake3::Hash,
}

/// Opens the file of the program itself, if that is what a mapping is of.
pub(super) type OpenProgram<'a> = dyn Fn(&Mapping) -> Option<File> + 'a;

/// One of them in memory.
#[derive(Clone, Debug)]
pub(super) struct LoadedImage {
    /// What is added to the addresses of the file.
    pub(super) bias: u64,
    /// Where all functions' unwinding rules are.
    pub(super) frame_table: Option<FrameTable>,
    pub(super) file: Arc<ImageFile>,
}

/// Where rules for unwinding are, in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameTable {
    /// A table sorted by address, which names them.
    Sorted(u64),
    /// The rules alone, one after the other: where they begin and end.
    Plain(u64, u64),
}

/// What a file says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Segments {
    /// The address at which its first byte wants to be.
    beginning: u64,
    frame_table: Option<u64>,
    /// Where the notes are, in the file and in memory, and how long they are.
    note: Option<(u64, u64, usize)>,
}

/// Whether an executable ends before what is to be loaded of it does. The kernel finds that out when there is nothing left that
/// it could go back to.
pub(super) fn is_cut_off(file: &File, length: u64) -> bool {
    const PAGE: u64 = 4096;
    let mut header = [0; 64];
    if file.read_exact_at(&mut header, 0).is_err() || !header.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let (size, count) = (number(54), number(56));
    let at = u64::from_le_bytes(header[32..40].try_into().unwrap_or_default());
    if u64::from(size) != SEGMENT || count > MOST_SEGMENTS {
        return false;
    }
    let mut table = vec![0; usize::from(size) * usize::from(count)];
    if file.read_exact_at(&mut table, at).is_err() {
        return true;
    }
    // The rest of a last page is there, and is nothing.
    let there = length.next_multiple_of(PAGE);
    table.chunks_exact(SEGMENT as usize).any(|segment| {
        let word =
            |at: usize| u64::from_le_bytes(segment[at..at + 8].try_into().unwrap_or_default());
        let is_loaded = segment[..4] == LOADED.to_le_bytes();
        is_loaded && word(8).saturating_add(word(32)) > there
    })
}

impl LoadedImage {
    /// The image that a mapping belongs to.
    pub(super) fn of(
        mapping: &Mapping,
        mappings: &Mappings,
        memory: &mut Memory<'_>,
        program: &OpenProgram<'_>,
    ) -> Option<Self> {
        if mapping.name.is_empty() {
            return None;
        }
        let first = mappings.first_of(mapping)?;
        let beginning = memory.bytes(first.start, BEGINNING)?;
        let segments = segments(&beginning)?;
        let bias = first.start.wrapping_sub(segments.beginning);
        let note = segments
            .note
            .and_then(|(_, address, length)| memory.bytes(bias.wrapping_add(address), length));
        let sorted = segments.frame_table.map(|table| FrameTable::Sorted(bias.wrapping_add(table)));
        // A program that was linked statically may have no such table. Its sections name the rules themselves.
        let plain = || {
            let (start, length) = rules_section(&program(mapping)?)?;
            let start = bias.wrapping_add(start);
            Some(FrameTable::Plain(start, start.saturating_add(length)))
        };
        Some(Self {
            bias,
            frame_table: sorted.or_else(plain),
            file: Arc::new(ImageFile {
                path: PathBuf::from(&mapping.name),
                mark: mark(&beginning, note.as_deref()),
            }),
        })
    }
}

impl ImageFile {
    /// The file of a program that is to be started, and where it begins to be executed. `None` where it is no such file.
    pub(super) fn of_program(path: &Path) -> Option<(Self, u64)> {
        let file = File::open(path).ok()?;
        let mut beginning = [0; BEGINNING];
        let length = file.read_at(&mut beginning, 0).ok()?;
        let segments = segments(&beginning[..length])?;
        let note = segments.note.and_then(|(offset, _, length)| {
            let mut note = vec![0; length];
            file.read_exact_at(&mut note, offset).ok().map(|()| note)
        });
        let entry = u64::from_le_bytes(*beginning[24..].first_chunk()?);
        let mark = mark(&beginning, note.as_deref());
        Some((Self { path: path.to_owned(), mark }, entry))
    }
}

/// The mark of a whole file, to be compared with that of what was in memory.
pub(super) fn mark_of_file(file: &[u8]) -> Option<blake3::Hash> {
    let mut beginning = [0; BEGINNING];
    let length = file.len().min(BEGINNING);
    beginning[..length].copy_from_slice(&file[..length]);
    let note = segments(&beginning)?
        .note
        .and_then(|(offset, _, length)| file.get(usize::try_from(offset).ok()?..)?.get(..length));
    Some(mark(&beginning, note))
}

fn mark(beginning: &[u8], note: Option<&[u8]>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(beginning);
    hasher.update(note.unwrap_or_default());
    hasher.finalize()
}

/// Reads the header and the table behind it. A table elsewhere in the file is left alone.
fn segments(beginning: &[u8]) -> Option<Segments> {
    const IDENTITY: &[u8] = b"\x7fELF\x02\x01";
    let short = |at: usize| Some(u16::from_le_bytes(*beginning.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u32::from_le_bytes(*beginning.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u64::from_le_bytes(*beginning.get(at..)?.first_chunk()?));
    let count = short(56).filter(|count| *count <= MOST_SEGMENTS)?;
    if !beginning.starts_with(IDENTITY) || u64::from(short(54)?) != SEGMENT {
        return None;
    }
    let table = usize::try_from(word(32)?).ok().filter(|table| *table < BEGINNING)?;
    let mut found = Segments::default();
    let mut loaded = false;
    for index in 0..usize::from(count) {
        let at = table + index * SEGMENT as usize;
        let (kind, offset, address) = (half(at)?, word(at + 8)?, word(at + 16)?);
        match kind {
            LOADED if !loaded => {
                loaded = true;
                found.beginning = address.wrapping_sub(offset);
            }
            NOTE if found.note.is_none() => {
                let length = word(at + 32)?.min(MOST_NOTE) as usize;
                found.note = Some((offset, address, length));
            }
            EH_FRAME_HDR => found.frame_table = Some(address),
            _ => {}
        }
    }
    loaded.then_some(found)
}

/// Where a file's sections say that the unwinding rules are to be, and how long they are.
fn rules_section(file: &File) -> Option<(u64, u64)> {
    const HEADER: usize = 64;
    const MOST_SECTIONS: u16 = 256;
    const MOST_NAMES: u64 = 64 * 1024;
    let word = |bytes: &[u8], at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let half = |bytes: &[u8], at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let short =
        |bytes: &[u8], at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).ok()?;
    let count = short(&header, 60).filter(|count| *count <= MOST_SECTIONS)?;
    let mut sections = vec![0; usize::from(count) * HEADER];
    file.read_exact_at(&mut sections, word(&header, 40)?).ok()?;
    let section = |index: usize| sections.get(index * HEADER..(index + 1) * HEADER);
    let of_names = section(short(&header, 62)?.into())?;
    let length = word(of_names, 32).filter(|length| *length <= MOST_NAMES)?;
    let mut names = vec![0; length as usize];
    file.read_exact_at(&mut names, word(of_names, 24)?).ok()?;
    let found = (0..usize::from(count)).filter_map(section).find(|section| {
        let name = half(section, 0).and_then(|at| names.get(at as usize..));
        name.is_some_and(|name| name.starts_with(b".eh_frame\0"))
    })?;
    Some((word(found, 16)?, word(found, 32)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_that_ends_before_what_is_loaded_of_it_is_known() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        let is_cut = |length: usize| {
            let place = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(place.path(), &whole[..length]).unwrap();
            is_cut_off(place.as_file(), length as u64)
        };
        for (length, cut) in
            [(whole.len(), false), (5000, true), (70, true), (40, false), (0, false)]
        {
            assert_eq!(is_cut(length), cut, "{length}");
        }
    }

    #[test]
    fn this_program_is_the_file_that_it_was_started_from() {
        let mappings = Mappings::of(std::process::id().cast_signed()).unwrap();
        let mut memory = Memory::of(std::process::id().cast_signed(), &mappings).unwrap();
        let here = mappings.at(mark_of_file as *const () as u64).unwrap();
        let image = LoadedImage::of(here, &mappings, &mut memory, &|_| None).unwrap();
        assert_eq!(image.file.path, std::env::current_exe().unwrap());
        let file = std::fs::read(&image.file.path).unwrap();
        let section = rules_section(&File::open(&image.file.path).unwrap()).unwrap();
        assert!(section.0 > 0 && section.1 > 1000, "{section:?}");
        assert_eq!(mark_of_file(&file), Some(image.file.mark));
        let (from_its_name, entry) = ImageFile::of_program(&image.file.path).unwrap();
        assert_eq!(from_its_name, *image.file);
        assert_ne!(entry, 0);
        assert_eq!(ImageFile::of_program(Path::new("/dev/null")), None);
        assert!(image.frame_table.is_some());
        let mut other = file;
        other[0x18] ^= 1;
        assert_ne!(mark_of_file(&other), Some(image.file.mark));
    }

    #[test]
    fn what_is_no_image_is_none_and_no_length_is_believed() {
        assert_eq!(segments(&[]), None);
        assert_eq!(segments(&[0; BEGINNING]), None);
        let mut bytes = vec![0xff; BEGINNING];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(segments(&bytes), None);
        bytes[54..58].copy_from_slice(&[56, 0, 64, 0]);
        assert_eq!(segments(&bytes), None);
        bytes[32..40].copy_from_slice(&4000_u64.to_le_bytes());
        assert_eq!(segments(&bytes), None);
        assert_eq!(mark_of_file(&bytes), None);
    }
}

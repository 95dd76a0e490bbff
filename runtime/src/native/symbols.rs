//! Names and lines for the addresses of a backtrace, out of the files they came from: when somebody reads it, which
//! may be long after. A file that is gone or is another one by now gives no names, and so does one that is too large:
//! its frames are then its name and a distance.
//!
//! The files are read whole and never mapped: one that is cut short meanwhile must not take the host along.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use addr2line::Context;
use addr2line::gimli::{self, Dwarf, EndianSlice, LittleEndian, SectionId};
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::read::{CompressionFormat, Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{Endianness, SectionKind, SymbolKind};

use crate::trace::Frame;

use super::backtrace::Step;
use super::image_file::{self, ImageFile};

/// A file above this is left alone.
const MOST_BYTES: u64 = 256 << 20;

/// Inlined functions are frames of their own; there is an end to them, too.
const MOST_FRAMES: usize = 256;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The frames of a backtrace, innermost first.
pub(super) fn frames(steps: &[Step]) -> Vec<Frame> {
    let mut by_file: HashMap<&Path, Vec<usize>> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        if let Some((file, _)) = &step.image {
            by_file.entry(&file.path).or_default().push(index);
        }
    }
    let mut found: Vec<Vec<Frame>> = steps.iter().map(|step| vec![unnamed(step)]).collect();
    // One file after the other, so that only one is held.
    for indices in by_file.into_values() {
        let Some((file, _)) = &steps[indices[0]].image else { continue };
        let Some(bytes) = read(file) else { continue };
        let Some(symbols) = Symbols::of(&bytes) else { continue };
        for index in indices {
            let step = &steps[index];
            if let Some((of, bias)) = &step.image
                && of.mark == file.mark
            {
                found[index] = symbols.at(step, *bias).unwrap_or_else(|| vec![unnamed(step)]);
            }
        }
    }
    found.into_iter().flatten().take(MOST_FRAMES).collect()
}

/// What can be said without the file.
fn unnamed(step: &Step) -> Frame {
    let function = match &step.image {
        Some((file, bias)) => {
            let name = file.path.file_name().unwrap_or(file.path.as_os_str()).to_string_lossy();
            format!("{name}+{:#x}", step.address.wrapping_sub(*bias))
        }
        None => format!("{:#x}", step.address),
    };
    Frame { function, place: None, times: step.times }
}

/// Reads the file whole, if it still is the one that was in memory.
fn read(image: &ImageFile) -> Option<Vec<u8>> {
    if !image.path.is_absolute() {
        return None;
    }
    // What stands there now may be a pipe, on which one could wait for ever.
    let options = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(options).open(&image.path).ok()?;
    let about = file.metadata().ok()?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    (image_file::mark_of_file(&bytes)? == image.mark).then_some(bytes)
}

struct Symbols<'a> {
    /// The functions, by where they begin: with their length and name.
    functions: Vec<(u64, u64, &'a str)>,
    lines: Option<Context<Bytes<'a>>>,
}

impl<'a> Symbols<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let file = ElfFile64::<Endianness>::parse(bytes).ok()?;
        let mut functions: Vec<(u64, u64, &str)> = file
            .symbols()
            .chain(file.dynamic_symbols())
            .filter(|symbol| is_function(&file, symbol))
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?)))
            .collect();
        // Of two names for the same place the longer function's counts.
        functions.sort_by_key(|(address, size, _)| (*address, *size));
        let section = |id: SectionId| {
            let section = file.section_by_name(id.name());
            let plain = section.filter(|section| {
                section
                    .compressed_file_range()
                    .is_ok_and(|range| range.format == CompressionFormat::None)
            });
            let bytes = plain.and_then(|section| section.data().ok()).unwrap_or_default();
            Ok::<_, gimli::Error>(EndianSlice::new(bytes, LittleEndian))
        };
        let lines = Dwarf::load(section).ok().and_then(|dwarf| Context::from_dwarf(dwarf).ok());
        Some(Self { functions, lines })
    }

    fn function_at(&self, address: u64) -> Option<(u64, &'a str)> {
        let behind = self.functions.partition_point(|(start, ..)| *start <= address);
        let (start, size, name) = *self.functions.get(behind.checked_sub(1)?)?;
        // What was written by hand may not say how long it is.
        (size == 0 || address - start < size).then_some((start, name))
    }

    /// The functions at one step, the innermost inlined one first.
    fn at(&self, step: &Step, bias: u64) -> Option<Vec<Frame>> {
        let address = step.within.wrapping_sub(bias);
        let function = self.function_at(address);
        let mut frames = self.lined(address, step.times);
        match (frames.last_mut(), function) {
            // The debug information has only the last word of a name.
            (Some(outermost), Some((_, name))) => outermost.function = plain(name),
            (Some(_), None) => {}
            (None, function) => {
                let (start, name) = function?;
                let distance = step.address.wrapping_sub(bias).wrapping_sub(start);
                let function = format!("{}+{distance:#x}", plain(name));
                frames.push(Frame { function, place: None, times: step.times });
            }
        }
        Some(frames)
    }

    fn lined(&self, address: u64, times: u32) -> Vec<Frame> {
        let mut found = Vec::new();
        let Some(lines) = &self.lines else { return found };
        let Ok(mut frames) = lines.find_frames(address).skip_all_loads() else { return found };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|name| name.raw_name().ok());
            let place = frame.location.and_then(|location| {
                let file = location.file?;
                Some(location.line.map_or(file.to_owned(), |line| format!("{file}:{line}")))
            });
            let known = name.is_some() || place.is_some();
            let function = name.map_or_else(|| "(unnamed)".to_owned(), |name| plain(&name));
            if known {
                found.push(Frame { function, place, times });
            }
            if found.len() == MOST_FRAMES {
                break;
            }
        }
        found
    }
}

/// Functions, and labels in code: what was written by hand may not say that it is a function.
fn is_function(file: &ElfFile64<'_, Endianness>, symbol: &ElfSymbol64<'_, '_, Endianness>) -> bool {
    let is_code = || {
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        section.is_some_and(|section| section.kind() == SectionKind::Text)
    };
    match symbol.kind() {
        SymbolKind::Text => symbol.section_index().is_some(),
        SymbolKind::Unknown | SymbolKind::Label => is_code(),
        _ => false,
    }
}

/// The name as it stands in the source, without the compiler's hash.
fn plain(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

//! Names and lines for the addresses of a backtrace, out of the files they came from: when somebody reads it, which
//! may be long after. A file that is gone or is another one by now gives no names, and so does one that is too large:
//! its frames are then its name and a distance.
//!
//! The files are read whole and never mapped: one that is cut short meanwhile must not take the host along. Of what they
//! hold, only what was asked for is kept, and no name is looked at beyond its end: a guest's file may name millions of
//! functions, each as long as itself.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use addr2line::gimli::SectionId;
use object::read::elf::{ElfFile64, ElfSection64, ElfSymbol64};
use object::read::{
    CompressionFormat, Object as _, ObjectSection as _, ObjectSymbol as _, ObjectSymbolTable as _,
};
use object::{Endianness, SectionKind, SymbolIndex, SymbolKind};

use crate::debug_info::{Bounded, Bytes, Lines, Purse, plain};
use crate::quantity::ByteSize;
use crate::trace::Frame;

use super::backtrace::Step;
use super::image_file::{self, ImageFile};

/// A file above this is left alone.
const MOST_BYTES: u64 = 256 << 20;

/// What looking up lines may take of the host's memory. Where it would be more, there are none.
const MOST_HELD: ByteSize = ByteSize::mib(1024);

/// Programs have some dozens.
const MOST_SECTIONS: usize = 500;

/// Inlined functions are frames of their own; there is an end to them, too.
const MOST_FRAMES: usize = 256;

/// The frames of a backtrace, innermost first.
pub(super) fn frames(steps: &[Step]) -> Vec<Frame> {
    let mut by_file: HashMap<&Path, Vec<usize>> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        if let Some((file, _)) = &step.image {
            by_file.entry(&file.path).or_default().push(index);
        }
    }
    let mut found: Vec<Vec<Frame>> = steps.iter().map(|step| vec![unnamed(step)]).collect();
    // One file after the other, so that only one is held; and no more frames than there is room for.
    let mut room = MOST_FRAMES;
    for indices in by_file.into_values() {
        let Some((file, _)) = &steps[indices[0]].image else { continue };
        let Some(bytes) = read(file) else { continue };
        let own: Vec<(usize, u64)> = indices
            .into_iter()
            .filter_map(|index| steps[index].image.as_ref().map(|(of, bias)| (index, of, *bias)))
            .filter_map(|(index, of, bias)| (of.mark == file.mark).then_some((index, bias)))
            .collect();
        let wanted = own.iter().map(|(index, bias)| steps[*index].within.wrapping_sub(*bias));
        // It is in memory: to read it again costs nothing.
        let left = Cell::new(u64::MAX);
        let Some(symbols) = Symbols::of(Bounded::new(&bytes, &left), wanted) else { continue };
        for (index, bias) in own {
            if let Some(frames) = symbols.at(&steps[index], bias, room) {
                room -= frames.len();
                found[index] = frames;
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

type Data<'a> = Bounded<'a, &'a [u8]>;
type Elf<'a> = ElfFile64<'a, Endianness, Data<'a>>;
type Symbol<'a, 'f> = ElfSymbol64<'a, 'f, Endianness, Data<'a>>;

struct Symbols<'a> {
    file: Elf<'a>,
    functions: Functions,
    lines: Option<Lines<'a>>,
}

/// The function at each address that is wanted.
struct Functions(Vec<(u64, Option<Function>)>);

#[derive(Clone, Copy)]
struct Function {
    start: u64,
    size: u64,
    name: Named,
}

/// Where the name of a function is, which is read when it is wanted.
#[derive(Clone, Copy)]
enum Named {
    Static(SymbolIndex),
    Dynamic(SymbolIndex),
}

impl Functions {
    fn at_these(wanted: impl Iterator<Item = u64>) -> Self {
        let mut wanted: Vec<_> = wanted.map(|address| (address, None)).collect();
        wanted.sort_by_key(|(address, _)| *address);
        wanted.dedup_by_key(|(address, _)| *address);
        Self(wanted)
    }

    /// Keeps it for the first address behind its beginning, if none before begins nearer.
    fn hear_of(&mut self, function: Function) {
        let at = self.0.partition_point(|(address, _)| *address < function.start);
        let Some((_, known)) = self.0.get_mut(at) else { return };
        // Of two names for the same place the longer function's counts.
        if known.is_none_or(|known| (known.start, known.size) <= (function.start, function.size)) {
            *known = Some(function);
        }
    }

    /// All were heard of: what is nearest to one address may be so to those behind it, too.
    fn complete(mut self) -> Self {
        let mut nearest = None;
        for (_, function) in &mut self.0 {
            nearest = function.or(nearest);
            *function = nearest;
        }
        self
    }

    fn at(&self, address: u64) -> Option<Function> {
        let at = self.0.binary_search_by_key(&address, |(address, _)| *address).ok()?;
        let function = self.0[at].1?;
        // What was written by hand may not say how long it is.
        (function.size == 0 || address - function.start < function.size).then_some(function)
    }
}

impl<'a> Symbols<'a> {
    fn of(bytes: Data<'a>, wanted: impl Iterator<Item = u64>) -> Option<Self> {
        let file = Elf::parse(bytes).ok()?;
        let mut functions = Functions::at_these(wanted);
        let mut hear_of = |symbol: &Symbol<'a, '_>, name| {
            if is_function(&file, symbol) {
                functions.hear_of(Function { start: symbol.address(), size: symbol.size(), name });
            }
        };
        file.symbols().for_each(|it| hear_of(&it, Named::Static(it.index())));
        file.dynamic_symbols().for_each(|it| hear_of(&it, Named::Dynamic(it.index())));
        let functions = functions.complete();
        let lines = lines(&file);
        Some(Self { file, functions, lines })
    }

    fn name(&self, named: Named) -> Option<&'a str> {
        let symbol = match named {
            Named::Static(index) => self.file.symbol_table()?.symbol_by_index(index),
            Named::Dynamic(index) => self.file.dynamic_symbol_table()?.symbol_by_index(index),
        };
        symbol.ok()?.name().ok().filter(|name| !name.is_empty())
    }

    fn function_at(&self, address: u64) -> Option<(u64, &'a str)> {
        let function = self.functions.at(address)?;
        Some((function.start, self.name(function.name)?))
    }

    /// The functions at one step, the innermost inlined one first, and no more than this many.
    fn at(&self, step: &Step, bias: u64, most: usize) -> Option<Vec<Frame>> {
        let address = step.within.wrapping_sub(bias);
        let function = self.function_at(address);
        let mut frames = self.lined(address, step.times, most);
        match (frames.last_mut(), function) {
            // The debug information has only the last word of a name.
            (Some(outermost), Some((_, name))) => outermost.function = plain(name),
            (Some(_), None) => {}
            (None, function) if most > 0 => {
                let (start, name) = function?;
                let distance = step.address.wrapping_sub(bias).wrapping_sub(start);
                let function = format!("{}+{distance:#x}", plain(name));
                frames.push(Frame { function, place: None, times: step.times });
            }
            (None, _) => return None,
        }
        Some(frames)
    }

    fn lined(&self, address: u64, times: u32, most: usize) -> Vec<Frame> {
        let found = self.lines.as_ref().map_or_else(Vec::new, |lines| lines.at(address, most));
        let known = found.into_iter().filter(|it| it.function.is_some() || it.place.is_some());
        known
            .map(|it| {
                let function = it.function.unwrap_or_else(|| "(unnamed)".to_owned());
                Frame { function, place: it.place, times }
            })
            .collect()
    }
}

/// The debug information of a file, which is left alone if it is compressed.
fn lines<'a>(file: &Elf<'a>) -> Option<Lines<'a>> {
    let sections: Vec<(&str, ElfSection64<'a, '_, Endianness, Data<'a>>)> = file
        .sections()
        .take(MOST_SECTIONS)
        .filter_map(|section| Some((section.name().ok()?, section)))
        .collect();
    let bytes_of = |id: SectionId| {
        let (_, section) = sections.iter().find(|(name, _)| *name == id.name())?;
        let range = section.compressed_file_range().ok()?;
        if range.format == CompressionFormat::None { section.data().ok() } else { None }
    };
    let section = |id| Bytes::new(bytes_of(id).unwrap_or_default(), Default::default());
    Lines::open(section, &mut Purse::of(MOST_HELD))
}

/// Functions, and labels in code: what was written by hand may not say that it is a function.
fn is_function(file: &Elf<'_>, symbol: &Symbol<'_, '_>) -> bool {
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

#[cfg(test)]
mod tests;

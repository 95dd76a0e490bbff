//! What it would cost to read debug information, found out without reading it as that does: in memory that does not grow
//! with it, and in time that does not grow faster.
//!
//! A few bytes of it can stand for very much. An entry takes one byte, and one more level of a recursion; a table, a list
//! or a string takes as many as one likes, and is read (or copied) again for each entry that names it.

use std::collections::BTreeSet;

use addr2line::gimli::{
    self, Abbreviation, AttributeValue, DebugAbbrevOffset, Dwarf, EntriesRaw, FileEntry,
    LineInstruction, Reader as _, Section as _, Unit, UnitHeader,
};

use super::Bytes;
use crate::quantity::ByteSize;

/// How deep entries may lie in each other: namespaces, functions, blocks, and what is inlined there. Compilers come to dozens.
const MOST_NESTING: isize = 500;

/// How many facts there are about an entry. Compilers know some twenty.
const MOST_ATTRIBUTES: u64 = 64;

/// The longest name that anything has; mangled ones of generic code have some thousand bytes.
const LONGEST_STRING: usize = 64 << 10;

/// The files of one unit are listed in some ten thousand bytes.
const MOST_OF_A_HEADER: u64 = 1 << 20;

/// What is held for each unit, for each table's byte, for each function and for each range of addresses, where lists grow to
/// twice their length.
const UNIT: u64 = 1024;
const TABLE_BYTE: u64 = 24;
const FUNCTION: u64 = 128;
const RANGE: u64 = 64;

/// What a file is while its unit's list is read, and a directory, in lists that grow.
const LISTED: u64 = 2 * size_of::<FileEntry<Bytes<'static>>>() as u64;
const DIRECTORY: u64 = 2 * size_of::<AttributeValue<Bytes<'static>>>() as u64;

/// What is held for a file: as it is listed, and its path.
const FILE: u64 = LISTED + 2 * size_of::<String>() as u64;

/// What is held for a row of a program of lines, and for a sequence of rows, whose addresses may be those of its unit.
const ROW: u64 = 24;
const SEQUENCE: u64 = 2 * 32 + RANGE;

/// What may still be spent of the host's memory.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    left: u64,
    /// What is laid aside for that which is held only for a moment.
    aside: u64,
}

impl Purse {
    pub(crate) fn of(most: ByteSize) -> Self {
        Self { left: most.as_u64(), aside: 0 }
    }

    /// Spends this much, if it is there.
    fn take(&mut self, cost: u64) -> Option<()> {
        self.left = self.left.checked_sub(cost)?;
        Some(())
    }

    /// Has this much for a moment, if it is there. The next one that wants some has the same.
    fn borrow(&mut self, cost: u64) -> Option<()> {
        self.take(cost.saturating_sub(self.aside))?;
        self.aside = self.aside.max(cost);
        Some(())
    }
}

/// Looks at what all entries refer to: strings and tables. Nothing is there if it is too much.
pub(super) fn check_tables(dwarf: &Dwarf<Bytes<'_>>, purse: &mut Purse) -> Option<()> {
    let strings =
        [dwarf.debug_info.reader(), dwarf.debug_str.reader(), dwarf.debug_line_str.reader()];
    for section in strings {
        let longest = section.slice().split(|byte| *byte == 0).map(<[u8]>::len).max();
        if longest.is_some_and(|longest| longest > LONGEST_STRING) {
            return None;
        }
    }
    let mut seen = BTreeSet::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        purse.take(UNIT)?;
        let DebugAbbrevOffset(offset) = header.debug_abbrev_offset();
        if seen.insert(offset) {
            table(dwarf, offset, purse)?;
        }
    }
    Some(())
}

/// Goes through one table of abbreviations. One that breaks off is read no further by anybody.
fn table(dwarf: &Dwarf<Bytes<'_>>, offset: usize, purse: &mut Purse) -> Option<()> {
    let mut rest = *dwarf.debug_abbrev.reader();
    if rest.skip(offset).is_err() {
        return Some(());
    }
    let mut left = rest.len();
    let mut attributes = 0;
    let mut is_within = false;
    loop {
        let before = (is_within, attributes);
        let read = match is_within {
            false => abbreviation(&mut rest),
            true => attribute(&mut rest),
        };
        purse.take((left - rest.len()) as u64 * TABLE_BYTE)?;
        left = rest.len();
        match (read, before) {
            (Ok(true), (false, _)) => (is_within, attributes) = (true, 0),
            (Ok(true), (true, _)) => attributes += 1,
            (Ok(false), (true, _)) => is_within = false,
            (Ok(false), (false, _)) | (Err(_), _) => return Some(()),
        }
        if attributes > MOST_ATTRIBUTES {
            return None;
        }
    }
}

/// The beginning of an abbreviation: a number, a kind, whether there are entries within. Zero ends the table.
fn abbreviation(rest: &mut Bytes<'_>) -> gimli::Result<bool> {
    if rest.read_uleb128()? == 0 {
        return Ok(false);
    }
    rest.read_uleb128()?;
    rest.read_u8()?;
    Ok(true)
}

/// One of its attributes: a name and a form, of which one has its value here. Two zeros end them.
fn attribute(rest: &mut Bytes<'_>) -> gimli::Result<bool> {
    let (name, form) = (rest.read_uleb128()?, rest.read_uleb128()?);
    if form == u64::from(gimli::DW_FORM_implicit_const.0) {
        rest.read_sleb128()?;
    }
    Ok((name, form) != (0, 0))
}

/// Looks at all units, whose tables were found to be small enough. Nothing is there if they are too much.
pub(super) fn check(dwarf: &Dwarf<Bytes<'_>>, purse: &mut Purse) -> Option<()> {
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        files_are_few(dwarf, &header, purse)?;
        // What can't be read is passed over by who asks for it, too.
        let Ok(unit) = dwarf.unit(header) else { continue };
        files(dwarf, &unit, purse)?;
        entries(dwarf, &unit, purse)?;
    }
    Some(())
}

/// Looks at the length of the list of a unit's files, which is read with the unit. None has two lists, of which this one might
/// look at one, and who reads the unit at the other.
fn files_are_few(
    dwarf: &Dwarf<Bytes<'_>>,
    header: &UnitHeader<Bytes<'_>>,
    purse: &mut Purse,
) -> Option<()> {
    let lists = || {
        let abbreviations = dwarf.abbreviations(header)?;
        // The root is what whoever reads the unit takes for it: entries that are none may stand before it.
        let mut entries = header.entries(&abbreviations);
        let Some(root) = entries.next_dfs()? else { return Ok(Vec::new()) };
        let lists = root.attrs().iter().filter(|it| it.name() == gimli::DW_AT_stmt_list);
        Ok::<_, gimli::Error>(lists.map(gimli::Attribute::value).collect())
    };
    let length = match lists().unwrap_or_default()[..] {
        [] => return Some(()),
        [AttributeValue::DebugLineRef(at)] => length_of_header(dwarf, at.0).unwrap_or(0),
        [_] => return Some(()),
        [_, _, ..] => return None,
    };
    purse.take(length)?;
    // A file may take one byte.
    purse.borrow(length.saturating_mul(LISTED))?;
    (length <= MOST_OF_A_HEADER).then_some(())
}

/// How long the header of a program of lines says that it is.
fn length_of_header(dwarf: &Dwarf<Bytes<'_>>, at: usize) -> gimli::Result<u64> {
    let mut list = *dwarf.debug_line.reader();
    list.skip(at)?;
    let (_, format) = list.read_initial_length()?;
    if list.read_u16()? >= 5 {
        list.skip(2)?;
    }
    Ok(list.read_length(format)? as u64)
}

/// The files of a unit, each of which is made a path, and its program of lines.
fn files(dwarf: &Dwarf<Bytes<'_>>, unit: &Unit<Bytes<'_>>, purse: &mut Purse) -> Option<()> {
    let Some(program) = &unit.line_program else { return Some(()) };
    let header = program.header();
    let length = |value| dwarf.attr_string(unit, value).map_or(0, |text| text.len() as u64);
    let around = unit.comp_dir.map_or(0, |dir| dir.len() as u64);
    for file in header.file_names() {
        let dir = file.directory(header).map_or(0, length);
        purse.take(FILE + 2 * (around + dir + length(file.path_name())))?;
    }
    let directories = header.include_directories().len() as u64 * DIRECTORY;
    purse.take(directories)?;
    let (mut rows, mut longest) = (0, 0);
    let mut instructions = header.instructions();
    while let Ok(Some(instruction)) = instructions.next_instruction(header) {
        match instruction {
            LineInstruction::Special(_) | LineInstruction::Copy => {
                purse.take(ROW)?;
                rows += 1;
                longest = longest.max(rows);
            }
            LineInstruction::EndSequence => {
                purse.take(SEQUENCE)?;
                rows = 0;
            }
            // No compiler ever names a file there, and each would be a path once more.
            LineInstruction::DefineFile(_) => return None,
            _ => {}
        }
    }
    // While it is read, the lists are there once more, and the rows of one sequence in a list that grows.
    let lists = header.file_names().len() as u64 * LISTED + directories;
    purse.borrow(lists + longest * 2 * ROW)
}

/// The entries of a unit, in their order. Where they can't be read on, nobody else does either.
fn entries(dwarf: &Dwarf<Bytes<'_>>, unit: &Unit<Bytes<'_>>, purse: &mut Purse) -> Option<()> {
    let Ok(mut entries) = unit.header.entries_raw(&unit.abbreviations, None) else {
        return Some(());
    };
    // Whoever asks for the addresses of a unit takes its root for one, whatever kind it says it is of.
    let mut is_root = true;
    while !entries.is_empty() {
        if entries.next_depth() > MOST_NESTING {
            return None;
        }
        let abbreviation = match entries.read_abbreviation() {
            Ok(Some(abbreviation)) => abbreviation,
            Ok(None) => continue,
            Err(_) => break,
        };
        purse.take(abbreviation.attributes().len() as u64)?;
        let is_function = matches!(
            abbreviation.tag(),
            gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine
        );
        let has_ranges = std::mem::replace(&mut is_root, false) || is_function;
        let read = match has_ranges {
            true => {
                purse.take(FUNCTION)?;
                ranges(dwarf, unit, &mut entries, abbreviation, purse)?
            }
            false => entries.skip_attributes(abbreviation.attributes()),
        };
        if read.is_err() {
            break;
        }
    }
    Some(())
}

/// The attributes of one entry, and the lists of addresses among them.
fn ranges(
    dwarf: &Dwarf<Bytes<'_>>,
    unit: &Unit<Bytes<'_>>,
    entries: &mut EntriesRaw<'_, Bytes<'_>>,
    abbreviation: &Abbreviation,
    purse: &mut Purse,
) -> Option<gimli::Result<()>> {
    for spec in abbreviation.attributes() {
        let attribute = match entries.read_attribute(*spec) {
            Ok(attribute) => attribute,
            Err(error) => return Some(Err(error)),
        };
        if attribute.name() != gimli::DW_AT_ranges {
            continue;
        }
        if let Ok(Some(offset)) = dwarf.attr_ranges_offset(unit, attribute.value())
            && let Ok(mut list) = dwarf.raw_ranges(unit, offset)
        {
            while let Ok(Some(_)) = list.next() {
                purse.take(RANGE)?;
            }
        }
    }
    Some(Ok(()))
}

use super::*;

use gimli::SectionId;

use crate::quantity::ByteSize;

#[test]
fn names_have_an_end_and_short_ones_are_whole() {
    assert_eq!(plain("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
    for letter in ["n", "é", "€"] {
        let long = plain(&letter.repeat(5000));
        assert!(long.len() <= MOST_SHOWN + '…'.len_utf8() && long.ends_with('…'), "{long}");
    }
}

/// How an entry may be (DWARF 4), each the root of a unit: number, kind, nothing within, attributes.
const KINDS: &[u8] = &[
    1, 0x11, 0, 0x55, 0x17, 0, 0, // a unit: ranges
    2, 0x34, 0, 0x55, 0x17, 0, 0, // a variable, of which nobody asks where it is: ranges
    3, 0x11, 0, 0x11, 0x01, 0x12, 0x06, 0x10, 0x17, 0,
    0, // a unit: low_pc, high_pc, stmt_list
    4, 0x11, 0, 0x11, 0x01, 0x12, 0x06, 0x10, 0x17, 0x10, 0x17, 0,
    0, // the same, with two lists
    0,
];

/// All of the code.
const WHOLE: [u8; 8] = [0, 0, 0, 0, 0xff, 0xff, 0, 0];

/// Sections by their names.
#[derive(Default)]
struct Sections {
    info: Vec<u8>,
    ranges: Vec<u8>,
    line: Vec<u8>,
}

impl Sections {
    fn open(&self, purse: &mut Purse) -> bool {
        let section = |id| match id {
            SectionId::DebugAbbrev => KINDS,
            SectionId::DebugInfo => &self.info,
            SectionId::DebugRanges => &self.ranges,
            SectionId::DebugLine => &self.line,
            _ => &[][..],
        };
        Lines::open(|id| Bytes::new(section(id), LittleEndian), purse).is_some()
    }

    /// Whether it is opened by who has so much.
    fn is_open_for(&self, bytes: usize) -> bool {
        self.open(&mut Purse::of(ByteSize::bytes(bytes as u64)))
    }
}

/// Length, version, where its table is, size of an address, entries.
fn unit(entries: &[&[u8]]) -> Vec<u8> {
    let entries = entries.concat();
    let length = (7 + entries.len() as u32).to_le_bytes();
    [&length[..], &[4, 0, 0, 0, 0, 0, 4], &entries].concat()
}

/// Many units of this kind, which share a list of many ranges.
fn sharing(kind: u8, units: usize, ranges: usize) -> Sections {
    let range = [1_u32, 9].map(u32::to_le_bytes).concat();
    Sections {
        info: unit(&[&[kind], &[0; 4]]).repeat(units),
        ranges: [range.repeat(ranges), vec![0; 8]].concat(),
        ..Sections::default()
    }
}

/// A program of lines (DWARF 5) that lists so many files of one byte each, and then does this.
fn lines(files: usize, instructions: &[u8]) -> Vec<u8> {
    // Lengths of instructions and so on; opcodes from 13 on are special; no directories.
    let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    header.extend([1, 1, 0x0b, 0]);
    // Each has its name in one byte.
    header.extend([1, 1, 0x0b]);
    let count = files as u32;
    header.extend([0, 7, 14, 21].map(|shift| ((count >> shift) as u8 & 0x7f) | 0x80));
    header.push(0);
    header.extend(vec![0; files]);
    let length = (header.len() as u32).to_le_bytes();
    let program = [&[5, 0, 4, 0], &length[..], &header, instructions].concat();
    [&(program.len() as u32).to_le_bytes()[..], &program].concat()
}

#[test]
fn ranges_that_units_share_are_paid_for_by_each_of_them_whatever_kind_they_are_of() {
    for kind in [1, 2] {
        let (units, ranges) = (100, 1000);
        assert!(!sharing(kind, units, ranges).is_open_for(units * ranges * 32), "{kind}");
        assert!(sharing(kind, units, ranges).is_open_for(units * ranges * 80), "{kind}");
        assert!(sharing(kind, 1, ranges).is_open_for(units * ranges * 32), "{kind}");
    }
}

#[test]
fn the_list_of_files_that_is_looked_at_is_the_one_that_is_read() {
    let few = lines(1, &[]);
    let long = [few.clone(), lines(2 << 20, &[])].concat();
    let (at, zero) = ((few.len() as u32).to_le_bytes(), [0; 4]);
    let open = |line: &[u8], entries: &[&[u8]]| {
        let sections = Sections { info: unit(entries), line: line.into(), ..Sections::default() };
        sections.is_open_for(1 << 30)
    };
    assert!(open(&few, &[&[3], &WHOLE, &zero]));
    assert!(open(&few, &[&[0, 0, 3], &WHOLE, &zero]));
    assert!(!open(&long, &[&[3], &WHOLE, &at]));
    assert!(!open(&long, &[&[0, 3], &WHOLE, &at]), "behind what is no entry");
    assert!(!open(&long, &[&[4], &WHOLE, &zero, &at]), "the second one of two");
    assert!(!open(&few, &[&[4], &WHOLE, &zero, &zero]), "nobody has two");
}

#[test]
fn a_list_of_small_files_is_not_read_by_who_could_not_hold_it() {
    let info = unit(&[&[3], &WHOLE, &[0; 4]]);
    let files = 500_000;
    let sections = Sections { info, line: lines(files, &[]), ..Sections::default() };
    assert!(!sections.is_open_for(files * 256));
    assert!(sections.is_open_for(files * 600));
}

#[test]
fn a_row_of_one_byte_is_paid_for_as_it_is_held() {
    let info = unit(&[&[3], &WHOLE, &[0; 4]]);
    let rows = 100_000;
    // Each is one address on.
    let line = lines(1, &vec![0x20; rows]);
    let sections = Sections { info, line, ..Sections::default() };
    assert!(!sections.is_open_for(rows * 48), "in a list that grows to twice its length");
    assert!(sections.is_open_for(rows * 100));
}

#[test]
fn what_is_open_at_once_comes_out_of_one_purse() {
    let sections = sharing(1, 10, 1000);
    let mut purse = Purse::of(ByteSize::bytes(2_000_000));
    let opened = (0..20).filter(|_| sections.open(&mut purse)).count();
    assert_eq!(opened, 3, "{purse:?}");
    assert!(sharing(1, 1, 10).open(&mut purse), "what is too much has cost nothing");
}

#[test]
fn the_index_of_addresses_is_not_asked() {
    let (info, line) = (unit(&[&[3], &[0; 12]]), lines(1, &[]));
    let section = |id| match id {
        SectionId::DebugAranges => panic!("somebody wants it"),
        SectionId::DebugAbbrev => KINDS,
        SectionId::DebugInfo => &info,
        SectionId::DebugLine => &line,
        _ => &[][..],
    };
    let mut purse = Purse::of(ByteSize::mib(1));
    assert!(Lines::open(|id| Bytes::new(section(id), LittleEndian), &mut purse).is_some());
}

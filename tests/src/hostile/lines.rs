//! Debug information in which a few bytes stand for very much: it is read on the host, when a report says where a guest was.

use sandtrap::Label;

use super::decoration::trapping;
use super::{Row, bytes};

/// An entry for each way to be nested (DWARF 4): number, kind, whether there are entries within, attributes.
const KINDS: &[u8] = &[
    1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0, // a unit: low_pc, high_pc
    2, 0x2e, 1, 0x11, 0x01, 0x12, 0x06, 0, 0, // a function: low_pc, high_pc
    3, 0x1d, 1, 0, 0, // inlined, and nothing is said of it
    4, 0x1d, 1, 0x59, 0x0b, 0, 0, // inlined: call_line
    5, 0x1d, 1, 0x11, 0x01, 0x12, 0x06, 0x03, 0x0e, 0, 0, // inlined: low_pc, high_pc, name
    6, 0x1d, 0, 0x55, 0x17, 0, 0, // inlined: ranges
    7, 0x11, 0, 0x11, 0x01, 0x12, 0x06, 0x10, 0x17, 0,
    0, // a unit: low_pc, high_pc, stmt_list
    0,
];

/// All of the code.
const WHOLE: [u8; 8] = [0, 0, 0, 0, 0xff, 0xff, 0, 0];

const MANY: usize = 1 << 20;

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("inlined_a_million_deep", || function(&vec![3; MANY])),
        row("inlined_a_million_deep_with_lines", || function(&[4, 0].repeat(MANY))),
        bytes("a_hundred_inlined_with_an_endless_name", Label::CrashedAbort, || {
            let name = [vec![b'n'; 4 << 20], vec![0]].concat();
            let info = unit(&function(&inlined(100)));
            trapping(&[
                (".debug_abbrev", KINDS.to_vec()),
                (".debug_info", info),
                (".debug_str", name),
            ])
        }),
        bytes("a_hundred_inlined_with_a_long_name", Label::CrashedAbort, || {
            let name = [vec![b'n'; 60_000], vec![0]].concat();
            let info = unit(&function(&inlined(100)));
            trapping(&[
                (".debug_abbrev", KINDS.to_vec()),
                (".debug_info", info),
                (".debug_str", name),
            ])
        }),
        bytes("a_million_inlined_with_a_million_ranges_each", Label::CrashedAbort, || {
            let range: Vec<u8> = [0_u32, 9].into_iter().flat_map(u32::to_le_bytes).collect();
            let info = unit(&function(&[6, 0, 0, 0, 0].repeat(MANY)));
            trapping(&[
                (".debug_abbrev", KINDS.to_vec()),
                (".debug_info", info),
                (".debug_ranges", range.repeat(MANY)),
            ])
        }),
        bytes("a_hundred_thousand_units_of_one_large_table", Label::CrashedAbort, || {
            // Each unit has the table begin one entry later.
            let mut info = Vec::new();
            for at in 0..100_000 {
                info.extend(unit_of(at * 5, &[]));
            }
            let table = [9, 0x34, 0, 0, 0].repeat(200_000);
            trapping(&[(".debug_abbrev", table), (".debug_info", info)])
        }),
        bytes("a_hundred_thousand_units_of_one_list_of_files", Label::CrashedAbort, || {
            let entry = [&[7][..], &WHOLE, &[0; 4]].concat();
            let info = unit(&entry).repeat(100_000);
            trapping(&[
                (".debug_abbrev", KINDS.to_vec()),
                (".debug_info", info),
                (".debug_line", files(100_000)),
            ])
        }),
    ]
}

fn row(name: &'static str, entries: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Row {
    bytes(name, Label::CrashedAbort, move || {
        trapping(&[(".debug_abbrev", KINDS.to_vec()), (".debug_info", unit(&entries()))])
    })
}

/// A unit with one function that has these entries within, which nothing ends.
fn function(within: &[u8]) -> Vec<u8> {
    [&[1][..], &WHOLE, &[2], &WHOLE, within].concat()
}

/// So many entries within each other, with the first of all names.
fn inlined(depth: usize) -> Vec<u8> {
    let mut entries = [&[5][..], &WHOLE, &[0; 4]].concat().repeat(depth);
    entries.extend(vec![0; depth + 2]);
    entries
}

fn unit(entries: &[u8]) -> Vec<u8> {
    unit_of(0, entries)
}

/// Length, version, where its table is, size of an address, entries.
fn unit_of(table: u32, entries: &[u8]) -> Vec<u8> {
    let mut unit = (7 + entries.len() as u32).to_le_bytes().to_vec();
    unit.extend([4, 0]);
    unit.extend(table.to_le_bytes());
    unit.push(4);
    unit.extend(entries);
    unit
}

/// A program of lines that lists this many files and does nothing.
fn files(count: usize) -> Vec<u8> {
    // Lengths of instructions and so on; opcodes from 10 on are special; no directories.
    let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    header.push(0);
    header.extend(b"f\0\0\0\0".repeat(count));
    header.push(0);
    let mut program = vec![4, 0];
    program.extend((header.len() as u32).to_le_bytes());
    program.extend(header);
    let mut list = (program.len() as u32).to_le_bytes().to_vec();
    list.extend(program);
    list
}

//! Files that were made to mislead, or broke: whatever stands in their tables, a look at them ends, and what it finds is
//! no longer than it may be.

use super::*;
use crate::native::backtrace::tests::pseudo_random;

const TEXT: u64 = 0x1000;
const HEADER: usize = 64;
/// The sections of the files here, by where their headers are.
const OF_SYMBOLS: usize = 2;
const OF_STRINGS: usize = 3;
const OF_NAMES: usize = 4;
const SECTIONS: usize = 5;
/// Where the fields of a section's header are.
const NAME: usize = 0;
const FLAGS: usize = 8;
const OFFSET: usize = 24;
const SIZE: usize = 32;
const LINK: usize = 40;
const ENTRY_SIZE: usize = 56;

/// A function of the table: where its name begins, where it begins itself, and its length.
type Row = (u32, u64, u64);

/// A file with code at `TEXT`, a table of symbols and their names.
fn elf(symbols: &[Row], strings: &[u8]) -> Vec<u8> {
    elf_with(".text", symbols, strings)
}

/// Its name's place, its kind, its flags, what is in it, where its names are, and how long an entry is.
type Section<'a> = (u32, u32, u64, &'a [u8], u32, u64);

/// The same with another name for the section of the code.
fn elf_with(code: &str, symbols: &[Row], strings: &[u8]) -> Vec<u8> {
    let names = format!("\0.symtab\0.strtab\0.shstrtab\0{code}\0");
    let mut table = vec![0; 24];
    for (name, address, size) in symbols {
        table.extend(name.to_le_bytes());
        // A function that others may see, in the first section.
        table.extend([0x12, 0, 1, 0]);
        table.extend(address.to_le_bytes());
        table.extend(size.to_le_bytes());
    }
    let mut bytes = vec![0; HEADER];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let fields: [(usize, u16); 8] = [
        (16, 2),
        (18, 62),
        (20, 1),
        (52, 64),
        (54, 56),
        (58, 64),
        (60, SECTIONS as u16),
        (62, OF_NAMES as u16),
    ];
    for (at, value) in fields {
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    let mut headers = vec![0; HEADER];
    let parts: [Section<'_>; 4] = [
        (27, 1, 6, &[0x90; 64], 0, 0),
        (1, 2, 0, &table, OF_STRINGS as u32, 24),
        (9, 3, 0, strings, 0, 0),
        (17, 3, 0, names.as_bytes(), 0, 0),
    ];
    for (name, kind, flags, content, link, entry_size) in parts {
        headers.extend(name.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        let address = if flags > 0 { TEXT } else { 0 };
        for word in [flags, address, bytes.len() as u64, content.len() as u64] {
            headers.extend(word.to_le_bytes());
        }
        headers.extend(link.to_le_bytes());
        headers.extend([0; 4]);
        headers.extend([1, entry_size].map(u64::to_le_bytes).concat());
        bytes.extend(content);
    }
    let table_at = bytes.len() as u64;
    bytes[40..48].copy_from_slice(&table_at.to_le_bytes());
    bytes.extend(headers);
    bytes
}

/// A usual one.
fn usual() -> Vec<u8> {
    elf(&[(1, TEXT, 16), (7, TEXT + 32, 0)], b"\0first\0second\0")
}

/// Where a field of a section's header is.
fn field(bytes: &[u8], section: usize, field: usize) -> usize {
    let table = u64::from_le_bytes(*bytes[40..].first_chunk().unwrap()) as usize;
    table + section * HEADER + field
}

/// What a look at these addresses finds. `None` where the file can't be taken apart.
fn found(bytes: &[u8], addresses: &[u64]) -> Option<Vec<Option<String>>> {
    let left = Cell::new(u64::MAX);
    let symbols = Symbols::of(Bounded::new(bytes, &left), addresses.iter().copied())?;
    let names = addresses.iter().map(|address| {
        let step = Step { address: *address, within: *address, image: None, times: 1 };
        let frames = symbols.at(&step, 0, MOST_FRAMES)?;
        assert!(frames.len() == 1 && frames[0].function.len() < 1200, "{frames:?}");
        Some(frames[0].function.clone())
    });
    Some(names.collect())
}

/// No name for any of them, or no file at all.
#[track_caller]
fn assert_nameless(bytes: &[u8]) {
    let names = found(bytes, &[TEXT, TEXT + 8, TEXT + 40]).unwrap_or_default();
    assert!(names.iter().all(Option::is_none), "{names:?}");
}

#[test]
fn an_address_is_in_the_nearest_function_before_it_that_reaches_so_far() {
    let wanted = [TEXT + 40, TEXT + 8, TEXT - 1, TEXT + 16, TEXT, TEXT + 8, u64::MAX];
    let names = ["second+0x8", "first+0x8", "", "", "first+0x0", "first+0x8"];
    let names = names.map(|name| (!name.is_empty()).then(|| name.to_owned()));
    let endless = Some(format!("second+{:#x}", u64::MAX - TEXT - 32));
    assert_eq!(found(&usual(), &wanted), Some([&names[..], &[endless]].concat()));
    // Of those that begin at one place the longest, and of two as long the last.
    let rows = [(7, TEXT, 9), (1, TEXT, 16), (7, TEXT, 16), (1, TEXT, 3)];
    let names = found(&elf(&rows, b"\0first\0second\0"), &[TEXT + 9]);
    assert_eq!(names, Some(vec![Some("second+0x9".to_owned())]));
}

#[test]
fn a_file_that_was_cut_anywhere_gives_no_names() {
    let whole = usual();
    for length in 0..whole.len() {
        assert_nameless(&whole[..length]);
    }
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    for part in 0..256 {
        assert_nameless(&own[..own.len() / 256 * part]);
    }
}

#[test]
fn whatever_was_written_over_a_file_it_is_looked_at_to_an_end() {
    let whole = elf(
        &[(1, TEXT, 16), (7, TEXT + 32, 0), (14, TEXT + 32, 8)],
        b"\0first\0second\0.debug_info\0",
    );
    for seed in 0..20_000 {
        let (mut random, mut bytes) = (pseudo_random(seed), whole.clone());
        for _ in 0..=random() % 6 {
            let at = random() as usize % bytes.len();
            // Often what is next to an end of what fits there.
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random() as u8][random() as usize % 6];
        }
        let _ = found(&bytes, &[0, TEXT, TEXT + 8, TEXT + 40, u64::MAX]);
    }
}

#[test]
fn tables_that_are_nowhere_too_long_or_part_of_themselves_give_no_names() {
    let spoiled = |at: usize, value: &[u8]| {
        let mut bytes = usual();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    let (whole, far) = (usual(), u64::MAX.to_le_bytes());
    // The table of sections is nowhere, of headers of another length, or has no section of names.
    for value in [far, (whole.len() as u64).to_le_bytes(), (u64::MAX - 63).to_le_bytes()] {
        assert_nameless(&spoiled(40, &value));
    }
    assert_nameless(&spoiled(58, &63_u16.to_le_bytes()));
    assert_nameless(&spoiled(60, &u16::MAX.to_le_bytes()));
    assert_nameless(&spoiled(62, &0xfff0_u16.to_le_bytes()));
    for section in [OF_SYMBOLS, OF_STRINGS] {
        for (part, value) in [
            (OFFSET, far),
            (OFFSET, (whole.len() as u64 + 1).to_le_bytes()),
            (SIZE, far),
            (SIZE, (u64::MAX - 23).to_le_bytes()),
            // As long as an offset of four bytes reaches.
            (SIZE, (1_u64 << 32).to_le_bytes()),
        ] {
            assert_nameless(&spoiled(field(&whole, section, part), &value));
        }
    }
    // The names are the table itself, or the table is of itself.
    for link in [OF_SYMBOLS, SECTIONS, 0, usize::MAX] {
        let link = (link as u32).to_le_bytes();
        assert_nameless(&spoiled(field(&whole, OF_SYMBOLS, LINK), &link));
    }
    // Names of sections beyond all names, and symbols of no length: both are nobody's here.
    for (section, part) in [(OF_STRINGS, NAME), (OF_NAMES, NAME), (OF_SYMBOLS, ENTRY_SIZE)] {
        let _ = found(&spoiled(field(&whole, section, part), &[0xff; 4]), &[TEXT]);
    }
}

#[test]
fn more_sections_than_there_can_be_are_counted_in_the_first_and_not_believed() {
    let whole = usual();
    let mut bytes = whole.clone();
    bytes[60..62].copy_from_slice(&[0; 2]);
    for count in [u64::MAX, 1 << 32, 1 << 20, SECTIONS as u64 + 1] {
        let at = field(&whole, 0, SIZE);
        bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
        assert_nameless(&bytes);
    }
    let at = field(&whole, 0, SIZE);
    bytes[at..at + 8].copy_from_slice(&(SECTIONS as u64).to_le_bytes());
    assert_eq!(found(&bytes, &[TEXT]), Some(vec![Some("first+0x0".to_owned())]));
}

#[test]
fn debug_information_that_is_compressed_or_says_so_is_left_alone() {
    for name in [".debug_info", ".zdebug_info", ".debug_line", ".debug_abbrev", ".debug_str"] {
        for flags in [0x806_u64, 0x800, 0, u64::MAX] {
            let mut bytes = elf_with(name, &[(1, TEXT, 16)], b"\0first\0");
            let at = field(&bytes, 1, FLAGS);
            bytes[at..at + 8].copy_from_slice(&flags.to_le_bytes());
            // By `zlib`, to as much as there can be.
            bytes[HEADER..HEADER + 4].copy_from_slice(&1_u32.to_le_bytes());
            bytes[HEADER + 8..HEADER + 16].copy_from_slice(&u64::MAX.to_le_bytes());
            assert_eq!(found(&bytes, &[TEXT]), Some(vec![Some("first+0x0".to_owned())]), "{name}");
        }
    }
}

#[test]
fn a_name_without_an_end_is_none_and_one_that_is_too_long_is_cut() {
    let rows = [(1, TEXT, 16)];
    assert_nameless(&elf(&rows, b"\0first"));
    assert_nameless(&elf(&[(0, TEXT, 16)], b"\0first\0"));
    assert_nameless(&elf(&rows, b"\0\xff\xfe\0"));
    assert_nameless(&elf(&[(u32::MAX, TEXT, 16)], b"\0first\0"));
    let long = [&b"\0"[..], &vec![b'n'; 1 << 20]].concat();
    for strings in [long.clone(), [&long[..], b"\0"].concat()] {
        let names = found(&elf(&rows, &strings), &[TEXT]).unwrap();
        let name = names[0].as_deref().unwrap();
        assert!(name.starts_with("nnnn") && name.ends_with("…+0x0"), "{name}");
    }
}

#[test]
fn of_very_many_functions_only_those_are_kept_that_are_wanted() {
    let rows: Vec<Row> = (0..100_000).map(|at| (1, TEXT + at, 1)).collect();
    let bytes = elf(&rows, b"\0first\0");
    let left = Cell::new(u64::MAX);
    let wanted = [TEXT + 5, TEXT + 99_999, TEXT + 100_000];
    let symbols = Symbols::of(Bounded::new(&bytes, &left), wanted.into_iter()).unwrap();
    assert_eq!(symbols.functions.0.len(), wanted.len());
    let of = |address| symbols.function_at(address).map(|(start, _)| start);
    assert_eq!(wanted.map(of), [Some(TEXT + 5), Some(TEXT + 99_999), None]);
}

#[test]
fn a_file_that_is_empty_or_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    let mut with_segments = usual();
    // The mark of a file is taken from its segments.
    with_segments[32..40].copy_from_slice(&64_u64.to_le_bytes());
    with_segments[54..58].copy_from_slice(&[56, 0, 1, 0]);
    with_segments[64..68].copy_from_slice(&1_u32.to_le_bytes());
    std::fs::write(&path, &with_segments).unwrap();
    let mark = image_file::mark_of_file(&with_segments).unwrap();
    let image = ImageFile { path: path.clone(), mark };
    assert_eq!(read(&image), Some(with_segments));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for length in [MOST_BYTES + 1, u64::MAX >> 24, 0, 100] {
        file.set_len(length).unwrap();
        assert_eq!(read(&image), None, "{length}");
    }
}

//! How large each part of a module may be. Looked at before any compiler, in one pass over the bytes and in
//! memory that does not grow with the module.
//!
//! A compiler's time and memory do not follow a module's size but its shape: a byte can declare fifty thousand
//! locals, and two can open one more block. The numbers here stand several times above what real programs have
//! (Python, compilers for whole languages, placement tools for chips, programs in Go) and at or below what the
//! engine itself would take. What they let through is still compiled under limits of time and memory.

use std::io::{self, BufRead, Read};

use wasmparser::{BinaryReader, Operator, OperatorsReader};

/// The header, then sections.
const VERSION_BYTES: usize = 8;

/// Python has 12 thousand functions, large programs in C++ or Go a hundred thousand.
const MOST_FUNCTIONS: u32 = 500_000;

/// A type for each distinct signature, or class: some hundreds to some thousands. Groups of them count as their
/// members: the engine keeps each type for itself.
const MOST_TYPES: u32 = 100_000;

/// Parameters, results and fields of all types together, which are declared in a few bytes each.
const MOST_TYPE_BYTES: u32 = 4 << 20;

/// Bindings to a browser import a few thousand functions; programs for WASI fifty.
const MOST_IMPORTS: u32 = 20_000;

/// A program that others link to at run time exports everything: some ten thousand names.
const MOST_EXPORTS: u32 = 200_000;

/// One for each symbol of a program that is linked at run time; otherwise a handful.
const MOST_GLOBALS: u32 = 100_000;

/// Linkers write one for each piece of data at the most: some thousands.
const MOST_SEGMENTS: u32 = 100_000;

/// Lists of functions to be called through pointers: four bytes for each function.
const MOST_ELEMENT_BYTES: u32 = 16 << 20;

/// All that is declared before the code: types, imports, exports and the like, each of them.
const MOST_DECLARATION_BYTES: u32 = 32 << 20;

/// The largest functions of real programs (interpreters, instruction selectors) have half a megabyte.
const MOST_BODY_BYTES: u32 = 4 << 20;

/// Go and C++ have some thousands in their largest functions. Each one is a variable for the compiler.
const MOST_LOCALS: u32 = 20_000;

/// The same, of all functions together. Two hundred thousand functions with fifty each.
const MOST_LOCALS_TOGETHER: u64 = 10_000_000;

/// A switch of a thousand cases is a thousand blocks, and Go makes one of every function.
const MOST_NESTING: u32 = 50_000;

/// The cases of one switch.
const MOST_TARGETS: u32 = 65_536;

/// Why a look at a module ended early.
#[derive(Debug)]
pub(super) enum Early {
    /// Something is larger than allowed.
    TooMuch(String),
    /// It is cut off or malformed. What exactly is wrong the compiler says, in words with a place.
    Broken,
    /// It can't be read.
    Unreadable(io::Error),
}

impl From<io::Error> for Early {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Broken,
            _ => Self::Unreadable(error),
        }
    }
}

impl From<Early> for io::Error {
    fn from(early: Early) -> Self {
        match early {
            Early::TooMuch(words) => Self::new(io::ErrorKind::InvalidData, words),
            Early::Broken => io::ErrorKind::UnexpectedEof.into(),
            Early::Unreadable(error) => error,
        }
    }
}

/// Looks at a whole module, from its first byte on.
pub(super) fn check(module: &mut impl BufRead) -> Result<(), Early> {
    skip(module, VERSION_BYTES as u64)?;
    while !module.fill_buf()?.is_empty() {
        let id = byte(module)?;
        let size = number(module)?;
        section(id, size, module)?;
    }
    Ok(())
}

fn section(id: u8, size: u32, module: &mut impl BufRead) -> Result<(), Early> {
    const TYPES: u8 = 1;
    const CODE: u8 = 10;
    let (what, most, most_bytes) = match id {
        TYPES => ("types", MOST_TYPES, MOST_TYPE_BYTES),
        2 => ("imports", MOST_IMPORTS, MOST_DECLARATION_BYTES),
        3 => ("functions", MOST_FUNCTIONS, MOST_DECLARATION_BYTES),
        6 => ("globals", MOST_GLOBALS, MOST_DECLARATION_BYTES),
        7 => ("exports", MOST_EXPORTS, MOST_DECLARATION_BYTES),
        9 => ("element segments", MOST_SEGMENTS, MOST_ELEMENT_BYTES),
        CODE => ("functions", MOST_FUNCTIONS, u32::MAX),
        // As much data as the module has room for: it is copied, and not compiled.
        11 => ("data segments", MOST_SEGMENTS, u32::MAX),
        // Names, debug information; tables, memories and tags, of which the engine allows a hundred.
        _ => return skip(module, size.into()),
    };
    limit(&format!("bytes of {what}"), size, most_bytes)?;
    let mut section = module.take(size.into());
    let count = number(&mut section)?;
    limit(what, count, most)?;
    match id {
        TYPES => types(count, &mut section)?,
        CODE => code(count, &mut section)?,
        _ => {}
    }
    let rest = section.limit();
    skip(&mut section, rest)
}

/// Counts the types in their groups.
fn types(groups: u32, section: &mut impl BufRead) -> Result<(), Early> {
    const GROUP: u8 = 0x4e;
    let mut bytes = Vec::new();
    section.read_to_end(&mut bytes)?;
    let mut reader = BinaryReader::new(&bytes, 0);
    let mut count = 0_u32;
    for _ in 0..groups {
        let is_group = bytes.get(reader.original_position()) == Some(&GROUP);
        let members = match is_group {
            true => reader.read_u8().and_then(|_| reader.read_var_u32()),
            false => Ok(1),
        };
        let Ok(members) = members else { return Err(Early::Broken) };
        count = count.saturating_add(members);
        limit("types", count, MOST_TYPES)?;
        for _ in 0..members {
            if reader.read::<wasmparser::SubType>().is_err() {
                return Err(Early::Broken);
            }
        }
    }
    Ok(())
}

fn code(count: u32, section: &mut impl BufRead) -> Result<(), Early> {
    let mut body = Vec::new();
    let mut locals = 0_u64;
    for index in 0..count {
        let size = number(section)?;
        limit(&format!("bytes in function {index} of its code"), size, MOST_BODY_BYTES)?;
        body.clear();
        section.take(size.into()).read_to_end(&mut body)?;
        if body.len() < size as usize {
            return Err(Early::Broken);
        }
        locals += u64::from(function(index, &body)?);
        if locals > MOST_LOCALS_TOGETHER {
            let words =
                format!("more than {MOST_LOCALS_TOGETHER} locals in all functions together");
            return Err(Early::TooMuch(words));
        }
    }
    Ok(())
}

/// Looks at one function and says how many locals it declares.
fn function(index: u32, body: &[u8]) -> Result<u32, Early> {
    let mut reader = BinaryReader::new(body, 0);
    let mut locals = 0_u32;
    // What can't be decoded is left to the compiler, which does not get past it either.
    let Ok(groups) = reader.read_var_u32() else { return Err(Early::Broken) };
    for _ in 0..groups {
        let Ok(count) = reader.read_var_u32() else { return Err(Early::Broken) };
        locals = locals.saturating_add(count);
        limit(&format!("locals in function {index} of its code"), locals, MOST_LOCALS)?;
        if reader.read::<wasmparser::ValType>().is_err() {
            return Err(Early::Broken);
        }
    }
    let mut operators = OperatorsReader::new(reader);
    let mut depth = 0_u32;
    while !operators.eof() {
        let Ok(operator) = operators.read() else { return Err(Early::Broken) };
        match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => {
                depth += 1;
                limit(
                    &format!("nested blocks in function {index} of its code"),
                    depth,
                    MOST_NESTING,
                )?;
            }
            Operator::End => depth = depth.saturating_sub(1),
            Operator::BrTable { targets } => {
                limit("targets of one switch", targets.len(), MOST_TARGETS)?;
            }
            _ => {}
        }
    }
    Ok(locals)
}

fn limit(what: &str, found: u32, most: u32) -> Result<(), Early> {
    if found <= most {
        return Ok(());
    }
    Err(Early::TooMuch(format!("{found} {what}; the most that is compiled is {most}")))
}

fn skip(module: &mut impl BufRead, bytes: u64) -> Result<(), Early> {
    let skipped = io::copy(&mut module.take(bytes), &mut io::sink())?;
    if skipped < bytes { Err(Early::Broken) } else { Ok(()) }
}

pub(super) fn byte(module: &mut impl BufRead) -> Result<u8, Early> {
    let mut byte = [0];
    module.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A number in the format of modules: seven bits in each byte, the last one without its highest bit.
pub(super) fn number(module: &mut impl BufRead) -> Result<u32, Early> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = byte(module)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| Early::Broken);
        }
    }
    Err(Early::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leb(mut value: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let more = value > 0x7f;
            bytes.push((value & 0x7f) as u8 | if more { 0x80 } else { 0 });
            value >>= 7;
            if !more {
                return bytes;
            }
        }
    }

    fn module(id: u8, section: &[u8]) -> Vec<u8> {
        [b"\0asm\x01\0\0\0", &[id][..], &leb(section.len() as u32), section].concat()
    }

    fn code(body: &[u8]) -> Vec<u8> {
        module(10, &[&[1][..], &leb(body.len() as u32), body].concat())
    }

    fn too_much(module: &[u8]) -> Option<String> {
        match check(&mut &module[..]) {
            Err(Early::TooMuch(words)) => Some(words),
            _ => None,
        }
    }

    #[track_caller]
    fn assert_bounded(at_most: &[u8], one_more: &[u8], words: &str) {
        assert_eq!(too_much(at_most), None, "{words}");
        let found = too_much(one_more).expect(words);
        assert!(found.contains(words), "{found}");
    }

    #[test]
    fn what_is_declared_is_counted_before_it_is_read() {
        for (id, most, words) in [
            (1, MOST_TYPES, "100001 types; the most that is compiled is 100000"),
            (2, MOST_IMPORTS, "imports"),
            (3, MOST_FUNCTIONS, "500001 functions"),
            (6, MOST_GLOBALS, "globals"),
            (7, MOST_EXPORTS, "exports"),
            (9, MOST_SEGMENTS, "element segments"),
            (10, MOST_FUNCTIONS, "functions"),
            (11, MOST_SEGMENTS, "data segments"),
        ] {
            assert_bounded(&module(id, &leb(most)), &module(id, &leb(most + 1)), words);
        }
    }

    #[test]
    fn a_section_and_a_body_have_a_largest_size() {
        let sized = |id: u8, size| [b"\0asm\x01\0\0\0", &[id][..], &leb(size)].concat();
        for (id, most, words) in [
            (2, MOST_DECLARATION_BYTES, "bytes of imports"),
            (9, MOST_ELEMENT_BYTES, "bytes of element segments"),
        ] {
            assert_bounded(&sized(id, most), &sized(id, most + 1), words);
        }
        let body = |size| [&sized(10, 100)[..], &[1], &leb(size)].concat();
        assert_bounded(&body(MOST_BODY_BYTES), &body(MOST_BODY_BYTES + 1), "bytes in function 0");
    }

    #[test]
    fn types_in_groups_are_counted_each_for_itself() {
        let one = [0x5f, 0];
        let grouped = |groups: u32, members: u32| {
            let group = [&[0x4e][..], &leb(members), &one.repeat(members as usize)].concat();
            module(1, &[leb(groups), group.repeat(groups as usize)].concat())
        };
        assert_bounded(&grouped(1, MOST_TYPES), &grouped(1, MOST_TYPES + 1), "100001 types");
        assert_bounded(&grouped(100, MOST_TYPES / 100), &grouped(101, MOST_TYPES / 100), "types");
    }

    #[test]
    fn locals_are_summed_over_their_groups_and_over_all_functions() {
        let locals = |groups: &[u32]| {
            let groups_of = groups.iter().flat_map(|count| [&leb(*count)[..], &[0x7f]].concat());
            code(
                &leb(groups.len() as u32)
                    .into_iter()
                    .chain(groups_of)
                    .chain([0x0b])
                    .collect::<Vec<_>>(),
            )
        };
        assert_bounded(&locals(&[1, MOST_LOCALS - 1]), &locals(&[1, MOST_LOCALS]), "locals in");
        assert_bounded(&locals(&[1]), &locals(&[u32::MAX, u32::MAX]), "locals in");
        let body = [&[1][..], &leb(MOST_LOCALS), &[0x7f, 0x0b]].concat();
        let many = |count: u32| {
            let one = [&leb(body.len() as u32)[..], &body].concat();
            module(10, &[leb(count), one.repeat(count as usize)].concat())
        };
        assert_bounded(&many(500), &many(501), "locals in all functions together");
    }

    #[test]
    fn blocks_and_switches_are_counted() {
        let nested = |depth: u32| {
            code(
                &[
                    &[0][..],
                    &[0x02, 0x40].repeat(depth as usize),
                    &[0x0b].repeat(depth as usize + 1),
                ]
                .concat(),
            )
        };
        assert_bounded(&nested(MOST_NESTING), &nested(MOST_NESTING + 1), "nested blocks");
        let flat = code(&[&[0][..], &[0x02, 0x40, 0x0b].repeat(60_000), &[0x0b]].concat());
        assert_eq!(too_much(&flat), None, "blocks beside each other are not nested");
        let switch = |targets: u32| {
            code(
                &[&[0, 0x41, 0, 0x0e][..], &leb(targets), &vec![0; targets as usize + 1], &[0x0b]]
                    .concat(),
            )
        };
        assert_bounded(&switch(MOST_TARGETS), &switch(MOST_TARGETS + 1), "targets of one switch");
    }

    #[test]
    fn what_is_broken_is_left_to_the_compiler() {
        for bytes in [
            &b"\0asm"[..],
            b"\0asm\x01\0\0\0\x01\x05",
            b"\0asm\x01\0\0\0\x0a\x04\x01\x02\x00\xff",
            b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff",
            b"\0asm\x01\0\0\0\x03\xff\xff\xff\xff\x1f",
        ] {
            assert!(matches!(check(&mut &bytes[..]), Err(Early::Broken)), "{bytes:?}");
        }
    }
}

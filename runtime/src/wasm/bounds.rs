//! How large each part of a module may be. Looked at before any compiler, in one pass over the bytes and in
//! memory that does not grow with the module.
//!
//! A compiler's time and memory do not follow a module's size but its shape: a byte can declare fifty thousand
//! locals, and two can open one more block. The numbers here stand several times above what real programs have
//! (Python, compilers for whole languages, placement tools for chips, programs in Go) and at or below what the
//! engine itself would take. What they let through is still compiled under limits of time and memory.
//!
//! What a module declares costs the host twice: its compiler, and the engine that keeps it (`kept`). The modules of a
//! component count together.

mod kept;

use std::io::{self, BufRead, Read};

use wasmparser::{BinaryReader, Operator, OperatorsReader, SubType};

use kept::Kept;

/// The header, then sections.
const VERSION_BYTES: usize = 8;

/// What the second half of a header's version is in a component.
const COMPONENT: [u8; 2] = [1, 0];

/// Python has 12 thousand functions, large programs in C++ or Go a hundred thousand.
const MOST_FUNCTIONS: u32 = 500_000;

/// A type for each distinct signature, or class: some hundreds to some thousands. Groups of them count as their
/// members: the engine keeps each type for itself.
const MOST_TYPES: u32 = 30_000;

/// They are read as a whole. Those of large programs with classes have some hundred thousand bytes.
const MOST_TYPE_BYTES: u64 = 1 << 20;

/// Bindings to a browser import a few thousand functions; programs for WASI fifty.
const MOST_IMPORTS: u32 = 20_000;

/// A program that others link to at run time exports everything: some ten thousand names.
const MOST_EXPORTS: u32 = 200_000;

/// One for each symbol of a program that is linked at run time; otherwise a handful.
const MOST_GLOBALS: u32 = 100_000;

/// Linkers write one for each piece of data at the most: some thousands.
const MOST_SEGMENTS: u32 = 100_000;

/// Lists of functions to be called through pointers: one to four bytes for each function.
const MOST_ELEMENT_BYTES: u64 = 4 << 20;

/// All that is declared before the code: imports, exports and the like, each of them.
const MOST_DECLARATION_BYTES: u64 = 8 << 20;

/// The largest functions of real programs (interpreters, instruction selectors) have half a megabyte.
const MOST_BODY_BYTES: u64 = 4 << 20;

/// Go and C++ have some thousands in their largest functions. Each one is a variable for the compiler.
const MOST_LOCALS: u32 = 20_000;

/// The same, of all functions together. Two hundred thousand functions with fifty each.
const MOST_LOCALS_TOGETHER: u64 = 10_000_000;

/// A switch of a thousand cases is a thousand blocks, and Go makes one of every function.
const MOST_NESTING: u32 = 50_000;

/// The cases of one switch.
const MOST_TARGETS: u32 = 65_536;

/// Components within components: tools that put some together nest them two or three deep.
const MOST_DEPTH: u32 = 50;

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

/// Looks at a whole module or component, from its first byte on.
pub(super) fn check(binary: &mut dyn BufRead) -> Result<(), Early> {
    Tally::default().binary(binary, 0)
}

/// What was counted so far, of all modules of a component together.
#[derive(Default)]
struct Tally {
    /// What each section of a module declares, by the number of the section.
    counts: [u32; 12],
    bytes: [u64; 12],
    types: u32,
    locals: u64,
    kept: Kept,
}

impl Tally {
    fn binary(&mut self, binary: &mut dyn BufRead, depth: u32) -> Result<(), Early> {
        let mut version = [0; VERSION_BYTES];
        binary.read_exact(&mut version)?;
        limit("components within each other", depth, MOST_DEPTH)?;
        let is_component = version.ends_with(&COMPONENT);
        while !binary.fill_buf()?.is_empty() {
            let id = byte(binary)?;
            let size = number(binary)?;
            match is_component {
                true => self.component_section(id, size, binary, depth)?,
                false => self.section(id, size, binary)?,
            }
        }
        Ok(())
    }

    fn component_section(
        &mut self,
        id: u8,
        size: u32,
        component: &mut dyn BufRead,
        depth: u32,
    ) -> Result<(), Early> {
        const CUSTOM: u8 = 0;
        const MODULE: u8 = 1;
        const INNER: u8 = 4;
        match id {
            CUSTOM => skip(component, size.into()),
            MODULE | INNER => {
                let mut inner = component.take(size.into());
                self.binary(&mut inner, depth + 1)?;
                if inner.limit() == 0 { Ok(()) } else { Err(Early::Broken) }
            }
            _ => {
                self.kept.component(size)?;
                skip(component, size.into())
            }
        }
    }

    fn section(&mut self, id: u8, size: u32, module: &mut dyn BufRead) -> Result<(), Early> {
        const ANY: u64 = u64::MAX;
        let (what, most, most_bytes) = match id {
            1 => ("types", MOST_TYPES, MOST_TYPE_BYTES),
            2 => ("imports", MOST_IMPORTS, MOST_DECLARATION_BYTES),
            3 => ("functions", MOST_FUNCTIONS, MOST_DECLARATION_BYTES),
            6 => ("globals", MOST_GLOBALS, MOST_DECLARATION_BYTES),
            7 => ("exports", MOST_EXPORTS, MOST_DECLARATION_BYTES),
            9 => ("element segments", MOST_SEGMENTS, MOST_ELEMENT_BYTES),
            10 => ("functions", MOST_FUNCTIONS, ANY),
            // As much data as the module has room for: it is copied, and not compiled.
            11 => ("data segments", MOST_SEGMENTS, ANY),
            // Names, debug information; tables, memories and tags, of which the engine allows a hundred.
            _ => return skip(module, size.into()),
        };
        let place = usize::from(id);
        self.bytes[place] = self.bytes[place].saturating_add(size.into());
        limit_bytes(&format!("bytes of {what}"), self.bytes[place], most_bytes)?;
        let mut section = module.take(size.into());
        let count = number(&mut section)?;
        self.counts[place] = self.counts[place].saturating_add(count);
        limit(what, self.counts[place], most)?;
        match id {
            1 => self.types(count, &mut section)?,
            2 => self.kept.imports(count, size)?,
            6 => self.kept.globals(count)?,
            7 => self.kept.exports(count, size)?,
            9 => self.kept.elements(&mut section)?,
            10 => self.code(count, &mut section)?,
            11 => self.kept.data_segments(count)?,
            _ => {}
        }
        let rest = section.limit();
        skip(&mut section, rest)
    }

    /// Counts the types in their groups.
    fn types(&mut self, groups: u32, section: &mut dyn BufRead) -> Result<(), Early> {
        const GROUP: u8 = 0x4e;
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes)?;
        let mut reader = BinaryReader::new(&bytes, 0);
        for _ in 0..groups {
            let is_group = bytes.get(reader.original_position()) == Some(&GROUP);
            let members = match is_group {
                true => reader.read_u8().and_then(|_| reader.read_var_u32()),
                false => Ok(1),
            };
            let Ok(members) = members else { return Err(Early::Broken) };
            self.types = self.types.saturating_add(members);
            limit("types", self.types, MOST_TYPES)?;
            for _ in 0..members {
                let Ok(ty) = reader.read::<SubType>() else { return Err(Early::Broken) };
                self.kept.a_type(&ty)?;
            }
        }
        Ok(())
    }

    fn code(&mut self, count: u32, section: &mut dyn BufRead) -> Result<(), Early> {
        self.kept.functions(count)?;
        let mut body = Vec::new();
        for index in 0..count {
            let size = number(section)?;
            let what = format!("bytes in function {index} of its code");
            limit_bytes(&what, size.into(), MOST_BODY_BYTES)?;
            body.clear();
            section.take(size.into()).read_to_end(&mut body)?;
            if body.len() < size as usize {
                return Err(Early::Broken);
            }
            self.locals += u64::from(function(index, &body)?);
            if self.locals > MOST_LOCALS_TOGETHER {
                let words =
                    format!("more than {MOST_LOCALS_TOGETHER} locals in all functions together");
                return Err(Early::TooMuch(words));
            }
        }
        Ok(())
    }
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
    limit_bytes(what, found.into(), most.into())
}

fn limit_bytes(what: &str, found: u64, most: u64) -> Result<(), Early> {
    if found <= most {
        return Ok(());
    }
    Err(Early::TooMuch(format!("{found} {what}; the most that is compiled is {most}")))
}

fn skip(module: &mut dyn BufRead, bytes: u64) -> Result<(), Early> {
    let skipped = io::copy(&mut module.take(bytes), &mut io::sink())?;
    if skipped < bytes { Err(Early::Broken) } else { Ok(()) }
}

pub(super) fn byte(module: &mut dyn BufRead) -> Result<u8, Early> {
    let mut byte = [0];
    module.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A number in the format of modules: seven bits in each byte, the last one without its highest bit.
pub(super) fn number(module: &mut dyn BufRead) -> Result<u32, Early> {
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
mod tests;

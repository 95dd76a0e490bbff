//! Reads the facts of native files: what the kernel and the loader look at, and what a program asks the C
//! library for.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader, ProgramHeader as _};
use object::read::{Object as _, ObjectSymbol as _, ReadRef};
use object::{Endianness, ReadCache, elf};

use crate::debug_info::Bounded;
use crate::inspection::{ExecutableFacts, Grant, Need, Resource};

/// What asks for something, among the functions of the C library.
const FUNCTIONS: [(Resource, &[&str]); 5] = [
    (Resource::Clocks, &["clock_gettime", "gettimeofday", "time", "nanosleep", "clock_nanosleep"]),
    (Resource::Randomness, &["getrandom", "getentropy", "arc4random", "arc4random_buf"]),
    (
        Resource::Files,
        &[
            "open", "open64", "openat", "openat64", "fopen", "fopen64", "opendir", "unlink",
            "mkdir", "rename",
        ],
    ),
    (
        Resource::Network,
        &["socket", "connect", "bind", "listen", "accept", "accept4", "getaddrinfo"],
    ),
    (
        Resource::Processes,
        &[
            "fork",
            "vfork",
            "posix_spawn",
            "posix_spawnp",
            "execve",
            "execvp",
            "system",
            "popen",
            "kill",
        ],
    ),
];

/// As much as is read of a file. The tables of large programs have some dozens of megabytes.
const MOST_BYTES: u64 = 128 << 20;

/// What was found out about a native file.
pub(super) struct Native {
    pub(super) facts: ExecutableFacts,
    pub(super) needs: Vec<Need>,
    /// Whether the kernel would run it as a program, leaving aside for which processor it is.
    pub(super) is_program: bool,
}

/// Looks at a native file. `None` where it is cut off or damaged, or has tables without an end.
pub(super) fn look(file: File, has_permission: bool) -> Option<Native> {
    let (cache, left) = (ReadCache::new(file), Cell::new(MOST_BYTES));
    let data = Bounded::new(&cache, &left);
    let is_wide = *data.read_bytes_at(4, 1).ok()?.first()? == 2;
    if is_wide {
        let file = ElfFile64::<Endianness, _>::parse(data).ok()?;
        of(&file, data, "ELF 64-bit", has_permission)
    } else {
        let file = ElfFile32::<Endianness, _>::parse(data).ok()?;
        of(&file, data, "ELF 32-bit", has_permission)
    }
}

fn of<'data, Elf, R>(
    file: &ElfFile<'data, Elf, R>,
    data: R,
    format: &'static str,
    has_permission: bool,
) -> Option<Native>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let endian = file.endian();
    let mut segments = file.elf_program_headers().iter();
    let found = segments.find_map(|segment| segment.interpreter(endian, data).transpose());
    let interpreter = text(found.transpose().ok()?);
    let dynamic = file.elf_dynamic_table().ok()?;
    let libraries = dynamic.iter().filter(|entry| entry.tag == elf::DT_NEEDED);
    let libraries = libraries.filter_map(|entry| text(dynamic.string(entry).ok())).collect();
    let pie = u64::from(elf::DF_1_PIE);
    let mut flags = dynamic.iter().filter(|entry| entry.tag == elf::DT_FLAGS_1);
    let is_pie = flags.any(|entry| entry.val & pie != 0);
    let (kind, is_program) = match file.elf_header().e_type(endian) {
        elf::ET_EXEC => ("executable", true),
        elf::ET_DYN if interpreter.is_some() || is_pie => ("executable", true),
        elf::ET_DYN => ("shared library", false),
        elf::ET_REL => ("object file", false),
        elf::ET_CORE => ("core dump", false),
        _ => ("file of an unknown type", false),
    };
    let facts = ExecutableFacts {
        format,
        kind,
        architecture: format!("{:?}", file.architecture()).to_ascii_lowercase(),
        is_static: is_program && interpreter.is_none(),
        is_position_independent: file.elf_header().e_type(endian) == elf::ET_DYN,
        interpreter,
        libraries,
        has_permission,
        has_symbols: file.symbols().next().is_some(),
        has_debug_info: file.has_debug_symbols(),
    };
    Some(Native { facts, needs: needs(file), is_program })
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// What a program asks shared libraries for. One that brings its own library asks nobody.
fn needs<'data, Elf, R>(file: &ElfFile<'data, Elf, R>) -> Vec<Need>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let mut asked: BTreeMap<Resource, Vec<String>> = BTreeMap::new();
    for symbol in file.dynamic_symbols().filter(|symbol| symbol.is_undefined()) {
        let Ok(name) = symbol.name() else { continue };
        let what = FUNCTIONS.iter().find(|(_, names)| names.contains(&name));
        if let Some((what, _)) = what {
            asked.entry(*what).or_default().push(name.to_owned());
        }
    }
    let need = |(what, asked_by)| Need { what, grant: Grant::Always, asked_by };
    asked.into_iter().map(need).collect()
}

/// Why a program of this kind would not start here, as far as that can be seen.
pub(super) fn fault(facts: &ExecutableFacts) -> Option<String> {
    let here = std::env::consts::ARCH;
    // The names that differ between the compiler and the format.
    let own = if here == "x86" { "i386" } else { here };
    if facts.architecture != own && !(own == "x86_64" && facts.architecture == "i386") {
        return Some(format!("is for {}, and this machine is {here}", facts.architecture));
    }
    match &facts.interpreter {
        Some(loader) if !Path::new(loader).exists() => Some(format!(
            "asks for the loader `{loader}`, which is not here; install its C library"
        )),
        _ => None,
    }
}

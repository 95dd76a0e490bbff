//! What an executable needs to be started, read from it: its loader, or a script's interpreter.
//!
//! This is the guest's own word, so it chooses among what everybody may see and opens nothing else: see `layout`.

use std::cell::Cell;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader as _};
use object::{Endianness, ReadCache};

use crate::debug_info::Bounded;

/// Interpreters of interpreters are followed this far, as the kernel does.
const MOST_SCRIPTS: usize = 5;

/// The table in which loaders are named has less, and a path has very little of it. The kernel reads no more, either.
const MOST_BYTES: u64 = 4 << 20;

/// The files besides a program that the kernel executes on its behalf. What can't be read needs nothing: its exec
/// will say why.
pub(super) fn of(program: &Path) -> Vec<PathBuf> {
    let mut needs = Vec::new();
    let mut next = Some(program.to_owned());
    for _ in 0..MOST_SCRIPTS {
        let Some(path) = next.take() else { break };
        next = script(&path);
        match &next {
            Some(interpreter) => needs.push(interpreter.clone()),
            None => needs.extend(loader(&path)),
        }
    }
    needs
}

/// What the first line of a script names.
fn script(path: &Path) -> Option<PathBuf> {
    let mut beginning = [0; 256];
    let count = File::open(path).ok()?.read(&mut beginning).ok()?;
    let line = beginning[..count].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let words = String::from_utf8_lossy(line);
    words.split_whitespace().next().map(PathBuf::from)
}

fn loader(path: &Path) -> Option<PathBuf> {
    let (data, left) = (ReadCache::new(File::open(path).ok()?), Cell::new(MOST_BYTES));
    let data = Bounded::new(&data, &left);
    // Broken files are the kernel's business: it refuses them, and says so.
    first_interpreter::<elf::FileHeader64<Endianness>>(data)
        .or_else(|_| first_interpreter::<elf::FileHeader32<Endianness>>(data))
        .ok()
        .flatten()
}

/// The kernel knows only the first one, too.
fn first_interpreter<'d, H: FileHeader<Endian = Endianness>>(
    data: Bounded<'d, &'d ReadCache<File>>,
) -> object::read::Result<Option<PathBuf>> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        if let Some(loader) = segment.interpreter(endian, data)? {
            return Ok(Some(std::ffi::OsStr::from_bytes(loader).into()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_needs_its_interpreter_and_what_that_needs() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, "#! /bin/sh -e\n").unwrap();
        let needs = of(&script);
        assert_eq!(needs.first().map(PathBuf::as_path), Some(Path::new("/bin/sh")));
        assert!(needs.len() <= 2, "{needs:?}");
    }

    #[test]
    fn a_dynamic_program_needs_its_loader() {
        let needs = of(&std::env::current_exe().unwrap());
        assert!(needs.iter().all(|loader| loader.exists()), "{needs:?}");
    }

    #[test]
    fn a_loader_with_a_name_as_long_as_a_file_full_of_holes_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holes");
        let mut bytes = vec![0; 120];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        for (at, value) in [(16, 2), (20, 1), (32, 64), (52, 64), (54, 56), (56, 1), (64, 3)] {
            bytes[at] = value;
        }
        let loader = |length: u64| {
            let mut bytes = bytes.clone();
            bytes[96..104].copy_from_slice(&length.to_le_bytes());
            bytes[72] = 120;
            bytes.extend(b"/loader\0");
            std::fs::write(&path, bytes).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
            of(&path)
        };
        assert_eq!(loader(8), [PathBuf::from("/loader")]);
        for length in [0, 7, MOST_BYTES + 1, 1 << 39, u64::MAX] {
            assert_eq!(loader(length), Vec::<PathBuf>::new(), "{length}");
        }
    }

    #[test]
    fn what_is_no_program_needs_nothing() {
        assert_eq!(of(Path::new("/nowhere")), Vec::<PathBuf>::new());
    }
}

//! What an executable needs to be started, read from it: its loader, or a script's interpreter.
//!
//! This is the guest's own word, so it chooses among what everybody may see and opens nothing else: see `layout`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader as _};
use object::{Endianness, ReadCache};

/// Interpreters of interpreters are followed this far, as the kernel does.
const MOST_SCRIPTS: usize = 5;

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
    let data = ReadCache::new(File::open(path).ok()?);
    // Broken files are the kernel's business: it refuses them, and says so.
    first_interpreter::<elf::FileHeader64<Endianness>>(&data)
        .or_else(|_| first_interpreter::<elf::FileHeader32<Endianness>>(&data))
        .ok()
        .flatten()
}

/// The kernel knows only the first one, too.
fn first_interpreter<H: FileHeader<Endian = Endianness>>(
    data: &ReadCache<File>,
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
    fn what_is_no_program_needs_nothing() {
        assert_eq!(of(Path::new("/nowhere")), Vec::<PathBuf>::new());
    }
}

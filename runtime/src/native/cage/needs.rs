//! What an executable needs beside itself, read from it: a loader, libraries next to it, a script's interpreter.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use object::elf;
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use object::{Endianness, ReadCache};

/// Interpreters of interpreters are followed this far, as the kernel does.
const MOST_SCRIPTS: usize = 5;

/// Files and folders besides the program that it can't start without.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Executed by the kernel on its behalf: loaders and interpreters.
    pub(super) executed: Vec<PathBuf>,
    /// Where its loader is told to look for libraries.
    pub(super) folders: Vec<PathBuf>,
}

/// Looks into a program and whatever it names. What can't be read needs nothing: its exec will say why.
pub(super) fn of(program: &Path) -> Needs {
    let mut needs = Needs::default();
    let mut next = Some(program.to_owned());
    for _ in 0..MOST_SCRIPTS {
        let Some(path) = next.take() else { break };
        next = script(&path);
        match &next {
            Some(interpreter) => needs.executed.push(interpreter.clone()),
            None => executable(&path, &mut needs),
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

fn executable(path: &Path, needs: &mut Needs) {
    let Ok(file) = File::open(path) else { return };
    let data = ReadCache::new(file);
    let origin = path.parent().unwrap_or(Path::new("/"));
    // Broken files are the kernel's business: it refuses them, and says so.
    let _ = read::<elf::FileHeader64<Endianness>>(&data, origin, needs)
        .or_else(|_| read::<elf::FileHeader32<Endianness>>(&data, origin, needs));
}

fn read<H: FileHeader<Endian = Endianness>>(
    data: &ReadCache<File>,
    origin: &Path,
    needs: &mut Needs,
) -> object::read::Result<()> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        if let Some(loader) = segment.interpreter(endian, data)? {
            needs.executed.push(path_of(loader));
        }
    }
    for segment in header.program_headers(endian, data)? {
        let Some(entries) = segment.dynamic(endian, data)? else { continue };
        let value = |tag: i64| {
            entries.iter().find(|entry| entry.tag(endian) == tag).map(|entry| entry.val(endian))
        };
        let (Some(table), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
            continue;
        };
        let Some(texts) = at_address::<H>(header, endian, data, table, size)? else { continue };
        for tag in [elf::DT_RPATH, elf::DT_RUNPATH] {
            let text = value(tag).and_then(|at| texts.get(at as usize..)).unwrap_or_default();
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            needs.folders.extend(folders(&String::from_utf8_lossy(text), origin));
        }
    }
    Ok(())
}

/// The bytes that will be at an address when the program is loaded.
fn at_address<'d, H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    data: &'d ReadCache<File>,
    address: u64,
    size: u64,
) -> object::read::Result<Option<&'d [u8]>> {
    for segment in header.program_headers(endian, data)? {
        if let Ok(Some(bytes)) = segment.data_range(endian, data, address, size) {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// The folders of a search path that are there.
fn folders(path: &str, origin: &Path) -> Vec<PathBuf> {
    let origin = origin.to_string_lossy();
    let parts = path.split(':').filter(|part| !part.is_empty());
    parts
        .map(|part| part.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin))
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute() && folder.is_dir())
        .collect()
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).into()
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
        assert_eq!(needs.executed.first().map(PathBuf::as_path), Some(Path::new("/bin/sh")));
        assert!(needs.executed.len() <= 2, "{needs:?}");
    }

    #[test]
    fn a_dynamic_program_needs_its_loader() {
        let needs = of(&std::env::current_exe().unwrap());
        assert!(needs.executed.iter().all(|loader| loader.exists()), "{needs:?}");
    }

    #[test]
    fn folders_are_found_from_where_the_program_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lib")).unwrap();
        let found = folders("$ORIGIN/lib:${ORIGIN}/none::relative", folder.path());
        assert_eq!(found, [folder.path().join("lib")]);
    }

    #[test]
    fn what_is_no_program_needs_nothing() {
        assert_eq!(of(Path::new("/nowhere")), Needs::default());
    }
}

//! The core dumps of a batch: one file for each module that died, named after its task.

use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sandtrap::Report;

use crate::report_file::ReportFile;

/// What the name of a file may have at most, on the file systems that there are, with room for what stands around it.
const LONGEST_NAME: usize = 200;

/// Where they are written.
pub(super) struct Dumps(PathBuf);

impl Dumps {
    /// Makes the directory, and sure that files can be made in it, before anything runs.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory).with_context(|| {
            let shown = directory.display();
            format!("cannot make the directory `{shown}` for core dumps, so nothing was run")
        })?;
        ReportFile::prepare("core dump", &directory.join(file_name("task")))?;
        Ok(Self(directory.to_owned()))
    }

    /// Writes the dump of a task that has one. A later one of the same task replaces it.
    pub(super) fn keep(&self, report: &Report) -> anyhow::Result<()> {
        let Some(dump) = report.facts.core_dump.as_ref().and_then(|dump| dump.bytes()) else {
            return Ok(());
        };
        let path = self.0.join(file_name(&report.task.id.to_string()));
        ReportFile::prepare("core dump", &path)?.write(dump)
    }
}

/// A task's name as that of a file, whatever is in it.
fn file_name(id: &str) -> String {
    let mut name = String::new();
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(byte.into()),
            b'.' if !name.is_empty() => name.push('.'),
            // Writing to a string can't fail.
            _ => _ = write!(name, "%{byte:02x}"),
        }
    }
    if name.len() > LONGEST_NAME {
        // Those that begin alike are still told apart.
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        name.truncate(LONGEST_NAME);
        // Writing to a string can't fail.
        _ = write!(name, "-{:016x}", hasher.finish());
    }
    name + ".core.wasm"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_a_file_in_the_directory_whatever_the_task_is_called() {
        for (id, name) in [
            ("line-3", "line-3.core.wasm"),
            ("v1.2", "v1.2.core.wasm"),
            ("../../etc/x", "%2e.%2f..%2fetc%2fx.core.wasm"),
            ("..", "%2e..core.wasm"),
            ("", ".core.wasm"),
            ("ä 1", "%c3%a4%201.core.wasm"),
        ] {
            assert_eq!(file_name(id), name);
        }
        let long = "/".repeat(1_000);
        assert!(file_name(&long).len() < 255);
        assert_ne!(file_name(&long), file_name(&(long.clone() + "x")));
    }
}

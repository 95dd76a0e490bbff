//! The report, or a core dump, in a file: there whole or not at all.
//!
//! Whether it can be written is found out before anything runs: a guest's work must not be lost because
//! its report has no place. A plain file is written beside its place and then renamed. Devices, pipes
//! and `/dev/stdout` (whatever that is) can't be renamed over; they are opened first and written to in the end.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A chain of more links than this is a ring.
const MOST_LINKS: usize = 40;

/// A place for a report, or for what belongs to one, that is known to be writable.
#[derive(Debug)]
pub(crate) struct ReportFile {
    what: &'static str,
    shown: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Beside { target: PathBuf, draft: PathBuf },
    Open(File),
}

impl ReportFile {
    /// Makes sure that this can be written there.
    pub(crate) fn prepare(what: &'static str, path: &Path) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let place = prepare(path).with_context(|| {
            format!("cannot write the {what} to `{shown}`, so nothing was run; name a file in a directory you can write to")
        })?;
        Ok(Self { what, shown, place })
    }

    /// Writes it.
    pub(crate) fn write(self, content: &[u8]) -> anyhow::Result<()> {
        match self.place {
            Place::Open(mut file) => file.write_all(content),
            Place::Beside { target, draft } => replace(&target, &draft, content),
        }
        .with_context(|| format!("cannot write the {} to `{}`", self.what, self.shown))
    }
}

fn prepare(path: &Path) -> io::Result<Place> {
    if is_special(path) {
        return OpenOptions::new().append(true).open(path).map(Place::Open);
    }
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if target.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let draft = draft_beside(&target)?;
    File::create_new(&draft)?;
    fs::remove_file(&draft)?;
    Ok(Place::Beside { target, draft })
}

fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) || is_open_already(path)
}

/// Whether this names what somebody has open, as `/dev/stdout` and `/dev/fd/3` do: they lead into `/proc`. Where that is
/// a plain file, others write to it and go on doing so.
fn is_open_already(path: &Path) -> bool {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(parent) = folder_of(&path).canonicalize() else { break };
        if parent.starts_with("/proc") {
            return true;
        }
        let Ok(target) = fs::read_link(&path) else { break };
        path = parent.join(target);
    }
    false
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn draft_beside(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut draft = OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}.draft", std::process::id()));
    Ok(target.with_file_name(draft))
}

fn replace(target: &Path, draft: &Path, content: &[u8]) -> io::Result<()> {
    // Whoever made something of that name meanwhile, a link say, is not written through.
    let written = File::create_new(draft)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(draft, target));
    if written.is_err() {
        // The first error is the one to tell about.
        let _ = fs::remove_file(draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh_directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sandtrap-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_report_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let directory = fresh_directory("replace");
        let path = directory.join("report.json");
        fs::write(&path, "old and longer").unwrap();
        let file = ReportFile::prepare("report", &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old and longer");
        file.write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_link_stays_a_link() {
        let directory = fresh_directory("link");
        let (real, link) = (directory.join("real.json"), directory.join("link.json"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        ReportFile::prepare("report", &link).unwrap().write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_before_anything_runs() {
        for place in ["/nonexistent/report.json", "/tmp", "/proc/nothing"] {
            let error = ReportFile::prepare("report", Path::new(place)).unwrap_err();
            assert!(format!("{error:#}").contains("nothing was run"), "{error:#}");
        }
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        ReportFile::prepare("report", Path::new("/dev/null")).unwrap().write(b"{}").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}

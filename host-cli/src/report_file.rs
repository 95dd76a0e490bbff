//! The report, a core dump, or a compiled module in a file: there whole or not at all.
//!
//! Whether it can be written is found out before anything runs: a guest's work must not be lost because
//! its report has no place. A plain file is written beside its place and then renamed. Devices, pipes
//! and `/dev/stdout` (whatever that is) can't be renamed over; they are opened first and written to in the end.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
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

/// Where something is written.
#[derive(Debug)]
pub(crate) enum Place {
    /// Beside a plain file, in whose place it is put in the end.
    Beside { target: PathBuf, draft: PathBuf },
    /// Into what is no plain file, or somebody's already.
    Open(File),
}

impl ReportFile {
    /// Makes sure that this can be written there.
    pub(crate) fn prepare(what: &'static str, path: &Path) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let place = Place::of(path).with_context(|| {
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

impl Place {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        if let Some(opened) = open_already(path) {
            return opened.map(Self::Open);
        }
        if is_special(path) {
            return OpenOptions::new().append(true).open(path).map(Self::Open);
        }
        // A link stays a link: what it points to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let draft = draft_beside(&target)?;
        File::create_new(&draft)?;
        fs::remove_file(&draft)?;
        Ok(Self::Beside { target, draft })
    }
}

fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

/// What this names, if that is open already, as `/dev/stdout` and `/dev/fd/3` are: they lead into `/proc`. Where it is a plain
/// file, others write to it and go on doing so: our own two streams are passed on as they are, with the place where they
/// are written next, and what somebody else has open is written at its end.
pub(crate) fn open_already(path: &Path) -> Option<io::Result<File>> {
    let own = fs::canonicalize("/proc/self/fd").ok();
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let parent = folder_of(&path).canonicalize().ok()?;
        if parent.starts_with("/proc") {
            let number = path.file_name().filter(|_| own.as_ref() == Some(&parent));
            let opened = match number.and_then(OsStr::to_str) {
                Some("1") => io::stdout().as_fd().try_clone_to_owned().map(File::from),
                Some("2") => io::stderr().as_fd().try_clone_to_owned().map(File::from),
                _ => OpenOptions::new().append(true).open(&path),
            };
            return Some(opened);
        }
        path = parent.join(fs::read_link(&path).ok()?);
    }
    None
}

/// Whether two names are those of one plain file, be it there yet or not: what is written to one of them is lost with the other.
pub(crate) fn are_one(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let folder = folder_of(path).canonicalize().ok()?;
        let name = folder.join(path.file_name()?);
        Some(name.canonicalize().unwrap_or(name))
    };
    let is_plain = |path: &Path| open_already(path).is_none() && !is_special(path);
    is_plain(one) && is_plain(other) && place(one).is_some_and(|it| place(other) == Some(it))
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
    fn two_names_of_one_plain_file_are_known_and_a_device_is_nobodys() {
        let directory = fresh_directory("one");
        let (real, link) = (directory.join("real"), directory.join("link"));
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(are_one(&real, &directory.join(".").join("real")), "it is not there yet");
        fs::write(&real, "").unwrap();
        assert!(are_one(&real, &link) && !are_one(&real, &directory.join("other")));
        assert!(!are_one(Path::new("/dev/null"), Path::new("/dev/null")));
        assert!(!are_one(Path::new("/nowhere/a"), Path::new("/nowhere/a")));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        ReportFile::prepare("report", Path::new("/dev/null")).unwrap().write(b"{}").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}

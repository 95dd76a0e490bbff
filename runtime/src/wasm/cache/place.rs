//! The directory of the cache: nobody else's, and nothing in it is followed to somewhere else.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::{Uid, UnlinkatFlags, linkat, unlinkat};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Others may read the directory's entries at most. Who may write to it decides what is run.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A key may not even be read by others.
const OPEN_TO_OTHERS: u32 = 0o077;

/// Records are small. What is larger was not written by us.
const MOST_RECORD: u64 = 64 * 1024;

/// A directory, held open: whatever happens to its name, this one is meant.
#[derive(Debug)]
pub(super) struct Place {
    directory: OwnedFd,
}

impl Place {
    /// Opens it, and makes it if it isn't there. Words say why it can't be used.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = open(path, flags, Mode::empty()).map_err(|errno| match errno {
            nix::errno::Errno::ENOTDIR | nix::errno::Errno::ELOOP => {
                io::Error::other("it is no directory, or a link to one; name the directory itself")
            }
            errno => errno.into(),
        })?;
        let metadata = File::from(directory.try_clone()?).metadata()?;
        if metadata.uid() != Uid::effective().as_raw() {
            return Err(io::Error::other("it belongs to another user"));
        }
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(io::Error::other("others may write to it; `chmod go-w` makes it private"));
        }
        Ok(Self { directory })
    }

    /// Opens a file of this user that nobody else can write to. Anything else under that name is thrown away.
    pub(super) fn read(&self, name: &str) -> Option<File> {
        self.read_with(name, WRITABLE_BY_OTHERS)
    }

    fn read_with(&self, name: &str, forbidden: u32) -> Option<File> {
        // Without waiting, should it be a pipe.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(nix::errno::Errno::ENOENT) => return None,
            Err(_) => {
                self.remove(name);
                return None;
            }
        };
        if file.metadata().is_ok_and(|metadata| is_private(&metadata, forbidden)) {
            return Some(file);
        }
        self.remove(name);
        None
    }

    /// Makes a file that isn't there yet.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let descriptor = openat(&self.directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(descriptor.into())
    }

    /// A file that everybody opens and nobody reads.
    pub(super) fn lock_file(&self) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let descriptor = openat(&self.directory, "lock", flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(descriptor.into())
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.directory, from, &self.directory, to)?)
    }

    /// Takes an entry away. One that is gone already, or can't be removed, is never loaded either way.
    pub(super) fn remove(&self, name: &str) {
        let _ = unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir);
    }

    /// Writes a small record, whole or not at all.
    pub(super) fn write_record<T: Serialize>(&self, name: &str, record: &T) -> io::Result<()> {
        let text = serde_json::to_string(record)?;
        let draft = draft_name("tmp");
        let written = self.create(&draft).and_then(|mut file| {
            let seal = blake3::hash(text.as_bytes());
            file.write_all(format!("{text}\n{seal}\n").as_bytes())
        });
        let renamed = written.and_then(|()| self.rename(&draft, name));
        if renamed.is_err() {
            self.remove(&draft);
        }
        renamed
    }

    /// Reads a record. One that is torn or was changed is thrown away.
    pub(super) fn read_record<T: DeserializeOwned>(&self, name: &str) -> Option<(T, File)> {
        let file = self.read(name)?;
        let record = record_in(&file);
        if record.is_none() {
            self.remove(name);
        }
        Some((record?, file))
    }

    /// This user's own secret, made at the first request.
    pub(super) fn secret(&self) -> io::Result<[u8; 32]> {
        const NAME: &str = "key";
        if let Some(secret) = self.read_secret(NAME) {
            return Ok(secret);
        }
        let mut secret = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        let draft = draft_name("tmp");
        let mut file = self.create(&draft)?;
        file.write_all(&secret)?;
        file.sync_data()?;
        // Linked, and not renamed: the first one counts, whoever makes it.
        let linked =
            linkat(&self.directory, draft.as_str(), &self.directory, NAME, AtFlags::empty());
        self.remove(&draft);
        match linked {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.read_secret(NAME).ok_or_else(|| io::Error::other("its key can't be read"))
    }

    fn read_secret(&self, name: &str) -> Option<[u8; 32]> {
        let mut secret = Vec::new();
        let file = self.read_with(name, OPEN_TO_OTHERS)?;
        file.take(MOST_RECORD).read_to_end(&mut secret).ok()?;
        let secret = <[u8; 32]>::try_from(secret).ok();
        if secret.is_none() {
            self.remove(name);
        }
        secret
    }

    /// Every name in it, with what the system knows of it.
    pub(super) fn list(&self) -> io::Result<Vec<(String, FileStat)>> {
        let mut directory = Dir::openat(&self.directory, ".", OFlag::O_CLOEXEC, Mode::empty())?;
        let names = directory.iter().flatten();
        let names: Vec<String> =
            names.filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned())).collect();
        let stat = |name: String| {
            let stat =
                fstatat(&self.directory, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
            Some((name, stat))
        };
        Ok(names.into_iter().filter_map(stat).collect())
    }
}

fn is_private(metadata: &Metadata, forbidden: u32) -> bool {
    metadata.is_file()
        && metadata.uid() == Uid::effective().as_raw()
        && metadata.mode() & forbidden == 0
}

fn record_in<T: DeserializeOwned>(file: &File) -> Option<T> {
    let mut text = String::new();
    file.take(MOST_RECORD).read_to_string(&mut text).ok()?;
    let (record, seal) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    if blake3::hash(record.as_bytes()).to_string() != seal {
        return None;
    }
    serde_json::from_str(record).ok()
}

/// A name that nobody else uses; should somebody, making the file fails.
pub(super) fn draft_name(kind: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    format!("{kind}-{}-{number}-{now:x}", std::process::id())
}

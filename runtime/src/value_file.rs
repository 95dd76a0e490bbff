//! Values that lie in files: one file for each, under a name that nobody can guess, for this user alone.
//!
//! A result is written while it comes in, so that the host never holds more than a piece of it. Its file is removed
//! with the last value that speaks of it, unless somebody said that it is to stay.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sandtrap_protocol::{Codec, PLACED_FROM};

use crate::payload::Payload;

/// Names are tried so often; each has 128 bits that nobody knows.
const TRIES: u32 = 8;

/// A directory for large results.
#[derive(Clone, Debug)]
pub(crate) struct ValueDir(Arc<Path>);

impl ValueDir {
    /// Fails if no file can be made there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let dir = Self(path.canonicalize()?.into());
        dir.create().map(|_| dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn create(&self) -> io::Result<Named> {
        let mut last = io::ErrorKind::AlreadyExists.into();
        for _ in 0..TRIES {
            // Each has keys of its own, which nobody outside of this process knows.
            let [one, two] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
            let path = self.0.join(format!("sandtrap-{one:016x}{two:016x}"));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            match options.open(&path) {
                Ok(file) => return Ok(Named { file, path: OwnPath::new(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// A value that begins to come in.
    pub(crate) fn draft(&self) -> Draft {
        // Where there is no file, memory has to do; the result limit bounds it.
        Draft { named: self.create().ok(), memory: Vec::new(), length: 0 }
    }

    /// A value that is there as a whole, in a file if it is large.
    pub(crate) fn store(&self, codec: Codec, bytes: &[u8]) -> Payload {
        if bytes.len() < PLACED_FROM {
            return Payload::new(codec, bytes);
        }
        let mut draft = self.draft();
        match draft.add(bytes) {
            Ok(()) => draft.finish(codec),
            Err(_) => Payload::new(codec, bytes),
        }
    }
}

/// A file, and the one who removes it.
#[derive(Debug)]
struct Named {
    file: File,
    path: OwnPath,
}

/// A name that is removed with its owner, unless it is to stay.
#[derive(Debug)]
struct OwnPath {
    path: PathBuf,
    stays: AtomicBool,
}

impl OwnPath {
    fn new(path: PathBuf) -> Self {
        Self { path, stays: AtomicBool::new(false) }
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        if !*self.stays.get_mut() {
            // It may be gone already; nobody is left who could be told otherwise.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A value on its way into a file; or into memory, once the file takes no more.
#[derive(Debug)]
pub(crate) struct Draft {
    named: Option<Named>,
    memory: Vec<u8>,
    length: u64,
}

impl Draft {
    /// Takes the next part. Fails only if what came before is lost.
    pub(crate) fn add(&mut self, part: &[u8]) -> io::Result<()> {
        if let Some(named) = &mut self.named
            && named.file.write_all(part).is_err()
        {
            let mut file = &named.file;
            file.rewind()?;
            let mut before = Vec::new();
            if file.take(self.length).read_to_end(&mut before)? as u64 != self.length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            (self.memory, self.named) = (before, None);
        }
        if self.named.is_none() {
            self.memory.extend_from_slice(part);
        }
        self.length += part.len() as u64;
        Ok(())
    }

    /// It is whole.
    pub(crate) fn finish(self, codec: Codec) -> Payload {
        let Self { named, memory, length } = self;
        match named {
            Some(Named { path, .. }) => {
                Payload::in_file(codec, ValueFile { path, length, whole: OnceLock::new() })
            }
            None => Payload::new(codec, memory),
        }
    }
}

/// A value in a file.
#[derive(Debug)]
pub(crate) struct ValueFile {
    path: OwnPath,
    length: u64,
    /// What is in it, once somebody wanted all of it.
    whole: OnceLock<Result<Bytes, String>>,
}

impl ValueFile {
    /// A file of somebody else's, which is never removed.
    pub(crate) fn of_others(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let found = path.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
        }
        let path = OwnPath { path, stays: AtomicBool::new(true) };
        Ok(Self { path, length: found.len(), whole: OnceLock::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path.path
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// From now on it is not removed.
    pub(crate) fn keep(&self) {
        self.path.stays.store(true, Ordering::Relaxed);
    }

    /// All of it, read when it is wanted for the first time.
    pub(crate) fn whole(&self) -> Result<&Bytes, &str> {
        let whole = self.whole.get_or_init(|| {
            let mut bytes = Vec::new();
            let read = self.reader().and_then(|mut reader| {
                while reader.next(&mut bytes)? {}
                Ok(())
            });
            read.map(|()| bytes.into()).map_err(|error| self.unreadable(&error))
        });
        whole.as_ref().map_err(String::as_str)
    }

    /// In words why it can't be read.
    pub(crate) fn unreadable(&self, error: &io::Error) -> String {
        format!("the value in `{}` can't be read: {error}", self.path().display())
    }

    /// Gives it piece by piece.
    pub(crate) fn reader(&self) -> io::Result<Reader> {
        Ok(Reader { file: File::open(self.path())?, left: self.length })
    }
}

/// Reads a value piece by piece.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    left: u64,
}

impl Reader {
    /// So much is read at once.
    const PIECE: u64 = 256 * 1024;

    /// Adds the next piece to `bytes`. Says whether there was one; less than there should be is an error.
    pub(crate) fn next(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let wanted = self.left.min(Self::PIECE);
        let read = (&self.file).take(wanted).read_to_end(bytes)? as u64;
        if read < wanted {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter"));
        }
        self.left -= read;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = PLACED_FROM + 1;

    fn files(dir: &Path) -> usize {
        dir.read_dir().unwrap().count()
    }

    #[test]
    fn p9_a_file_goes_with_the_last_value_that_speaks_of_it_unless_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = ValueDir::open(dir.path()).unwrap();
        let value = store.store(Codec::Raw, &[7; LARGE]);
        let (copy, path) = (value.clone(), value.path().unwrap().to_owned());
        drop(value);
        assert!(path.exists() && copy.read::<Vec<u8>>().unwrap() == [7; LARGE]);
        drop(copy);
        assert_eq!(files(dir.path()), 0);
        let value = store.store(Codec::Raw, &[7; LARGE]);
        let path = value.keep().unwrap().to_owned();
        drop(value);
        assert_eq!(std::fs::read(path).unwrap(), [7; LARGE]);
        assert_eq!(store.store(Codec::Raw, &[7; 9]).path(), None);
    }

    #[cfg(unix)]
    #[test]
    fn p9_a_file_is_its_users_alone_and_no_two_names_are_alike() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let store = ValueDir::open(dir.path()).unwrap();
        let values: Vec<Payload> = (0..9).map(|_| store.store(Codec::Raw, &[7; LARGE])).collect();
        assert_eq!(files(dir.path()), 9);
        for value in values {
            let mode = value.path().unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn p9_a_value_whose_file_is_full_goes_on_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = ValueDir::open(dir.path()).unwrap().draft();
        draft.add(&[1; 10]).unwrap();
        let named = draft.named.as_mut().unwrap();
        // What can only be read takes no more.
        named.file = File::open(&named.path.path).unwrap();
        draft.add(&[2; 10]).unwrap();
        let value = draft.finish(Codec::Raw);
        assert_eq!(value.path(), None);
        assert_eq!(value.bytes(), [[1; 10], [2; 10]].concat());
        assert_eq!(files(dir.path()), 0);
    }

    #[test]
    fn p9_a_value_whose_file_was_cut_short_is_an_error_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let value = ValueDir::open(dir.path()).unwrap().store(Codec::Raw, &[7; LARGE]);
        OpenOptions::new().write(true).open(value.path().unwrap()).unwrap().set_len(5).unwrap();
        let error = value.read::<Vec<u8>>().unwrap_err().to_string();
        assert!(error.contains("it has become shorter"), "{error}");
        assert_eq!(value.as_bytes(), None);
    }

    #[test]
    fn a_directory_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ValueDir::open(&dir.path().join("none")).is_err());
        assert!(ValueFile::of_others(dir.path()).is_err());
    }
}

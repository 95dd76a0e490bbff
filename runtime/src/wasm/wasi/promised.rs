//! How far files will reach when all is written that was promised to be.
//!
//! A component's streams write on other threads, and several may write at the end of one file at the same time: how long
//! it is then says nothing about where the next piece will end.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What tells one file from all others: its device and its number there.
type Identity = (u64, u64);

/// What is being written to the files of one guest.
#[derive(Clone, Default)]
pub(super) struct Promises {
    files: Arc<Mutex<BTreeMap<Identity, Promise>>>,
}

/// What is being written to one file.
#[derive(Default)]
struct Promise {
    /// By how many.
    writes: usize,
    /// How much of it at the end of the file, wherever that is by then.
    appended: u64,
    /// Where the file ends afterwards, at the most.
    end: u64,
}

/// A piece that is being written, until this is dropped.
pub(super) struct Writing {
    promises: Promises,
    file: Identity,
    appended: u64,
    /// Where the file ends afterwards, at the most.
    pub(super) end: u64,
}

impl Promises {
    /// A piece of this length is to be written at a place, or at the end.
    pub(super) fn writing(&self, file: &File, at: Option<u64>, length: u64) -> Writing {
        let (identity, size) = about(file);
        let mut files = self.files();
        let promise = files.entry(identity).or_default();
        let mut appended = 0;
        promise.end = match at {
            Some(at) => promise.reaching(at.saturating_add(length)),
            None => {
                appended = length;
                promise.end.max(size).saturating_add(length)
            }
        };
        promise.writes += 1;
        promise.appended += appended;
        let end = promise.end;
        drop(files);
        Writing { promises: self.clone(), file: identity, appended, end }
    }

    /// Something is written up to there before anything else happens. Says where the file ends when all is written.
    pub(super) fn end_with(&self, file: &File, end: u64) -> u64 {
        match self.files().get_mut(&about(file).0) {
            Some(promise) => {
                promise.end = promise.reaching(end);
                promise.end
            }
            None => end,
        }
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<Identity, Promise>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promise {
    /// Where the file ends if one more piece ends here. What is written at its end may come behind that.
    fn reaching(&self, end: u64) -> u64 {
        self.end.max(end.saturating_add(self.appended))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.promises.files().entry(self.file) {
            let promise = entry.get_mut();
            promise.writes -= 1;
            promise.appended -= self.appended;
            // From here on the file itself says how long it is.
            if promise.writes == 0 {
                entry.remove();
            }
        }
    }
}

fn about(file: &File) -> (Identity, u64) {
    file.metadata().map_or_else(|_| Default::default(), |it| ((it.dev(), it.ino()), it.len()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn pieces_that_are_being_written_at_the_end_of_one_file_add_up() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[0; 100]).unwrap();
        let (one, other) = (file.reopen().unwrap(), file.reopen().unwrap());
        let promises = Promises::default();
        let first = promises.writing(&one, None, 40);
        let second = promises.writing(&other, None, 40);
        assert_eq!((first.end, second.end), (140, 180));
        // Both may come behind what is written at a place.
        assert_eq!(promises.writing(&one, Some(190), 10).end, 280);
        assert_eq!(promises.end_with(&other, 300), 380);
        file.write_all(&[0; 80]).unwrap();
        drop((first, second));
        assert_eq!(promises.writing(&one, None, 40).end, 220);
        assert!(promises.files().is_empty());
    }

    #[test]
    fn what_is_written_within_a_file_ends_there_and_other_files_are_others() {
        let (file, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        file.set_len(1000).unwrap();
        let promises = Promises::default();
        let within = promises.writing(&file, Some(10), 20);
        assert_eq!((within.end, promises.writing(&other, None, 5).end), (30, 5));
        assert_eq!(promises.end_with(&other, 7), 7);
    }
}

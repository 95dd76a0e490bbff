//! Compiled code, kept for the next time and for other processes of the same user.
//!
//! A directory holds three kinds of files:
//!
//! * `KEY-….code`: what the compiler wrote, as the engine maps it;
//! * `KEY.facts`: what is known of the module, which file has its code, and the marks of that file;
//! * `ID.file`: that a file with certain marks has the content KEY.
//!
//! KEY is the hash of the module's bytes and of everything that its code depends on: the engine's version and
//! settings, this program's version. ID is the hash of a file's marks: device, inode, size, and the times of its
//! last change. So a hit reads two small records and neither the module nor the code.
//!
//! *What is trusted.* The directory and all files in it belong to this user, nobody else may write to them, and
//! no link is followed. The code's hash is compared once, after its file was closed; its marks are taken before
//! that, and only when the kernel's clock has moved on since, so whatever is written to it later leaves other
//! marks behind. Records carry their own hash. What does not fit in every point is thrown away and compiled
//! again: a cache has no errors. Whoever can act as this user can do anything this user can, here as elsewhere.
//!
//! *Many at once.* Files appear whole (made under other names) and are never changed, only removed, so whoever
//! has one open keeps it. Two who compile the same thing at the same time both succeed, and one of them is found
//! later.

mod place;
mod room;
mod stamp;
#[cfg(test)]
mod tests;

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek as _, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::code::Code;
use super::compiler::Facts;
use place::{Place, draft_name};
use stamp::Stamp;

/// How exact the time of the last use is kept.
const SELDOM: Duration = Duration::from_secs(1);

/// Compiled code in a directory.
#[derive(Debug)]
pub(crate) struct Cache {
    place: Place,
    most: u64,
}

/// Names a content, compiled for a kind of engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key(String);

/// A file whose content may be known, by its marks.
pub(super) struct Identity {
    stamp: Stamp,
    /// Whether a change since then would show.
    is_settled: bool,
    engine: String,
    name: String,
}

/// Compiled code that was found.
pub(super) struct Hit {
    pub(super) key: Key,
    pub(super) facts: Facts,
    pub(super) code: Code,
}

/// Code that is just being written.
pub(super) struct Draft {
    name: String,
    file: File,
    hasher: Box<blake3::Hasher>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: Key,
    code: String,
    stamp: Stamp,
    facts: Facts,
}

#[derive(Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    engine: String,
    key: Key,
}

impl Key {
    pub(super) fn of(source: &str, engine: &str) -> Self {
        Self(blake3::hash(format!("{source} {engine}").as_bytes()).to_string())
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    fn record(&self) -> String {
        format!("{}.facts", self.0)
    }
}

impl Identity {
    pub(super) fn of(metadata: &Metadata, engine: &str) -> Self {
        let (stamp, engine) = (Stamp::of(metadata), engine.to_owned());
        let name = blake3::hash(format!("{stamp:?} {engine}").as_bytes()).to_string();
        let is_settled = stamp.is_settled().unwrap_or(false);
        Self { stamp, is_settled, engine, name: format!("{name}.file") }
    }

    /// Whether it is still the same file, unchanged.
    pub(super) fn fits(&self, metadata: &Metadata) -> bool {
        self.stamp == Stamp::of(metadata)
    }
}

impl Cache {
    /// Opens it, and makes it if it isn't there.
    pub(crate) fn open(path: &Path, most: u64) -> io::Result<Self> {
        Ok(Self { place: Place::open(path)?, most })
    }

    /// Looks for a file whose content was seen before.
    pub(super) fn find_file(&self, identity: &Identity) -> Option<Hit> {
        let (known, record) = self.place.read_record::<Known>(&identity.name)?;
        let fits = known.stamp == identity.stamp && known.engine == identity.engine;
        let hit = if fits { self.find(&known.key) } else { None };
        match hit {
            Some(_) => touch(&record),
            None => self.place.remove(&identity.name),
        }
        hit
    }

    /// Looks for a content.
    pub(super) fn find(&self, key: &Key) -> Option<Hit> {
        let (entry, record) = self.place.read_record::<Entry>(&key.record())?;
        let is_code =
            entry.key == *key && entry.code.starts_with(&key.0) && !entry.code.contains('/');
        let code = if is_code { self.place.read(&entry.code) } else { None };
        let code =
            code.filter(|code| code.metadata().is_ok_and(|now| Stamp::of(&now) == entry.stamp));
        let Some(code) = code else {
            self.place.remove(&key.record());
            if is_code {
                self.place.remove(&entry.code);
            }
            return None;
        };
        touch(&record);
        Some(Hit { key: entry.key, facts: entry.facts, code: Code::File(code) })
    }

    /// Throws an entry away that turned out to be of no use.
    pub(super) fn discard(&self, key: &Key) {
        if let Some((entry, _)) = self.place.read_record::<Entry>(&key.record())
            && entry.code.starts_with(&key.0)
            && !entry.code.contains('/')
        {
            self.place.remove(&entry.code);
        }
        self.place.remove(&key.record());
    }

    /// Remembers which content a file has, if a change of it since its marks were taken would show.
    pub(super) fn remember(&self, identity: &Identity, key: &Key) {
        if identity.is_settled {
            let (stamp, engine) = (identity.stamp.clone(), identity.engine.clone());
            let known = Known { stamp, engine, key: key.clone() };
            // It would only have saved a look at the content.
            let _ = self.place.write_record(&identity.name, &known);
        }
    }

    /// Begins to write code.
    pub(super) fn draft(&self) -> io::Result<Draft> {
        let name = draft_name("draft");
        let file = self.place.create(&name)?;
        Ok(Draft { name, file, hasher: Box::default() })
    }

    /// Gives up what was begun.
    pub(super) fn drop_draft(&self, draft: &Draft) {
        self.place.remove(&draft.name);
    }

    /// Keeps the code if there is room for it, and gives it back to be loaded. Fails if it is not what was written.
    pub(super) fn keep(&self, key: &Key, facts: &Facts, draft: Draft) -> io::Result<Code> {
        if let Some(hit) = self.find(key) {
            self.drop_draft(&draft);
            return Ok(hit.code);
        }
        let Draft { name, file, hasher } = draft;
        let suffix = name.strip_prefix("draft").unwrap_or(&name);
        let code = format!("{}{suffix}.code", key.0);
        let named = file.sync_data().and_then(|()| self.place.rename(&name, &code));
        // Closed before its marks are taken. Where it is gone from the directory, it is still open here.
        let reader = named.ok().and_then(|()| self.place.read(&code));
        let Some(mut reader) = reader else {
            self.place.remove(&name);
            return checked(file, &hasher).map(Code::File);
        };
        drop(file);
        let stamp = Stamp::of(&reader.metadata()?);
        let settled = stamp.settle().unwrap_or(false);
        let read = checked(reader.try_clone()?, &hasher);
        if let Err(error) = read {
            self.place.remove(&code);
            return Err(error);
        }
        reader.rewind()?;
        let fits = stamp.size() <= self.most && settled && Stamp::of(&reader.metadata()?) == stamp;
        let entry = Entry { key: key.clone(), code: code.clone(), stamp, facts: facts.clone() };
        if !fits || self.place.write_record(&key.record(), &entry).is_err() {
            self.place.remove(&code);
        }
        // What can't be tidied up now is tidied up by the next one.
        let _ = room::make_room(&self.place, self.most);
        Ok(Code::File(reader))
    }

    /// This user's own secret, for seals.
    pub(super) fn secret(&self) -> io::Result<[u8; 32]> {
        self.place.secret()
    }
}

/// The file, if its content is what was hashed while it was written.
fn checked(mut file: File, hasher: &blake3::Hasher) -> io::Result<File> {
    file.rewind()?;
    let mut found = blake3::Hasher::new();
    let mut piece = vec![0; 256 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => found.update(&piece[..count]),
        };
    }
    if found.finalize() != hasher.finalize() {
        return Err(io::Error::other("the compiled code was changed while it was written"));
    }
    file.rewind()?;
    Ok(file)
}

/// Says that an entry was used, for whoever makes room.
fn touch(record: &File) {
    let now = SystemTime::now();
    let modified = record.metadata().and_then(|metadata| metadata.modified());
    let is_recent =
        modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age < SELDOM));
    if !is_recent {
        // Then it is taken for one that was used earlier.
        let _ = record.set_modified(now);
    }
}

impl Draft {
    /// What was written so far.
    pub(super) fn written(&self) -> &File {
        &self.file
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

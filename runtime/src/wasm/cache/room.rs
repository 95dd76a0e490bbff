//! Keeps the cache below its size: what was not used for longest goes first.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use super::place::Place;

/// What a small file takes on a disk.
const BLOCK: u64 = 4096;

/// A file without its record is one that somebody is just making, or did not come to make. Compiling takes
/// minutes at most.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Files that come and go together.
#[derive(Default)]
struct Group {
    names: Vec<String>,
    bytes: u64,
    /// Seconds and nanoseconds.
    last_use: (i64, i64),
    is_whole: bool,
}

/// Removes until no more than `most` bytes are left. Where somebody else is just at it, there is nothing to do.
pub(super) fn make_room(place: &Place, most: u64) -> io::Result<()> {
    let lock = place.lock_file()?;
    if lock.try_lock().is_err() {
        return Ok(());
    }
    let now = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()).cast_signed();
    let mut groups: Vec<Group> = groups(place)?.into_values().collect();
    groups.sort_by_key(|group| group.last_use);
    let mut total: u64 = groups.iter().map(|group| group.bytes).sum();
    for group in groups {
        let is_abandoned =
            !group.is_whole && now - group.last_use.0 > ABANDONED.as_secs().cast_signed();
        if total > most || is_abandoned {
            group.names.iter().for_each(|name| place.remove(name));
            total -= group.bytes;
        }
    }
    Ok(())
}

fn groups(place: &Place) -> io::Result<HashMap<String, Group>> {
    let mut groups: HashMap<String, Group> = HashMap::new();
    for (name, stat) in place.list()? {
        let unfinished = || Some((name.as_str(), name.split_once('-')?.0));
        let Some((stem, kind)) = name.rsplit_once('.').or_else(unfinished) else { continue };
        // Files of other kinds (the lock, the key, anything of somebody else's) stay.
        let (stem, is_record) = match kind {
            "code" => (stem.split('-').next().unwrap_or(stem), false),
            "facts" | "file" => (stem, true),
            "tmp" | "draft" => (stem, false),
            _ => continue,
        };
        let group = groups.entry(stem.to_owned()).or_default();
        group.bytes += stat.st_size.cast_unsigned().next_multiple_of(BLOCK);
        group.is_whole |= is_record;
        // The record is touched at each use; the code may not be.
        let used = (stat.st_mtime, stat.st_mtime_nsec);
        group.last_use = group.last_use.max(used);
        group.names.push(name.clone());
    }
    Ok(groups)
}

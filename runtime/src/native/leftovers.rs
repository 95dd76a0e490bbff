//! Groups that somebody is still in, or that nobody removed: found by their names, and cleared from below.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What the names of all groups begin with.
const PREFIX: &str = "sandtrap-";

/// Who has made a group. Numbers of processes are used again, so it counts when one began; and what numbers are in another
/// namespace nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Maker {
    pid: u32,
    began: u64,
    namespace: u64,
}

impl Maker {
    fn here() -> Self {
        // A fork of this process is another one.
        static HERE: Mutex<Option<Maker>> = Mutex::new(None);
        let pid = std::process::id();
        let mut here = HERE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = here.filter(|known| known.pid == pid) {
            return known;
        }
        let (began, namespace) = (began(pid).unwrap_or(0), namespace().unwrap_or(0));
        *here.insert(Self { pid, began, namespace })
    }

    fn named(name: &str) -> Option<Self> {
        let (pid, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
        let (began, namespace) = rest.split_once('-')?.0.split_once('.')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self { pid: pid.parse().ok()?, began: number(began)?, namespace: number(namespace)? })
    }

    fn prefix(self) -> String {
        let Self { pid, began, namespace } = self;
        format!("{PREFIX}{pid}-{began:x}.{namespace:x}-")
    }
}

/// What the names of all groups of this process begin with.
pub(super) fn own_prefix() -> String {
    Maker::here().prefix()
}

/// Whether a group's name says that its maker is dead.
pub(super) fn is_orphan(name: &str) -> bool {
    Maker::named(name).is_some_and(|maker| {
        let is_known = maker.namespace == Maker::here().namespace;
        is_known && began(maker.pid) != Some(maker.began)
    })
}

/// When a process began, in the kernel's ticks.
fn began(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name, in brackets, may hold anything.
    let (_, behind_name) = status.rsplit_once(") ")?;
    behind_name.split(' ').nth(19)?.parse().ok()
}

/// The namespace that the numbers of processes are from here.
fn namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// Kills everybody in a group and below it, one by one. Tells how many.
pub(super) fn kill_below(folder: &Path) -> usize {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut killed = 0;
    for pid in list.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1) {
        super::sys::send(pid, libc::SIGKILL);
        killed += 1;
    }
    for_each_below(folder, |below| killed += kill_below(below));
    killed
}

/// Removes the groups below one.
pub(super) fn remove_below(folder: &Path) {
    for_each_below(folder, |below| {
        remove_below(below);
        // What is still in use is tried again.
        let _ = fs::remove_dir(below);
    });
}

fn for_each_below(folder: &Path, mut act: impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            act(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_a_dead_host_is_known_by_its_name() {
        let own = Maker::here();
        assert_eq!(own.began, began(own.pid).unwrap());
        let is_orphan = |maker: Maker| is_orphan(&format!("{}1", maker.prefix()));
        assert!(!is_orphan(own));
        let gone = Maker { pid: 4_194_999, ..own };
        assert!(is_orphan(gone));
        assert!(is_orphan(Maker { began: own.began - 1, ..own }), "its number is used again");
        assert!(!is_orphan(Maker { namespace: 1, ..gone }), "it may live elsewhere");
        for foreign in ["sandtrap-x-1.1-1", "sandtrap-1-1", "somebody-else"] {
            assert!(!super::is_orphan(foreign), "{foreign}");
        }
    }
}

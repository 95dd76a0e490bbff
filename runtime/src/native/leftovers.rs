//! Groups that somebody is still in, or that nobody removed: found by their names, and cleared from below.

use std::fs;
use std::path::Path;

use super::group::PREFIX;

/// Whether a group's name says that its maker is dead.
pub(super) fn is_orphan(name: &str) -> bool {
    let owner = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse::<u32>().ok());
    owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
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
        let alive = std::process::id();
        assert!(!is_orphan(&format!("sandtrap-{alive}-1")));
        assert!(is_orphan("sandtrap-4194999-1"));
        assert!(!is_orphan("sandtrap-x-1"));
        assert!(!is_orphan("somebody-else"));
    }
}

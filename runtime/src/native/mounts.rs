//! Where the control groups of this process lie in the file system.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of this process's own groups, where they are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates {
    /// In the unified hierarchy, if memory can be capped there.
    pub(super) unified: Option<PathBuf>,
    /// In the v1 hierarchy of the memory controller.
    pub(super) memory: Option<PathBuf>,
    /// In the v1 hierarchy that counts tasks.
    pub(super) pids: Option<PathBuf>,
    /// In the v1 hierarchy that counts processor time.
    pub(super) cpu: Option<PathBuf>,
    /// In the v1 hierarchy that shares processors out, which is often the same.
    pub(super) share: Option<PathBuf>,
}

/// Finds them in what the kernel says of this process.
pub(super) fn candidates() -> Result<Candidates, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mounts = read("/proc/self/mountinfo")?;
    let groups = read("/proc/self/cgroup")?;
    let mut found = parse(&mounts, &groups);
    found.unified = found.unified.and_then(|folder| with_memory(&folder));
    Ok(found)
}

fn parse(mounts: &str, groups: &str) -> Candidates {
    let mut found = Candidates::default();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut left = left.split(' ').skip(3);
        let (Some(root), Some(point)) = (left.next(), left.next()) else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
        let folder = |controller: &str| own_folder(groups, controller, root, point);
        match kind {
            Some("cgroup2") => found.unified = found.unified.or_else(|| folder("")),
            Some("cgroup") => {
                let has = |controller| options.split(',').any(|option| option == controller);
                if has("memory") {
                    found.memory = folder("memory");
                }
                if has("cpuacct") {
                    found.cpu = folder("cpuacct");
                }
                if has("cpu") {
                    found.share = folder("cpu");
                }
                if has("pids") {
                    found.pids = folder("pids");
                }
            }
            _ => {}
        }
    }
    found
}

/// The folder of this process's group for a controller: the mount point plus the group's path below what
/// is mounted there.
fn own_folder(groups: &str, controller: &str, root: &str, point: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        controllers.split(',').any(|name| name == controller).then(|| parts.next()).flatten()
    })?;
    let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
    Some(Path::new(point).join(below.trim_start_matches('/')))
}

/// A v2 group may have either processes or children with limits, so the groups are made beside our own
/// where our parent hands the memory controller down, or below it where it does so itself.
fn with_memory(own: &Path) -> Option<PathBuf> {
    [Some(own), own.parent()].into_iter().flatten().map(Path::to_path_buf).find(|folder| {
        fs::read_to_string(folder.join("cgroup.subtree_control"))
            .is_ok_and(|list| list.split_whitespace().any(|name| name == "memory"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
37 31 0:34 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 /outer /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_folders_follow_from_mounts_and_groups() {
        let groups = "8:pids:/outer/a\n6:cpu,cpuacct:/e\n4:memory:/b/c\n0::/d\n";
        assert_eq!(
            parse(MOUNTS, groups),
            Candidates {
                unified: Some("/sys/fs/cgroup/unified/d".into()),
                memory: Some("/sys/fs/cgroup/memory/b/c".into()),
                pids: Some("/sys/fs/cgroup/pids/a".into()),
                cpu: Some("/sys/fs/cgroup/cpu,cpuacct/e".into()),
                share: Some("/sys/fs/cgroup/cpu,cpuacct/e".into()),
            }
        );
    }

    #[test]
    fn groups_of_v2_are_made_where_memory_is_handed_down() {
        let tree = tempfile::tempdir().unwrap();
        let own = tree.path().join("own");
        fs::create_dir(&own).unwrap();
        let hand_down = |folder: &Path, list: &str| {
            fs::write(folder.join("cgroup.subtree_control"), list).unwrap();
        };
        assert_eq!(with_memory(&own), None, "nobody hands anything down");
        hand_down(tree.path(), "cpu pids\n");
        assert_eq!(with_memory(&own), None, "not that");
        hand_down(tree.path(), "cpu memory pids\n");
        assert_eq!(with_memory(&own).as_deref(), Some(tree.path()), "beside our own");
        hand_down(&own, "memory\n");
        assert_eq!(with_memory(&own).as_deref(), Some(&*own), "below our own");
    }

    #[test]
    fn what_is_not_mounted_is_not_found() {
        assert_eq!(parse("1 2 3:4 / / rw - ext4 /dev/vda rw\n", "0::/\n"), Candidates::default());
    }
}

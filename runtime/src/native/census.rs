//! Who is in a task's group and what they used altogether, those included whose birth no tracer saw.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::evidence::StopReason;

use super::family::Crowd;
use super::holdings::read;

/// Counts what is in a group, as long as there is one.
#[derive(Debug)]
pub(super) struct Census {
    processes: PathBuf,
    threads: PathBuf,
    clock: Option<Clock>,
}

impl Census {
    pub(super) fn new(processes: PathBuf, threads: PathBuf, clock: Option<Clock>) -> Self {
        Self { processes, threads, clock }
    }

    /// The limit that is exceeded in it.
    pub(super) fn excess(&self, crowd: Crowd) -> Option<StopReason> {
        let threads = lines(&self.threads);
        // There are at most as many processes, so in most tasks one list is enough.
        match crowd.excess(threads, threads) {
            None => None,
            Some(_) => crowd.excess(lines(&self.processes), threads),
        }
    }

    /// Late by at most a tick of each processor: what runs just now is added at the next one.
    pub(super) fn cpu(&self) -> Duration {
        self.clock.as_ref().and_then(Clock::used).unwrap_or_default()
    }
}

fn lines(list: &Path) -> usize {
    fs::read_to_string(list).map_or(0, |list| list.lines().count())
}

/// The file in which a group's processor time stands. It is open, for it is read often.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    file: Option<Arc<File>>,
    reads: fn(&str) -> Option<Duration>,
    /// What tasks before had used.
    before: Duration,
}

impl Clock {
    pub(super) fn v1(file: &Path) -> Self {
        Self::of(file, |text| text.trim().parse().ok().map(Duration::from_nanos))
    }

    pub(super) fn v2(file: &Path) -> Self {
        // It stands in the first line.
        Self::of(file, |text| {
            let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
            used.trim().parse().ok().map(Duration::from_micros)
        })
    }

    fn of(file: &Path, reads: fn(&str) -> Option<Duration>) -> Self {
        Self { file: File::open(file).ok().map(Arc::new), reads, before: Duration::ZERO }
    }

    pub(super) fn used(&self) -> Option<Duration> {
        Some(self.stands_at()?.saturating_sub(self.before))
    }

    /// Counts for another task from now on.
    pub(super) fn begin_anew(&mut self) -> Option<()> {
        self.before = self.stands_at()?;
        Some(())
    }

    fn stands_at(&self) -> Option<Duration> {
        read(self.file.as_deref()?, self.reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn each_version_has_its_own_clock() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        fs::write(&file, "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n").unwrap();
        assert_eq!(Clock::v2(&file).used(), Some(Duration::from_micros(1500)));
        fs::write(&file, "1500000\n").unwrap();
        assert_eq!(Clock::v1(&file).used(), Some(Duration::from_micros(1500)));
        fs::write(&file, "").unwrap();
        assert_eq!(Clock::v1(&file).used(), None);
        assert_eq!(Clock::v2(&folder.path().join("nowhere")).used(), None);
    }

    #[test]
    fn who_is_in_a_group_is_counted_by_its_lists() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let census = Census::new(place("cgroup.procs"), place("cgroup.threads"), None);
        let crowd = Crowd::allowed(&Limits { processes: 2, threads: 3, ..Limits::default() });
        for (processes, threads, excess) in [
            ("", "", None),
            ("1\n2\n", "1\n2\n3\n", None),
            ("1\n2\n3\n", "1\n2\n3\n", Some(StopReason::Processes)),
            ("1\n", "1\n2\n3\n4\n", Some(StopReason::Threads)),
        ] {
            fs::write(place("cgroup.procs"), processes).unwrap();
            fs::write(place("cgroup.threads"), threads).unwrap();
            assert_eq!(census.excess(crowd), excess, "{processes:?} {threads:?}");
        }
    }
}

//! A control group for each task: it caps memory, counts kills by the kernel, and holds the whole tree.
//!
//! Which kind there is depends on the host, so it is tried once, by making a group and setting a limit.
//! Groups are made below the group this process lives in, and named after it; a group whose owner died
//! without removing it is removed by the next wall that finds it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::Limits;

use super::census::{Census, Clock};
use super::mounts;

const PREFIX: &str = "sandtrap-";

/// Tasks beyond those that the tracer ends a bomb at: it shall see the one too many before the kernel refuses
/// it, so that the verdict doesn't depend on who was faster.
const SLACK: u64 = 64;

/// How often and how long to wait for the kernel to let go of the dead.
const REMOVALS: u32 = 2000;
const REMOVAL_PAUSE: Duration = Duration::from_millis(1);

/// A crowd needs longer to die than to be listed: it is not killed anew before each removal.
const KILL_EVERY: u32 = 32;

static NEXT_GROUP: AtomicU64 = AtomicU64::new(1);

/// Where groups can be made on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    version: Version,
    /// The folder in which memory groups are made.
    memory: PathBuf,
    /// The folder in which groups that count tasks are made, where that is another one.
    pids: Option<PathBuf>,
    /// The folder in which groups that count processor time are made, where that is another one.
    cpu: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Site {
    /// Finds the place, or says why there is none.
    pub(super) fn find() -> Result<Self, String> {
        let found = mounts::candidates()?;
        let mut reasons = Vec::new();
        if let Some(memory) = found.unified {
            match Self::v2(memory) {
                Ok(site) => return Ok(site),
                Err(why) => reasons.push(format!("v2: {why}")),
            }
        }
        if let Some(memory) = found.memory {
            match Self::v1(memory, found.pids, found.cpu) {
                Ok(site) => return Ok(site),
                Err(why) => reasons.push(format!("v1: {why}")),
            }
        }
        reasons.push("no other memory group is writable".to_owned());
        Err(reasons.join("; "))
    }

    /// Tries each version by itself, v2 first, and says where its groups would be or why there are none.
    pub(super) fn try_both() -> [Result<String, String>; 2] {
        let found = match mounts::candidates() {
            Ok(found) => found,
            Err(why) => return [Err(why.clone()), Err(why)],
        };
        let absent = "not mounted, or without a memory controller that is handed down to us";
        let v2 = found.unified.map(|memory| Self::v2(memory).map(|site| site.shown()));
        let v1 = found
            .memory
            .map(|memory| Self::v1(memory, found.pids, found.cpu).map(|site| site.shown()));
        [v2, v1].map(|tried| tried.unwrap_or_else(|| Err(absent.to_owned())))
    }

    fn shown(&self) -> String {
        self.memory.display().to_string()
    }

    fn v2(memory: PathBuf) -> Result<Self, String> {
        let site = Self { version: Version::V2, memory, pids: None, cpu: None };
        match site.try_out() {
            Ok(()) => Ok(site),
            Err(error) => Err(error.to_string()),
        }
    }

    fn v1(memory: PathBuf, pids: Option<PathBuf>, cpu: Option<PathBuf>) -> Result<Self, String> {
        let mut site = Self { version: Version::V1, memory, pids, cpu };
        if site.try_out().is_err() {
            site.cpu = None;
        }
        if site.try_out().is_err() {
            site.pids = None;
        }
        match site.try_out() {
            Ok(()) => Ok(site),
            Err(error) => Err(error.to_string()),
        }
    }

    fn try_out(&self) -> io::Result<()> {
        self.sweep();
        let group = self.make(&Limits { processes: 2, ..Limits::default() })?;
        group.remove();
        Ok(())
    }

    /// Whether tasks are born into its groups, instead of joining them.
    pub(super) fn is_born_into(&self) -> bool {
        self.version == Version::V2
    }

    /// Removes what hosts left behind that are no more. Only empty groups can be removed.
    fn sweep(&self) {
        for folder in
            [Some(&self.memory), self.pids.as_ref(), self.cpu.as_ref()].into_iter().flatten()
        {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if is_orphan(&entry.file_name().to_string_lossy()) {
                    // It is in use after all, or somebody else was faster: both are fine.
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }

    /// Makes a group for one task.
    pub(super) fn make(&self, limits: &Limits) -> io::Result<Group> {
        let (name, memory) = self.make_folder()?;
        let mut group = Group {
            version: self.version,
            memory,
            pids: None,
            cpu: None,
            clock: None,
            doors: Vec::new(),
        };
        group.pids = made_below(self.pids.as_ref(), &name)?;
        if limits.processes > 1 {
            // The clock of a process is exact; those of many, some of them gone, can only be added up.
            group.cpu = made_below(self.cpu.as_ref(), &name)?;
            group.clock = match (self.version, &group.cpu) {
                (Version::V1, folder) => {
                    folder.as_ref().map(|folder| Clock::V1(folder.join("cpuacct.usage")))
                }
                (Version::V2, _) => Some(Clock::V2(group.memory.join("cpu.stat"))),
            };
        }
        group.set_limits(limits)?;
        group.open_doors()?;
        Ok(group)
    }
}

impl Site {
    /// A name may be taken: by a host that had our number before us and left a group behind.
    fn make_folder(&self) -> io::Result<(String, PathBuf)> {
        loop {
            let number = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{number}", std::process::id());
            let memory = self.memory.join(&name);
            let others = [&self.pids, &self.cpu];
            let taken = others.into_iter().flatten().any(|folder| folder.join(&name).exists());
            match fs::create_dir(&memory) {
                Ok(()) if !taken => return Ok((name, memory)),
                Ok(()) => fs::remove_dir(&memory)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn made_below(folder: Option<&PathBuf>, name: &str) -> io::Result<Option<PathBuf>> {
    let Some(folder) = folder else { return Ok(None) };
    let made = folder.join(name);
    fs::create_dir(&made)?;
    Ok(Some(made))
}

/// Whether a group's name says that its maker is dead.
fn is_orphan(name: &str) -> bool {
    let owner = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse::<u32>().ok());
    owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// The group of one task. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct Group {
    version: Version,
    memory: PathBuf,
    pids: Option<PathBuf>,
    cpu: Option<PathBuf>,
    /// What counts the processor time of all of it, the dead and the unseen included.
    clock: Option<Clock>,
    /// Open files through which a child enters: `tasks` of v1, the folder itself of v2.
    doors: Vec<File>,
}

/// What a group counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) oom_kills: u64,
    pub(super) peak: u64,
    pub(super) cpu: Duration,
}

impl Group {
    fn set_limits(&self, limits: &Limits) -> io::Result<()> {
        let bytes = limits.memory.as_u64();
        let tasks = u64::from(limits.threads) + SLACK;
        match self.version {
            Version::V1 => {
                put(&self.memory, "memory.limit_in_bytes", bytes)?;
                // Only where the kernel counts swap; without swap there is nothing to escape to.
                let _ = put(&self.memory, "memory.memsw.limit_in_bytes", bytes);
                self.pids.as_ref().map_or(Ok(()), |folder| put(folder, "pids.max", tasks))
            }
            Version::V2 => {
                put(&self.memory, "memory.max", bytes)?;
                // The same as above.
                let _ = put(&self.memory, "memory.swap.max", 0);
                put(&self.memory, "memory.oom.group", 1)?;
                // Without this controller the tracer still counts processes.
                let _ = put(&self.memory, "pids.max", tasks);
                Ok(())
            }
        }
    }

    fn open_doors(&mut self) -> io::Result<()> {
        match self.version {
            Version::V1 => {
                // `tasks` and not `cgroup.procs`: the latter waits for a grace period of the kernel.
                let open =
                    |folder: &PathBuf| OpenOptions::new().write(true).open(folder.join("tasks"));
                self.doors = self.folders().map(open).collect::<io::Result<_>>()?;
            }
            Version::V2 => self.doors.push(File::open(&self.memory)?),
        }
        Ok(())
    }

    /// What a task needs to be in it: the folder to be born into (v2), or the files that it writes to itself (v1).
    pub(super) fn doors(&self) -> Vec<BorrowedFd<'_>> {
        self.doors.iter().map(|door| door.as_fd()).collect()
    }

    /// Whether a task is born into it, instead of joining.
    pub(super) fn is_born_into(&self) -> bool {
        self.version == Version::V2
    }

    /// Reads the counters. After the last process is reaped, before the group is removed.
    pub(super) fn counts(&self) -> Counts {
        let (events, peak) = match self.version {
            Version::V1 => ("memory.oom_control", "memory.max_usage_in_bytes"),
            Version::V2 => ("memory.events", "memory.peak"),
        };
        let events = fs::read_to_string(self.memory.join(events)).unwrap_or_default();
        let oom_kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0);
        let peak = fs::read_to_string(self.memory.join(peak)).unwrap_or_default();
        let cpu = self.clock.as_ref().and_then(Clock::used).unwrap_or_default();
        Counts { oom_kills, peak: peak.trim().parse().unwrap_or(0), cpu }
    }

    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.memory), self.pids.as_ref(), self.cpu.as_ref()].into_iter().flatten()
    }

    /// A way to ask who is in it, for one who doesn't hold it.
    pub(super) fn census(&self) -> Census {
        let tasks = match self.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.threads",
        };
        let processes = self.memory.join("cgroup.procs");
        Census::new(processes, self.memory.join(tasks), self.clock.clone())
    }

    /// Kills everything in it. Tells how many were sent a signal, where they are killed one by one.
    pub(super) fn kill_all(&self) -> usize {
        if self.version == Version::V2 && put(&self.memory, "cgroup.kill", 1).is_ok() {
            return 0;
        }
        if let Some(pids) = &self.pids {
            // Nobody may be born any more while the living are killed one by one.
            let _ = put(pids, "pids.max", 0);
        }
        kill_below(&self.memory)
    }

    fn remove(&self) {
        for folder in self.folders() {
            for attempt in 0..REMOVALS {
                match fs::remove_dir(folder) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        // Somebody who is dying is still in it, or somebody who outran the first kill, or
                        // a group that a guest with the right to do so made below it.
                        if attempt % KILL_EVERY == 0 {
                            self.kill_all();
                        }
                        remove_below(folder);
                        std::thread::sleep(REMOVAL_PAUSE);
                    }
                    _ => break,
                }
            }
        }
    }
}

fn kill_below(folder: &Path) -> usize {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut killed = 0;
    for pid in list.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1) {
        super::sys::send(pid, libc::SIGKILL);
        killed += 1;
    }
    for_each_below(folder, |below| killed += kill_below(below));
    killed
}

fn remove_below(folder: &Path) {
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

impl Drop for Group {
    fn drop(&mut self) {
        self.remove();
    }
}

fn put(folder: &Path, file: &str, value: u64) -> io::Result<()> {
    let path = folder.join(file);
    let written = OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut open| open.write_all(value.to_string().as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
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

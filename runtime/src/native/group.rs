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
use crate::quantity::Cpus;

use super::census::{Census, Clock};
use super::leftovers::{is_orphan, kill_below, remove_below};
use super::mounts::{self, Candidates};
use super::share;

/// What the names of all groups begin with; then comes the number of their host.
pub(super) const PREFIX: &str = "sandtrap-";

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
    /// The folder in which groups that share processors out are made, where that is another one.
    share: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Site {
    /// Finds the place, or says why there is none.
    pub(super) fn find() -> Result<Self, String> {
        let found = mounts::candidates()?;
        let mut reasons = Vec::new();
        if let Some(memory) = found.unified.clone() {
            match Self::v2(memory) {
                Ok(site) => return Ok(site),
                Err(why) => reasons.push(format!("v2: {why}")),
            }
        }
        if let Some(memory) = found.memory.clone() {
            match Self::v1(memory, &found) {
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
        let v2 = found.unified.clone().map(|memory| Self::v2(memory).map(|site| site.shown()));
        let v1 =
            found.memory.clone().map(|memory| Self::v1(memory, &found).map(|site| site.shown()));
        [v2, v1].map(|tried| tried.unwrap_or_else(|| Err(absent.to_owned())))
    }

    fn shown(&self) -> String {
        self.memory.display().to_string()
    }

    fn v2(memory: PathBuf) -> Result<Self, String> {
        let site = Self { version: Version::V2, memory, pids: None, cpu: None, share: None };
        match site.try_out() {
            Ok(()) => Ok(site),
            Err(error) => Err(error.to_string()),
        }
    }

    fn v1(memory: PathBuf, found: &Candidates) -> Result<Self, String> {
        let Candidates { pids, cpu, share, .. } = found.clone();
        let mut site = Self { version: Version::V1, memory, pids, cpu, share };
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
        let others = [&self.pids, &self.cpu, &self.share];
        for folder in others.into_iter().flatten().chain([&self.memory]) {
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
            share: None,
            cpus: None,
            clock: None,
            doors: Vec::new(),
        };
        group.pids = made_below(self.pids.as_ref(), &name)?;
        let is_joint = limits.cpus.is_some() && self.share == self.cpu;
        if limits.processes > 1 || is_joint {
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
        group.cpus = limits.cpus.map(|cpus| group.share_out(self, &name, cpus));
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
            let others = [&self.pids, &self.cpu, &self.share];
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

/// The group of one task. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct Group {
    version: Version,
    memory: PathBuf,
    pids: Option<PathBuf>,
    cpu: Option<PathBuf>,
    share: Option<PathBuf>,
    /// What came of its share of the processors, if it is to have one.
    cpus: Option<Result<(), String>>,
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

    fn share_out(&mut self, site: &Site, name: &str, cpus: Cpus) -> Result<(), String> {
        let folder = match self.version {
            Version::V2 => Some(&self.memory),
            Version::V1 if site.share == site.cpu => self.cpu.as_ref(),
            Version::V1 => {
                let made = made_below(site.share.as_ref(), name);
                self.share = made.map_err(|error| error.to_string())?;
                self.share.as_ref()
            }
        };
        share::hold(folder.map(PathBuf::as_path), self.version, cpus)
    }

    /// Whether it is held to its share of the processors. `None` if it has none.
    pub(super) fn is_shared_out(&self) -> Option<&Result<(), String>> {
        self.cpus.as_ref()
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
        let others = [&self.pids, &self.cpu, &self.share];
        [&self.memory].into_iter().chain(others.into_iter().flatten())
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

impl Drop for Group {
    fn drop(&mut self) {
        self.remove();
    }
}

pub(super) fn put(folder: &Path, file: &str, value: impl std::fmt::Display) -> io::Result<()> {
    let path = folder.join(file);
    let written = OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut open| open.write_all(value.to_string().as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

//! A control group for each task: it caps memory, counts kills by the kernel, and holds the whole tree.
//!
//! Its maker is the `site`. To make and to remove one costs as much as to start a small process, so one whose task is
//! certainly over, and of which nothing is left in it, is used again (`shelf`).

mod shelf;
mod site;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::limits::Limits;

use super::census::{Census, Clock};
use super::leftovers::{kill_below, remove_below};
use super::pump::processors;

pub(super) use shelf::Shelf;
pub(super) use site::Site;

/// Tasks beyond those that the tracer ends a bomb at: it shall see the one too many before the kernel refuses
/// it, so that the verdict doesn't depend on who was faster.
const SLACK: u64 = 64;

/// How often and how long to wait for the kernel to let go of the dead.
const REMOVALS: u32 = 2000;
const REMOVAL_PAUSE: Duration = Duration::from_millis(1);

/// A crowd needs longer to die than to be listed: it is not killed anew before each removal.
const KILL_EVERY: u32 = 32;

/// What a processor draws in advance for a group, and keeps for it when its task is over. A group that holds more than
/// that holds something that the task left behind: pages of files, or memory of the kernel's. (What counts is a
/// sixteenth of a small limit.)
const DRAWN: u64 = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// Where a group is, in each hierarchy that it is in.
#[derive(Clone, Debug)]
struct Folders {
    memory: PathBuf,
    pids: Option<PathBuf>,
    cpu: Option<PathBuf>,
    /// Where processors are shared out, where that is another one.
    share: Option<PathBuf>,
}

impl Folders {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        let others = [&self.pids, &self.cpu, &self.share];
        [&self.memory].into_iter().chain(others.into_iter().flatten())
    }
}

/// The limits that the kernel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caps {
    bytes: u64,
    tasks: u64,
}

impl Caps {
    fn of(limits: &Limits) -> Self {
        Self { bytes: limits.memory.as_u64(), tasks: u64::from(limits.threads) + SLACK }
    }
}

/// The group of one task. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct Group {
    version: Version,
    folders: Folders,
    caps: Caps,
    /// What came of its share of the processors, if it is to have one.
    cpus: Option<Result<(), String>>,
    /// What counts the processor time of all of it, the dead and the unseen included.
    clock: Option<Clock>,
    /// Open files through which a child enters: `tasks` of v1, the folder itself of v2.
    doors: Vec<File>,
    /// How often the kernel killed in it.
    events: Option<File>,
    /// The most memory it held, and since when may be said by writing to it. Older kernels have none.
    peak: Option<File>,
    /// Whether everything in it was killed: then nobody can be born in it any more.
    is_closed: AtomicBool,
}

/// What a group counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) oom_kills: u64,
    pub(super) peak: u64,
    pub(super) cpu: Duration,
}

impl Group {
    fn new(
        version: Version,
        folders: Folders,
        clock: Option<Clock>,
        cpus: Option<Result<(), String>>,
        limits: &Limits,
    ) -> io::Result<Self> {
        let caps = Caps::of(limits);
        set_memory(version, &folders.memory, caps.bytes, false)?;
        set_tasks(version, &folders, caps.tasks)?;
        let (events, peak) = match version {
            Version::V1 => ("memory.oom_control", "memory.max_usage_in_bytes"),
            Version::V2 => ("memory.events", "memory.peak"),
        };
        let peak = folders.memory.join(peak);
        let peak =
            OpenOptions::new().read(true).write(true).open(&peak).or_else(|_| File::open(&peak));
        Ok(Self {
            version,
            caps,
            cpus,
            clock,
            doors: doors(version, &folders)?,
            events: File::open(folders.memory.join(events)).ok(),
            peak: peak.ok(),
            folders,
            is_closed: AtomicBool::new(false),
        })
    }

    /// What a task needs to be in it: the folder to be born into (v2), or the files that it writes to itself (v1).
    pub(super) fn doors(&self) -> Vec<BorrowedFd<'_>> {
        self.doors.iter().map(|door| door.as_fd()).collect()
    }

    /// For a task that is born elsewhere: what it writes to, to be in it, where that is none of the doors. There it has to
    /// wait for the kernel a while.
    pub(super) fn entrance(&self) -> io::Result<Option<OwnedFd>> {
        if self.version == Version::V1 {
            return Ok(None);
        }
        let list = self.folders.memory.join("cgroup.procs");
        Ok(Some(OpenOptions::new().write(true).open(list)?.into()))
    }

    /// Whether a task is born into it, instead of joining.
    pub(super) fn is_born_into(&self) -> bool {
        self.version == Version::V2
    }

    /// Whether it is held to its share of the processors. `None` if it has none.
    pub(super) fn is_shared_out(&self) -> Option<&Result<(), String>> {
        self.cpus.as_ref()
    }

    /// Reads the counters. After the last process is reaped, before the group is removed.
    pub(super) fn counts(&self) -> Counts {
        let cpu = self.clock.as_ref().and_then(Clock::used).unwrap_or_default();
        Counts { oom_kills: self.oom_kills(), peak: self.peak().unwrap_or(0), cpu }
    }

    /// How often the kernel killed in it.
    pub(super) fn oom_kills(&self) -> u64 {
        let mut buffer = [0; 512];
        let events = self.events.as_ref().and_then(|file| text(file, &mut buffer));
        let count = events
            .and_then(|events| events.lines().find_map(|line| line.strip_prefix("oom_kill ")));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// The most memory it held.
    pub(super) fn peak(&self) -> Option<u64> {
        let mut buffer = [0; 64];
        text(self.peak.as_ref()?, &mut buffer)?.trim().parse().ok()
    }

    /// Where it says the most it held.
    pub(super) fn peak_file(&self) -> PathBuf {
        self.folders.memory.join(match self.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        })
    }

    /// A way to ask who is in it, for one who doesn't hold it.
    pub(super) fn census(&self) -> Census {
        let tasks = match self.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.threads",
        };
        let memory = &self.folders.memory;
        Census::new(memory.join("cgroup.procs"), memory.join(tasks), self.clock.clone())
    }

    /// Kills everything in it. Tells how many were sent a signal, where they are killed one by one.
    pub(super) fn kill_all(&self) -> usize {
        self.is_closed.store(true, Ordering::Relaxed);
        if self.version == Version::V2 && put(&self.folders.memory, "cgroup.kill", 1).is_ok() {
            return 0;
        }
        if let Some(pids) = &self.folders.pids {
            // Nobody may be born any more while the living are killed one by one.
            let _ = put(pids, "pids.max", 0);
        }
        kill_below(&self.folders.memory)
    }

    fn remove(&self) {
        for folder in self.folders.all() {
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

/// Used once more.
impl Group {
    /// Whether it has what tasks with these limits need. A share of the processors is given to a new group only.
    fn suits(&self, limits: &Limits) -> bool {
        let is_shared_out = self.cpus.is_some() || limits.cpus.is_some();
        !is_shared_out && self.clock.is_some() == site::counts_time(limits)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Sets its counters and limits for another task. An error means that it can't be used for one.
    fn begin_anew(&mut self, limits: &Limits) -> io::Result<()> {
        // From here on the most is what it holds now.
        self.peak.as_ref().ok_or(io::ErrorKind::NotFound)?.write_all_at(b"0", 0)?;
        let caps = Caps::of(limits);
        // One more for what is no processor's.
        let most = (DRAWN * u64::from(processors() + 1)).min(caps.bytes / 16);
        if self.peak().is_none_or(|left| left > most) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        if let Some(clock) = &mut self.clock {
            clock.begin_anew().ok_or(io::ErrorKind::NotFound)?;
        }
        if caps.bytes != self.caps.bytes {
            set_memory(
                self.version,
                &self.folders.memory,
                caps.bytes,
                caps.bytes > self.caps.bytes,
            )?;
        }
        if caps.tasks != self.caps.tasks {
            set_tasks(self.version, &self.folders, caps.tasks)?;
        }
        self.caps = caps;
        Ok(())
    }
}

/// Of two limits of which one must not be below the other, the one that makes way for the other is set first.
fn set_memory(version: Version, folder: &Path, bytes: u64, is_raised: bool) -> io::Result<()> {
    match version {
        Version::V1 => {
            // Only where the kernel counts swap; without swap there is nothing to escape to.
            let with_swap = || put(folder, "memory.memsw.limit_in_bytes", bytes);
            if is_raised {
                let _ = with_swap();
            }
            put(folder, "memory.limit_in_bytes", bytes)?;
            let _ = with_swap();
        }
        Version::V2 => {
            put(folder, "memory.max", bytes)?;
            // The same as above.
            let _ = put(folder, "memory.swap.max", 0);
        }
    }
    Ok(())
}

fn set_tasks(version: Version, folders: &Folders, tasks: u64) -> io::Result<()> {
    match version {
        Version::V1 => folders.pids.as_ref().map_or(Ok(()), |pids| put(pids, "pids.max", tasks)),
        Version::V2 => {
            // Without this controller the tracer still counts processes.
            let _ = put(&folders.memory, "pids.max", tasks);
            Ok(())
        }
    }
}

fn doors(version: Version, folders: &Folders) -> io::Result<Vec<File>> {
    match version {
        Version::V1 => {
            // `tasks` and not `cgroup.procs`: the latter waits for a grace period of the kernel.
            let open = |folder: &PathBuf| OpenOptions::new().write(true).open(folder.join("tasks"));
            folders.all().map(open).collect()
        }
        Version::V2 => Ok(vec![File::open(&folders.memory)?]),
    }
}

/// What a small file of the kernel's says now.
fn text<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let length = file.read_at(buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()
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

#[cfg(test)]
mod tests;

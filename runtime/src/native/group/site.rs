//! Where control groups can be made on this host, and how one is made.
//!
//! Which kind there is depends on the host, so it is tried once, by making a group and setting a limit.
//! Groups are made below the group this process lives in, and named after it; a group whose owner died without removing it
//! is removed by its heir, or by the next wall that finds it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::Limits;
use crate::quantity::Cpus;

use super::{Folders, Group, Version};
use crate::native::census::Clock;
use crate::native::leftovers::{is_orphan, own_prefix};
use crate::native::mounts::{self, Candidates};
use crate::native::share;

static NEXT_GROUP: AtomicU64 = AtomicU64::new(1);

/// Where groups can be made on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::native) struct Site {
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

impl Site {
    /// Finds the place, or says why there is none.
    pub(in crate::native) fn find() -> Result<Self, String> {
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
    pub(in crate::native) fn try_both() -> [Result<String, String>; 2] {
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

    /// All folders in which its groups are.
    pub(in crate::native) fn folders(&self) -> impl Iterator<Item = &Path> {
        let others = [&self.pids, &self.cpu, &self.share];
        [&self.memory].into_iter().chain(others.into_iter().flatten()).map(PathBuf::as_path)
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
    pub(in crate::native) fn is_born_into(&self) -> bool {
        self.version == Version::V2
    }

    /// Removes what hosts left behind that are no more. Only empty groups can be removed.
    fn sweep(&self) {
        for folder in self.folders() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if is_orphan(&entry.file_name().to_string_lossy()) {
                    // It is in use after all, or somebody else was faster: both are fine.
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }

    /// Makes a group for one task.
    pub(in crate::native) fn make(&self, limits: &Limits) -> io::Result<Group> {
        let (name, memory) = self.make_folder()?;
        let mut folders = Folders { memory, pids: None, cpu: None, share: None };
        let made = self.make_others(&name, limits, &mut folders);
        let made = made.and_then(|clock| {
            let cpus = limits.cpus.map(|cpus| self.share_out(&name, cpus, &mut folders));
            Group::new(self.version, folders.clone(), clock, cpus, limits)
        });
        made.inspect_err(|_| {
            // Nobody has been in them yet.
            for folder in folders.all() {
                let _ = fs::remove_dir(folder);
            }
        })
    }

    fn make_others(
        &self,
        name: &str,
        limits: &Limits,
        folders: &mut Folders,
    ) -> io::Result<Option<Clock>> {
        folders.pids = made_below(self.pids.as_ref(), name)?;
        let mut clock = None;
        let is_joint = limits.cpus.is_some() && self.share == self.cpu;
        if counts_time(limits) || is_joint {
            folders.cpu = made_below(self.cpu.as_ref(), name)?;
            clock = match (self.version, &folders.cpu) {
                (Version::V1, it) => it.as_ref().map(|it| Clock::v1(&it.join("cpuacct.usage"))),
                (Version::V2, _) => Some(Clock::v2(&folders.memory.join("cpu.stat"))),
            };
        }
        Ok(clock)
    }

    fn share_out(&self, name: &str, cpus: Cpus, folders: &mut Folders) -> Result<(), String> {
        let folder = match self.version {
            Version::V2 => Some(&folders.memory),
            Version::V1 if self.share == self.cpu => folders.cpu.as_ref(),
            Version::V1 => {
                let made = made_below(self.share.as_ref(), name);
                folders.share = made.map_err(|error| error.to_string())?;
                folders.share.as_ref()
            }
        };
        share::hold(folder.map(PathBuf::as_path), self.version, cpus)
    }
}

/// Whether a group has to count processor time: the clock of a process is exact; those of many, some of them gone,
/// can only be added up.
pub(super) fn counts_time(limits: &Limits) -> bool {
    limits.processes > 1
}

impl Site {
    /// A name may be taken: by a host that had our number before us and left a group behind.
    fn make_folder(&self) -> io::Result<(String, PathBuf)> {
        loop {
            let number = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}{number}", own_prefix());
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

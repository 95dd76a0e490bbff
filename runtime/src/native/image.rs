//! An executable made ready: looked at before anything is started, with everything its cells share.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::evidence::{Guard, GuardState, Refusal, Step};
use crate::isolation::{Cell, Image, LoadError, OpenError};
use crate::limits::Limits;
use crate::permissions::{GuardMode, Permissions};
use crate::task::Program;

use super::cell::NativeCell;
use super::filter::{Program as Filter, Terms};
use super::group::{Group, Site};
use super::monitor::Monitors;
use super::plan;

/// Guards that are part of starting a process here: without them there is no process.
const ALWAYS: [&str; 5] =
    ["process-group", "descriptors", "environment", "rlimits", "no-new-privileges"];

/// Walls that this wing does not put up yet. A report says so, so that nobody counts on them.
const ABSENT: [&str; 2] = ["namespaces", "landlock"];

/// One executable, and how its processes are started.
#[derive(Clone, Debug)]
pub(super) struct NativeImage {
    pub(super) path: PathBuf,
    pub(super) permissions: Permissions,
    pub(super) mode: GuardMode,
    pub(super) terms: Terms,
    pub(super) filter: Arc<Filter>,
    pub(super) monitors: Arc<Monitors>,
    site: Arc<Result<Site, String>>,
}

impl NativeImage {
    pub(super) fn load(
        program: &Program,
        monitors: Arc<Monitors>,
        site: Arc<Result<Site, String>>,
    ) -> Result<Self, LoadError> {
        let Some(path) = program.path() else {
            let detail =
                "a module in memory cannot be run as a process; run it behind the wasm wall";
            return Err(LoadError::at(Step::Accept, detail));
        };
        look_at(path)?;
        look_at_dirs(&program.policy().permissions)?;
        if program.policy().permissions.deterministic.is_some() {
            let detail = "a process sees the host's own clocks and random numbers, so it can't be run \
                          deterministically; run a module behind the wasm wall";
            return Err(LoadError::at(Step::Accept, detail));
        }
        let policy = program.policy();
        let terms = Terms::of(&policy.permissions);
        Ok(Self {
            path: path.to_owned(),
            permissions: policy.permissions.clone(),
            mode: policy.guards,
            terms,
            filter: Arc::new(terms.program()),
            monitors,
            site,
        })
    }

    /// Makes the group for one task, and lists what stands around it.
    pub(super) fn put_up_guards(
        &self,
        limits: &Limits,
    ) -> Result<(Option<Group>, Vec<Guard>), Refusal> {
        let made = match &*self.site {
            Ok(site) => site.make(limits).map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        let (group, guard) = match made {
            Ok(group) => (Some(group), Guard::in_force("memory-group")),
            Err(why) if self.mode == GuardMode::Required => {
                let detail = format!(
                    "the guard `memory-group` cannot be put up: {why}; run as a user who may make \
                     control groups, or allow the fall-back with best-effort guards"
                );
                return Err(Refusal { step: Step::Guard("memory-group"), errno: None, detail });
            }
            Err(why) => {
                let why = format!("{why}; the address space of each process is capped instead");
                (None, Guard::missing("memory-group", why))
            }
        };
        let mut guards = fixed_guards();
        guards.insert(0, guard);
        Ok((group, guards))
    }
}

fn fixed_guards() -> Vec<Guard> {
    let absent = ABSENT.map(|name| Guard { name, state: GuardState::Off, why: None });
    ALWAYS.map(Guard::in_force).into_iter().chain(absent).collect()
}

impl Image for NativeImage {
    fn open(&self) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(NativeCell::new(Arc::new(self.clone()))))
    }

    fn grantable(&self, limits: Limits) -> Limits {
        plan::grantable(limits)
    }

    fn guards(&self) -> Vec<Guard> {
        fixed_guards()
    }
}

/// Refuses directories that a process would not find as they were granted.
fn look_at_dirs(permissions: &Permissions) -> Result<(), LoadError> {
    for dir in &permissions.dirs {
        dir.look()?;
        if !dir.keeps_its_name() {
            let detail = format!(
                "a process finds the directory `{}` under its own name only, not as `{}`: files are \
                 not confined behind the native wall yet; grant it without another name, or run a \
                 module behind the wasm wall",
                dir.host.display(),
                dir.guest.display()
            );
            return Err(LoadError::at(Step::Accept, detail));
        }
    }
    Ok(())
}

/// Refuses what can't be executed, before there is a process.
fn look_at(path: &Path) -> Result<(), LoadError> {
    let program = path.display();
    let meta = fs::metadata(path).map_err(|error| {
        let step = match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Step::Find,
            _ => Step::Execute,
        };
        LoadError::at(step, format!("cannot find `{program}`: {error}"))
            .with_errno(error.raw_os_error())
    })?;
    let refuse = |detail| Err(LoadError::at(Step::Execute, detail));
    if meta.is_dir() {
        return refuse(format!("`{program}` is a directory; name the program in it"));
    }
    if !meta.is_file() {
        return refuse(format!("`{program}` is not a regular file"));
    }
    if meta.permissions().mode() & 0o111 == 0 {
        let hint =
            format!("`{program}` has no permission to be executed; try `chmod +x {program}`");
        return refuse(hint);
    }
    Ok(())
}

//! An executable made ready: looked at before anything is started, with everything its cells share.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::channel::results_in;
use crate::evidence::{Guard, Refusal, Step};
use crate::guarding::Guarding;
use crate::host::Granted;
use crate::isolation::{Cell, Image, LoadError, OpenError, StopHandle};
use crate::limits::Limits;
use crate::payload::Payloads;
use crate::permissions::{Permissions, Profile};
use crate::start::Start;
use crate::task::{Entry, Program};
use crate::value_file::ValueDir;

use super::backtrace::Told;
use super::behind::Behind;
use super::cage::Layout;
use super::cell::NativeCell;
use super::filter::Terms;
use super::group::{Group, Site};
use super::lately::{Lately, SET};
use super::plan::Ceilings;
use super::standing::{self, Lacks, Standing};
use super::zygote::Nursery;
use super::{image_file, refusals, view, wire};

/// Guards that this file speaks of.
const MEMORY: &str = "memory-group";
const CPU: &str = "cpu-group";
const PIDS: &str = "pid-namespace";

/// One executable, and how its processes are started.
#[derive(Clone, Debug)]
pub(super) struct NativeImage(Arc<Prepared>);

/// What all cells of an image share.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What the caller calls it, and what it is told that it is called.
    pub(super) path: PathBuf,
    /// Where it really is. `None` where its name leads elsewhere inside: then it is executed by a descriptor.
    pub(super) place: Option<PathBuf>,
    pub(super) permissions: Permissions,
    /// Whether its guests share memory with us for large values.
    pub(super) shares_memory: bool,
    /// Where large results go, if not into memory.
    pub(super) results_in: Option<ValueDir>,
    /// The functions of the host that its guests may call.
    pub(super) granted: Granted,
    /// Those of its program: a process that is started before its task is known is started with them, and so is one that
    /// is warmed up.
    pub(super) limits: Limits,
    /// What this host may have at most.
    ceilings: Mutex<Lately<Ceilings>>,
    pub(super) guarding: Guarding,
    pub(super) layout: Layout,
    pub(super) terms: Terms,
    /// Whether each task has something in its root that others don't.
    pub(super) has_views: bool,
    /// The arguments of a process of which a function is called.
    pub(super) arguments_of_calls: Vec<OsString>,
    /// Whether a process that dies is to be asked where it was.
    pub(super) backtrace: bool,
    /// By what a guest is understood that says where it panicked, where that is wanted.
    pub(super) told: Option<Arc<Told>>,
    site: Arc<Result<Site, String>>,
    /// How each of its tasks begins.
    pub(super) start: Start,
    /// Where its warm guest is. Before the cage: that can go only when nobody is left in it.
    pub(super) nursery: Nursery,
    /// What is about to go, and groups whose tasks are over.
    pub(super) behind: Arc<Behind>,
    standing: Mutex<State>,
}

/// The cage, once it stands, and what this host turned out to lack.
#[derive(Debug, Default)]
struct State {
    standing: Option<Arc<Standing>>,
    lacks: Lacks,
}

impl NativeImage {
    pub(super) fn load(
        program: &Program,
        site: Arc<Result<Site, String>>,
    ) -> Result<Self, LoadError> {
        let Some(path) = program.path() else {
            let detail =
                "a module in memory cannot be run as a process; run it behind the wasm wall";
            return Err(LoadError::at(Step::Accept, detail));
        };
        look_at(path)?;
        let has_views = view::is_wanted(&program.policy().permissions, &program.policy().limits);
        if program.start() == Start::Fork && has_views {
            let detail = "a `/tmp` or a `/proc` of a task's own is made before its program is executed, and a fork is \
                          made after that; start the tasks by spawn";
            return Err(LoadError::at(Step::Accept, detail));
        }
        let policy = program.policy();
        for dir in &policy.permissions.dirs {
            dir.look()?;
        }
        if policy.permissions.deterministic.is_some() {
            let detail = "a process sees the host's own clocks and random numbers, so it can't be run \
                          deterministically; run a module behind the wasm wall";
            return Err(LoadError::at(Step::Accept, detail));
        }
        if program.wants_core_dump() {
            let detail = "a core dump is made of a module, and not of a process; its report has its registers, and \
                          with `backtrace` its stack";
            return Err(LoadError::at(Step::Accept, detail));
        }
        view::check(path, &policy.permissions, &policy.limits)?;
        standing::check_promised(policy)?;
        let place = place_of(path).filter(|place| !view::is_covered(place, &policy.limits));
        let mut layout = Layout::of(path, place.as_deref(), &policy.permissions)?;
        if view::has_scratch(&policy.limits) {
            layout.has_place(view::SHARED_MEMORY);
        }
        let has_scratch = view::has_scratch(&policy.limits);
        let terms = Terms::of(&policy.permissions, has_scratch, site.is_ok());
        let told =
            place.as_deref().filter(|_| program.wants_backtrace()).and_then(Told::of).map(Arc::new);
        Ok(Self(Arc::new(Prepared {
            path: path.to_owned(),
            place,
            permissions: policy.permissions.clone(),
            shares_memory: shares_memory(program),
            results_in: results_in(program)?,
            granted: program.granted(),
            limits: Ceilings::now().below(policy.limits.clone()),
            ceilings: Mutex::default(),
            guarding: policy.guards.clone(),
            layout,
            terms,
            has_views,
            arguments_of_calls: program.arguments_of_calls().to_vec(),
            backtrace: program.wants_backtrace(),
            told,
            start: program.start(),
            nursery: Nursery::default(),
            site,
            behind: Arc::default(),
            standing: Mutex::default(),
        })))
    }
}

/// Memory that is shared can be mapped as code, so it is not given to those who may not make any, unless that was
/// asked for.
fn shares_memory(program: &Program) -> bool {
    match program.wanted_payloads() {
        Payloads::Inline | Payloads::File(_) => false,
        Payloads::Shared => true,
        Payloads::Auto => {
            matches!(program.policy().permissions.profile, Profile::Process | Profile::Jit)
        }
    }
}

impl Prepared {
    /// The cage with its keeper; built at the first task, and anew if its keeper went away.
    pub(super) fn standing(&self) -> Result<Arc<Standing>, Refusal> {
        let mut state = self.state();
        match &state.standing {
            Some(known) if !known.keeper.is_gone() => Ok(Arc::clone(known)),
            _ => {
                let built = Arc::new(Standing::build(self, state.lacks)?);
                state.standing = Some(Arc::clone(&built));
                Ok(built)
            }
        }
    }

    /// The next cage does without what a step of a child could not do in this one. Says whether that is of any use, or
    /// which guard would be lost by it that is required.
    pub(super) fn do_without(
        &self,
        step: u32,
        errno: i32,
        used: &Arc<Standing>,
    ) -> Result<bool, &'static str> {
        let mut state = self.state();
        let (lack, guard) = match step {
            wire::step::TRACE => (&mut state.lacks.tracing, "tracing"),
            // A lack of room passes; that it may not have a namespace doesn't.
            wire::step::CLONE
                if matches!(errno, libc::EPERM | libc::EINVAL | libc::ENOSYS | libc::ENOSPC) =>
            {
                (&mut state.lacks.own_pids, PIDS)
            }
            wire::step::FILTER => (&mut state.lacks.filter, "seccomp"),
            _ => return Ok(false),
        };
        // Each of them goes with the namespace of processes.
        if let Some(required) = [guard, PIDS].into_iter().find(|it| self.guarding.requires(it)) {
            return Err(required);
        }
        let is_new = !std::mem::replace(lack, true);
        let is_latest = state.standing.as_ref().is_some_and(|latest| Arc::ptr_eq(latest, used));
        if is_latest {
            state.standing = None;
        }
        // Somebody else may have found it out in the same cage: then there is another one, or soon will be.
        Ok(is_new || !is_latest)
    }

    /// Whether each task puts its filter upon itself: its child is born into its group by a call that no filter can
    /// look into, or mounts what is its own, which no filter allows.
    pub(super) fn filter_themselves(&self) -> bool {
        self.has_views || self.site.as_ref().as_ref().is_ok_and(Site::is_born_into)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group for one task, one that is there already or a new one, and which guards it is.
    pub(super) fn group(&self, limits: &Limits) -> Result<(Option<Group>, Vec<Guard>), Refusal> {
        let made = match (self.behind.shelf.take(limits), &*self.site) {
            (Some(group), _) => Ok(group),
            (None, Ok(site)) => site.make(limits).map_err(|error| error.to_string()),
            (None, Err(why)) => Err(why.clone()),
        };
        let shared_out = match (&made, limits.cpus) {
            (_, None) => None,
            (Ok(group), Some(_)) => group.is_shared_out().cloned(),
            (Err(why), Some(_)) => Some(Err(why.clone())),
        };
        let (group, memory) = match made {
            Ok(group) => (Some(group), Guard::in_force(MEMORY)),
            Err(why) if self.guarding.requires(MEMORY) => {
                return Err(refusals::no_guard(MEMORY, &why, None));
            }
            Err(why) => {
                let why = format!("{why}; the address space of each process is capped instead");
                (None, Guard::missing(MEMORY, why))
            }
        };
        let cpu = match shared_out {
            None if self.guarding.insists_on(CPU) => {
                let why = "no share of the processors was asked for, as by `--cpus`";
                return Err(refusals::not_wanted(CPU, why));
            }
            None => None,
            Some(Ok(())) => Some(Guard::in_force(CPU)),
            Some(Err(why)) if self.guarding.requires(CPU) => {
                return Err(refusals::no_guard(CPU, &why, None));
            }
            Some(Err(why)) => {
                let why = format!("{why}; it may use all processors");
                Some(Guard::missing(CPU, why))
            }
        };
        Ok((group, [memory].into_iter().chain(cpu).collect()))
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.behind.clear_all();
    }
}

impl Image for NativeImage {
    fn open(&self) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(NativeCell::new(Arc::clone(&self.0))))
    }

    fn ready(&self, keeps: bool, stop: &StopHandle) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(NativeCell::ready(Arc::clone(&self.0), keeps, stop)?))
    }

    fn ready_for(&self, entry: &Entry, stop: &StopHandle) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(NativeCell::ready_for(Arc::clone(&self.0), entry, stop)?))
    }

    fn keep(&self) -> Result<Box<dyn Cell>, OpenError> {
        self.keep_until(&StopHandle::new())
    }

    fn keep_until(&self, stop: &StopHandle) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(NativeCell::started(Arc::clone(&self.0), true, stop)?))
    }

    fn grantable(&self, limits: Limits) -> Limits {
        let ceilings = self.0.ceilings.lock().unwrap_or_else(PoisonError::into_inner);
        // A process has no more than its host, whatever it is meant to have.
        ceilings.get_within(SET, Ceilings::now).below(limits)
    }

    fn keeps_time(&self) -> bool {
        true
    }

    fn guards(&self) -> Vec<Guard> {
        let state = self.0.state();
        state.standing.as_ref().map_or_else(standing::always, |standing| standing.guards.clone())
    }
}

/// Where an executable really is. What a process's own name for something leads to is not the same inside.
fn place_of(path: &Path) -> Option<PathBuf> {
    let is_own = path.starts_with("/proc") || path.starts_with("/dev");
    path.canonicalize().ok().filter(|place| !is_own && place.exists())
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
    // Whoever may not read it has no need to.
    if File::open(path).is_ok_and(|file| image_file::is_cut_off(&file, meta.len())) {
        return refuse(format!(
            "`{program}` begins as a native executable and is cut off or damaged"
        ));
    }
    Ok(())
}

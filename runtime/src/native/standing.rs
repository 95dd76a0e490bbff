//! What stands around the tasks of one program: its cage with a keeper in it, and the list of guards.
//!
//! Where something can't be put up, the next lesser cage is tried, unless guards are required: with namespaces of
//! its own for users, without (as root), without any. What is missing is on the list, with the reason.

mod guards;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::evidence::{Guard, Refusal, Step};
use crate::permissions::{Network, Permissions};
use crate::start::Start;

use super::backtrace::Told;
use super::cage::enter::CageStep;
use super::cage::{Deed, Namespaces};
use super::filter::Terms;
use super::image::Prepared;
use super::keeper::Keeper;
use super::prepared::Cage;
use super::{landlock, refusals, wire};
use guards::{
    filter_guard, lost, missed, namespaces as namespace_guards, pid_guard, tracing_guard,
};

pub(super) use guards::{always, check_promised};

/// What a host turned out to lack when a task was started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lacks {
    pub(super) tracing: bool,
    pub(super) own_pids: bool,
    pub(super) filter: bool,
}

/// A cage that stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) keeper: Keeper,
    /// What it is told with every order.
    pub(super) flags: u32,
    pub(super) terms: Terms,
    /// The rules of its tasks, and what a fork of a warm guest puts on last.
    pub(super) rules: Option<OwnedFd>,
    pub(super) last_filter: Vec<libc::sock_filter>,
    /// Whether each task is the first of a namespace for processes.
    pub(super) own_pids: bool,
    /// Whether a task may be held where its caller is: its tracer hears of whatever could tell it so, and it reads it nowhere.
    pub(super) may_hold: bool,
    /// Whether one that is kept was slow to wake where the kernel had put it.
    pub(super) is_slow_to_wake: Arc<AtomicBool>,
    pub(super) guards: Vec<Guard>,
    /// By what a guest is understood that says where it panicked.
    pub(super) told: Option<Arc<Told>>,
    /// The program itself, where it is executed by descriptor.
    pub(super) program: Option<OwnedFd>,
    /// Where there are rules: whether what can be read can be executed, too.
    pub(super) may_execute_by_rules: Option<bool>,
}

impl Standing {
    pub(super) fn build(image: &Prepared, lacks: Lacks) -> Result<Self, Refusal> {
        let mut trial = Trial {
            image,
            lacks,
            unfiltered: lacks.filter.then(|| "this host refuses it".to_owned()),
            reasons: Vec::new(),
        };
        let mut cages = lesser_and_lesser(image.permissions.net).into_iter();
        let mut next = cages.next();
        while let Some(namespaces) = next {
            let (step, error) = match trial.run(namespaces)? {
                Ok(standing) => return Ok(standing),
                Err(failure) => failure,
            };
            let what = words(step, &image.layout.deeds);
            let Some(guard) = guard_of(step) else {
                return Err(refusals::no_keeper(&what, &error));
            };
            let is_filter = guard == "seccomp" && trial.unfiltered.is_none();
            let following = if is_filter { Some(namespaces) } else { cages.next() };
            let lost = match is_filter {
                true => vec!["seccomp", "pid-namespace"],
                false => lost(namespaces, following),
            };
            if let Some(missed) = missed(&image.guarding, guard, &lost) {
                let why = format!("{what}: {error}");
                return Err(refusals::no_guard(missed, &why, error.raw_os_error()));
            }
            next = following;
            match is_filter {
                true => trial.unfiltered = Some(format!("this host refuses it: {error}")),
                false => trial.reasons.push((step, error)),
            }
        }
        Err(refusals::no_keeper("no cage could be built", &io::ErrorKind::Other.into()))
    }
}

/// One cage after another is tried.
struct Trial<'a> {
    image: &'a Prepared,
    lacks: Lacks,
    unfiltered: Option<String>,
    reasons: Vec<(CageStep, io::Error)>,
}

impl Trial<'_> {
    fn run(
        &self,
        namespaces: Namespaces,
    ) -> Result<Result<Standing, (CageStep, io::Error)>, Refusal> {
        let Self { image, lacks, .. } = *self;
        if !namespaces.rest {
            keep_their_names(&image.permissions)?;
            self.need_no_root()?;
        }
        let program = match image.place {
            Some(_) => None,
            None => Some(open(&image.path)?),
        };
        let opened = program;
        let program = opened.as_ref().map(|program| program.as_fd());
        // The first process of a namespace is not hit by what it does to itself, unless a tracer sees to it,
        // and a filter calls the tracer.
        let own_pids =
            namespaces.rest && !(lacks.tracing || lacks.own_pids || self.unfiltered.is_some());
        let terms = image.terms.with_tracer(own_pids);
        let forks = image.start == Start::Fork;
        if forks && !(own_pids && namespaces.user) {
            let reason = self
                .reasons
                .first()
                .map(|(step, error)| format!("{}: {error}", words(*step, &image.layout.deeds)));
            return Err(refusals::no_forks(reason.as_deref()));
        }
        let filter = if forks { terms.with_forks() } else { terms }.program();
        let last_filter = forks.then(|| terms.last_filter().instructions().to_vec());
        // A tracer sees an exec that is not allowed, and says so; where there is none it is refused without words.
        let may_execute = terms.may_have_processes() || !lacks.tracing;
        let (rules, landlock) = landlock::put_up(image, program, namespaces, may_execute)?;
        if image.permissions.proc {
            shows_processes(own_pids, rules.is_some(), &landlock)?;
        }
        let may_execute_by_rules = rules.is_some().then_some(may_execute);
        let cage = Cage {
            namespaces,
            layout: &image.layout,
            rules: rules.as_ref().map(|rules| rules.as_fd()),
            program,
            filter: if self.unfiltered.is_some() { &[] } else { filter.instructions() },
            inherit_filter: !image.filter_themselves(),
        };
        let keeper = match Keeper::start(&cage) {
            Ok(keeper) => keeper,
            Err((None, error)) => return Err(refusals::no_keeper("it has no room", &error)),
            Err((Some(step), error)) => return Ok(Err((step, error))),
        };
        let mut guards = always();
        let why = why_lesser(&image.layout.deeds, &self.reasons);
        guards.extend(namespace_guards(namespaces, image.permissions.net, &why));
        guards.push(pid_guard(own_pids, &guards));
        guards.extend(landlock);
        guards.push(filter_guard(self.unfiltered.clone()));
        guards.push(tracing_guard(lacks.tracing));
        if let Some((guard, why)) =
            image.guarding.missed(&guards).filter(|(name, _)| *name != "landlock-scopes")
        {
            return Err(refusals::no_guard(guard, &why, None));
        }
        let flags = flags(&cage, own_pids, lacks.tracing);
        let standing = Standing {
            keeper,
            flags,
            terms,
            // It is only forks that are given them from here.
            rules: rules.filter(|_| forks),
            last_filter: last_filter.unwrap_or_default(),
            own_pids,
            may_hold: own_pids && !image.permissions.proc,
            is_slow_to_wake: Arc::default(),
            guards,
            told: image.told.clone(),
            program: opened,
            may_execute_by_rules,
        };
        Ok(Ok(standing))
    }

    /// What takes a root of its own is refused where there is none.
    fn need_no_root(&self) -> Result<(), Refusal> {
        if !self.image.has_views {
            return Ok(());
        }
        let what = if self.image.permissions.proc { "/proc" } else { "/tmp" };
        let why = why_lesser(&self.image.layout.deeds, &self.reasons);
        let detail =
            format!("a `{what}` of its own takes a root of its own, which can't be made: {why}");
        Err(Refusal { step: Step::Accept, errno: None, detail })
    }
}

/// A `/proc` is only shown to a task that is alone in it, and that can't open by it what it was not given.
fn shows_processes(own_pids: bool, has_rules: bool, guards: &[Guard]) -> Result<(), Refusal> {
    let lacks = match (own_pids, has_rules) {
        (true, true) => return Ok(()),
        (false, _) => "a namespace of processes, which this host does not let us have".to_owned(),
        (true, false) => {
            let why = guards.iter().find_map(|guard| guard.why.as_deref());
            format!("Landlock, which can't be had: {}", why.unwrap_or("it is turned off"))
        }
    };
    let detail = format!("a `/proc` of its own takes {lacks}");
    Err(Refusal { step: Step::Accept, errno: None, detail })
}

/// How every task of a cage is started.
fn flags(cage: &Cage<'_>, own_pids: bool, untraced: bool) -> u32 {
    let filters_itself = !cage.filter.is_empty() && !cage.inherit_filter;
    let flags = [
        (wire::TRACE, true),
        (wire::UNTRACED_IS_FINE, untraced),
        (wire::OWN_PIDS, own_pids),
        (wire::RESTRICT, cage.rules.is_some()),
        (wire::FILTER, filters_itself),
        (wire::BY_DESCRIPTOR, cage.program.is_some()),
    ];
    flags.iter().filter(|(_, is_on)| *is_on).fold(0, |all, (flag, _)| all | flag)
}

/// The best cage first.
fn lesser_and_lesser(net: Network) -> Vec<Namespaces> {
    let net = net == Network::None;
    let all = Namespaces { user: true, rest: true, net };
    let mut cages = vec![all];
    if nix::unistd::geteuid().is_root() {
        cages.push(Namespaces { user: false, ..all });
    }
    cages.push(Namespaces { user: false, rest: false, net: false });
    cages
}

/// The guard that a step puts up, where there is a cage without it.
fn guard_of(step: CageStep) -> Option<&'static str> {
    match step {
        CageStep::UserNamespace => Some("user-namespace"),
        CageStep::Namespaces
        | CageStep::Root
        | CageStep::Deed(_)
        | CageStep::NewRoot
        | CageStep::Folder => Some("mount-namespace"),
        CageStep::Filter => Some("seccomp"),
        CageStep::Session | CageStep::Capabilities | CageStep::Descriptors | CageStep::Exec => None,
    }
}

/// What was being done.
fn words(step: CageStep, deeds: &[Deed]) -> String {
    match step {
        CageStep::Session => "beginning a session".to_owned(),
        CageStep::UserNamespace => "making a user namespace".to_owned(),
        CageStep::Namespaces => "making namespaces".to_owned(),
        CageStep::Root => "making a root".to_owned(),
        CageStep::Deed(index) => match deeds.get(index) {
            Some(
                Deed::Bind { at, .. }
                | Deed::Folder(at)
                | Deed::File(at)
                | Deed::Link { at, .. }
                | Deed::Proc { at },
            ) => {
                let inside = at.to_string_lossy();
                let inside = inside.strip_prefix(super::cage::NEW_ROOT).unwrap_or(&inside);
                format!("putting `{inside}` into the root")
            }
            None => "filling the root".to_owned(),
        },
        CageStep::NewRoot => "changing the root".to_owned(),
        CageStep::Folder => "entering the working folder".to_owned(),
        CageStep::Capabilities => "dropping capabilities".to_owned(),
        CageStep::Descriptors => "placing descriptors".to_owned(),
        CageStep::Filter => "putting on a filter".to_owned(),
        CageStep::Exec => "executing the keeper".to_owned(),
    }
}

/// Why the best cage could not be built.
fn why_lesser(deeds: &[Deed], reasons: &[(CageStep, io::Error)]) -> String {
    let first = reasons.first();
    first.map(|(step, error)| format!("{}: {error}", words(*step, deeds))).unwrap_or_default()
}

fn open(path: &Path) -> Result<OwnedFd, Refusal> {
    let opened = File::open(path).map_err(|error| Refusal {
        step: Step::Execute,
        errno: error.raw_os_error(),
        detail: format!("`{}` cannot be opened to be executed: {error}", path.display()),
    })?;
    Ok(opened.into())
}

/// Without a root of its own, a process finds a directory where the host has it.
fn keep_their_names(permissions: &Permissions) -> Result<(), Refusal> {
    let renamed = permissions.dirs.iter().find(|dir| !dir.keeps_its_name());
    renamed.map_or(Ok(()), |dir| {
        let detail = format!(
            "a process finds the directory `{}` under its own name only, not as `{}`: this host lets \
             nobody make a root; grant it without another name, or run a module behind the wasm wall",
            dir.host.display(),
            dir.guest.display()
        );
        Err(Refusal { step: Step::Accept, errno: None, detail })
    })
}

//! Which guards a task is refused without: all that it should have, none, or some by their names.

use std::collections::BTreeMap;

use crate::evidence::{Guard, GuardState};

/// What happens when a guard that was asked for cannot be put up on this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardMode {
    /// The task is refused: `unstarted.guard`.
    Required,
    /// The declared fall-back is used, and the report says so.
    #[default]
    BestEffort,
}

/// One mode for all guards, and another one for some.
///
/// ```
/// use sandtrap::{GuardMode, Guarding};
///
/// let guards = Guarding::from(GuardMode::BestEffort).with("seccomp", GuardMode::Required)?;
/// assert!(guards.requires("seccomp") && !guards.requires("landlock"));
/// # Ok::<(), sandtrap::UnknownGuard>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarding {
    mode: GuardMode,
    named: BTreeMap<&'static str, GuardMode>,
}

/// What a guard stands around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// Every process: it is part of starting one.
    EveryProcess,
    /// A cage, whose namespaces of this kind are made together.
    Cage,
    /// Some processes, or a cage.
    SomeProcesses,
    /// A module.
    Module,
}

/// Every guard there is: the one place for their names.
const TABLE: [(&str, Around); 30] = {
    use Around::{Cage, EveryProcess, Module, SomeProcesses};
    [
        ("memory-group", SomeProcesses),
        ("cpu-group", SomeProcesses),
        ("process-group", EveryProcess),
        ("session", EveryProcess),
        ("descriptors", EveryProcess),
        ("environment", EveryProcess),
        ("rlimits", EveryProcess),
        ("no-new-privileges", EveryProcess),
        ("capabilities", EveryProcess),
        ("user-namespace", SomeProcesses),
        ("mount-namespace", Cage),
        ("ipc-namespace", Cage),
        ("uts-namespace", Cage),
        ("cgroup-namespace", Cage),
        ("network-namespace", SomeProcesses),
        ("pid-namespace", SomeProcesses),
        ("landlock", SomeProcesses),
        ("landlock-scopes", SomeProcesses),
        ("seccomp", SomeProcesses),
        ("tracing", SomeProcesses),
        ("linear-memory", Module),
        ("memory-limit", Module),
        ("stack-limit", Module),
        ("wall-limit", Module),
        ("cpu-limit", Module),
        ("fuel-limit", Module),
        ("determinism", Module),
        ("output-limit", Module),
        ("file-limits", Module),
        ("compile-confinement", Module),
    ]
};

/// As `==`, which the compiler can't ask for texts.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// A name that no report has for a guard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no guard; there are {}", Guarding::NAMES.join(", "))]
pub struct UnknownGuard {
    name: String,
}

impl From<GuardMode> for Guarding {
    fn from(mode: GuardMode) -> Self {
        Self { mode, named: BTreeMap::new() }
    }
}

impl Guarding {
    /// Every guard there is, as reports call it: those of processes, then those of modules.
    pub const NAMES: [&'static str; TABLE.len()] = {
        let (mut names, mut at) = ([""; TABLE.len()], 0);
        while at < TABLE.len() {
            names[at] = TABLE[at].0;
            at += 1;
        }
        names
    };

    /// Those of some kind.
    pub(crate) fn of(kind: Around) -> impl Iterator<Item = &'static str> {
        TABLE.into_iter().filter(move |(_, around)| *around == kind).map(|(name, _)| name)
    }

    /// Whether there is one of this name around some processes. The attribute asks that where the name was written.
    pub const fn is_of_processes(name: &str) -> bool {
        let mut at = 0;
        while at < TABLE.len() {
            let (known, around) = TABLE[at];
            if is_same(known.as_bytes(), name.as_bytes()) {
                return !matches!(around, Around::Module);
            }
            at += 1;
        }
        false
    }

    /// Has one guard be there, or not be needed, whatever holds for the others.
    pub fn with(mut self, name: &str, mode: GuardMode) -> Result<Self, UnknownGuard> {
        let known = Self::NAMES.into_iter().find(|known| *known == name);
        let known = known.ok_or_else(|| UnknownGuard { name: name.to_owned() })?;
        self.named.insert(known, mode);
        Ok(self)
    }

    /// The same guards by name, and another mode for all others.
    pub(crate) fn otherwise(self, mode: GuardMode) -> Self {
        Self { mode, ..self }
    }

    /// What holds for all that are not named.
    pub fn mode(&self) -> GuardMode {
        self.mode
    }

    /// Those that are named, and what holds for them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, GuardMode)> {
        self.named.iter().map(|(name, mode)| (*name, *mode))
    }

    /// Whether a task is refused where this guard is missing.
    pub fn requires(&self, name: &str) -> bool {
        *self.named.get(name).unwrap_or(&self.mode) == GuardMode::Required
    }

    /// Whether it must be there even where something else is as good.
    pub(crate) fn insists_on(&self, name: &str) -> bool {
        self.named.get(name) == Some(&GuardMode::Required)
    }

    /// The first of these guards that had to be there and isn't, with what is said of it.
    pub(crate) fn missed(&self, guards: &[Guard]) -> Option<(&'static str, String)> {
        let misses = |guard: &&Guard| match guard.state {
            GuardState::InForce => false,
            GuardState::Missing => self.requires(guard.name),
            GuardState::Off => self.insists_on(guard.name),
        };
        let missed = guards.iter().find(misses)?;
        let why = missed.why.as_deref().unwrap_or("it is switched off");
        Some((missed.name, why.to_owned()))
    }

    /// The first that must be there by its name and is not even one of these: the other wall's, or one that nothing asks for.
    pub(crate) fn absent(&self, is_known: impl Fn(&str) -> bool) -> Option<&'static str> {
        let required = self.named().filter(|(_, mode)| *mode == GuardMode::Required);
        required.map(|(name, _)| name).find(|name| !is_known(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_counts_more_than_the_mode() {
        let guards = Guarding::from(GuardMode::Required)
            .with("landlock", GuardMode::BestEffort)
            .and_then(|it| it.with("tracing", GuardMode::Required))
            .unwrap();
        assert!(guards.requires("seccomp") && !guards.insists_on("seccomp"));
        assert!(guards.requires("tracing") && guards.insists_on("tracing"));
        assert!(!guards.requires("landlock"));
        assert!(!Guarding::default().requires("seccomp"));
    }

    #[test]
    fn each_guard_has_one_name_and_stands_around_processes_or_modules() {
        let mut names = Guarding::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Guarding::NAMES.len());
        let of_modules: Vec<_> = Guarding::of(Around::Module).collect();
        for name in Guarding::NAMES {
            assert_ne!(Guarding::is_of_processes(name), of_modules.contains(&name), "{name}");
        }
        for none in ["", "moat", "session-", "sessio"] {
            assert!(!Guarding::is_of_processes(none), "{none}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_those_there_are() {
        let error = Guarding::default().with("moat", GuardMode::Required).unwrap_err();
        assert!(error.to_string().starts_with("`moat` is no guard; there are memory-group, "));
    }

    #[test]
    fn one_that_is_off_or_absent_is_missed_only_by_its_name() {
        let off = Guard { name: "network-namespace", state: GuardState::Off, why: None };
        let guards = [Guard::in_force("seccomp"), off];
        let named = |name| Guarding::default().with(name, GuardMode::Required).unwrap();
        assert_eq!(Guarding::from(GuardMode::Required).missed(&guards), None);
        assert_eq!(named("network-namespace").missed(&guards).unwrap().0, "network-namespace");
        let is_known = |name: &str| guards.iter().any(|guard| guard.name == name);
        assert_eq!(named("seccomp").absent(is_known), None);
        assert_eq!(named("fuel-limit").absent(is_known), Some("fuel-limit"));
    }
}

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
    pub const NAMES: [&'static str; 30] = [
        "memory-group",
        "cpu-group",
        "process-group",
        "session",
        "descriptors",
        "environment",
        "rlimits",
        "no-new-privileges",
        "capabilities",
        "user-namespace",
        "mount-namespace",
        "ipc-namespace",
        "uts-namespace",
        "cgroup-namespace",
        "network-namespace",
        "pid-namespace",
        "landlock",
        "landlock-scopes",
        "seccomp",
        "tracing",
        "linear-memory",
        "memory-limit",
        "stack-limit",
        "wall-limit",
        "cpu-limit",
        "fuel-limit",
        "determinism",
        "output-limit",
        "file-limits",
        "compile-confinement",
    ];

    /// Has one guard be there, or not be needed, whatever holds for the others.
    pub fn with(mut self, name: &str, mode: GuardMode) -> Result<Self, UnknownGuard> {
        let known = Self::NAMES.into_iter().find(|known| *known == name);
        let known = known.ok_or_else(|| UnknownGuard { name: name.to_owned() })?;
        self.named.insert(known, mode);
        Ok(self)
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

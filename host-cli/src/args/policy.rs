//! The flags that bound a guest, whichever verb runs it.

use sandtrap::{ExecutorSettings, Policy, Wall};

use super::compile::CompileArgs;
use super::grants::GrantArgs;
use super::limits::LimitArgs;
use super::misuse;

#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    grants: GrantArgs,

    #[command(flatten)]
    pub(crate) compile: CompileArgs,
}

impl PolicyArgs {
    /// Has an executor give its tasks the time of grace that was said here, if one was: flags count more than a file.
    pub(crate) fn grace_of(&self, settings: &mut ExecutorSettings) {
        settings.pool.grace = self.limits.grace().or(settings.pool.grace);
    }

    /// Whether what is read of a stdin is counted.
    pub(crate) fn counts_stdin(&self) -> bool {
        self.limits.limits().stdin.is_some()
    }

    /// What they say together, behind this wall or, where the guest's content says which, behind any. Limits that fight
    /// are wrong usage of the verb.
    pub(crate) fn policy(&self, verb: &str, wall: Option<Wall>) -> Result<Policy, clap::Error> {
        let limits = self.limits.limits();
        let checked = wall.map_or_else(|| limits.check(), |wall| limits.check_behind(wall));
        checked.map_err(|error| misuse(verb, error))?;
        let permissions = self.grants.permissions().map_err(|error| misuse(verb, error))?;
        let (trust, compile) = (self.compile.trust(), self.compile.limits());
        let guards = self.grants.guards().map_err(|error| misuse(verb, error))?;
        Ok(Policy { limits, permissions, guards, trust, compile })
    }
}

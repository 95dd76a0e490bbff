//! Who plays the cases: this very executable, or another build of it that was named.

use std::env::{self, consts::ARCH};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandtrap::{ExecutableFacts, Program, Report, Task, Verdict, Wall};

use super::{limits_of, permissions, runtime};
use crate::abuse::{ANSWER, Given, Profile, WHO};

/// A program that knows the cases.
pub(crate) struct Guest {
    program: PathBuf,
    is_static: bool,
}

impl Guest {
    /// This executable.
    pub(crate) fn itself() -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot find sandtrap's own executable")?;
        let is_static = facts(&program)?.is_some_and(|facts| facts.is_static);
        Ok(Self { program, is_static })
    }

    /// Another one, which is asked behind the wall who it is before anything is tried with it.
    pub(crate) fn of(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let Ok(program) = file.canonicalize() else {
            bail!("--guest: there is no `{shown}`; {}", remedy());
        };
        // What can't be read, or is no file, is no executable either.
        match facts(&program).unwrap_or_default() {
            Some(facts) if facts.is_static && facts.architecture == ARCH => {}
            Some(facts) if facts.is_static => {
                let of = facts.architecture;
                bail!("--guest: `{shown}` is for {of}, and this machine is {ARCH}; {}", remedy());
            }
            _ => bail!("--guest: `{shown}` is not a static executable; {}", remedy()),
        }
        let guest = Self { program, is_static: true };
        let report = guest.asked()?;
        match &report.verdict {
            Verdict::Completed if report.output.stdout_text().lines().any(is_answer) => Ok(guest),
            Verdict::Unstarted(_) => {
                bail!("--guest: `{shown}` does not start: {}", report.verdict)
            }
            _ => bail!("--guest: `{shown}` is not {ANSWER}, as this one is; {}", remedy()),
        }
    }

    fn asked(&self) -> anyhow::Result<Report> {
        let program = Program::file(&self.program)
            .within(Wall::Native)
            .limits(limits_of(|_| {}))
            .permissions(permissions(Profile::Compute));
        Ok(runtime()?.run(program, &Task::command(Given::alone(WHO).command())))
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Whether it needs nothing but itself, as the profile `pure` wants it.
    pub(super) fn is_static(&self) -> bool {
        self.is_static
    }
}

fn is_answer(line: &str) -> bool {
    line.strip_prefix("refused: ") == Some(ANSWER)
}

fn facts(program: &Path) -> anyhow::Result<Option<ExecutableFacts>> {
    Ok(sandtrap::inspect(program)?.executable)
}

/// Where one is had.
pub(super) fn remedy() -> String {
    format!(
        "`cargo build --release --target {ARCH}-unknown-linux-musl --bin sandtrap` makes a static one for --guest"
    )
}

//! One processor for all that takes part: how others' floors were measured, and where nobody is woken on another one.

use std::process::Command;

/// Why there is none.
pub(crate) const NO_TASKSET: &str = "taskset is not here: apt install util-linux";

/// As long as it lives, this thread and all that it starts have one processor.
pub(crate) struct Pinned(String);

impl Pinned {
    pub(crate) fn here() -> Option<Self> {
        let told = taskset(&["-p"])?;
        let mask = told.rsplit(' ').next()?.trim().to_owned();
        let all = taskset(&["-cp"])?;
        let first = all.rsplit(' ').next()?.trim().split([',', '-']).next()?.to_owned();
        taskset(&["-cp", &first])?;
        Some(Self(mask))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = taskset(&["-p", &self.0]);
    }
}

/// Asks or changes on which processors this thread runs, which is the first of its program.
fn taskset(words: &[&str]) -> Option<String> {
    let own = std::process::id().to_string();
    let told = Command::new("taskset").args(words).arg(own).output().ok()?;
    told.status.success().then(|| String::from_utf8_lossy(&told.stdout).into_owned())
}

//! What a cell takes of an attempt, and what it says where there is no process for it.

use std::ffi::OsString;

use sandtrap_protocol::PLACED_FROM;

use crate::evidence::{Evidence, Refusal, Step, StopReason};
use crate::isolation::{Attempt, Ear, StopHandle};
use crate::task::{Capture, Entry, Stdin};

/// The input, if it is one that need not be sent.
pub(super) fn large_input<'a>(attempt: &Attempt<'a>) -> &'a [u8] {
    match attempt.entry {
        // What lies in a file is sent from there.
        Entry::Invoke { input, .. } if input.path().is_some() => &[],
        Entry::Invoke { input, .. } if input.bytes().len() >= PLACED_FROM => input.bytes(),
        Entry::Invoke { .. } | Entry::Command { .. } | Entry::Call { .. } => &[],
    }
}

/// The guest that this task was to be a fork of did not become warm. What it wrote is heard after all.
pub(super) fn told(mut evidence: Evidence, attempt: &Attempt<'_>, ear: &mut dyn Ear) -> Evidence {
    let stdout = evidence.output.stdout.take();
    evidence.retell(stdout.as_deref(), ear);
    evidence.output.stdout = stdout.filter(|_| attempt.stdout == Capture::Keep);
    evidence
}

pub(super) fn stopped(stop: &StopHandle) -> Evidence {
    // Whoever ended it has said why; its time is over by itself.
    Evidence::stopped_before_it_began(stop.reason().unwrap_or(StopReason::WallTime))
}

pub(super) fn rejected(detail: &str) -> Refusal {
    Refusal { step: Step::Accept, errno: None, detail: detail.to_owned() }
}

/// A process can only be entered at its beginning, and its instructions are not counted.
pub(super) fn command<'a>(
    attempt: &Attempt<'a>,
    of_calls: &'a [OsString],
) -> Result<(&'a [OsString], &'a Stdin), Refusal> {
    if attempt.limits.fuel.is_some() {
        return Err(rejected(
            "fuel counts the instructions of a module; bound a process by its cpu limit instead",
        ));
    }
    match attempt.entry {
        Entry::Command { args, stdin } => Ok((args, stdin)),
        Entry::Invoke { .. } => Ok((of_calls, &Stdin::Null)),
        Entry::Call { .. } => Err(rejected(
            "a process has no exports that could be called; run it as a command instead",
        )),
    }
}

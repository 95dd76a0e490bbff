//! What the end of a compiler says about the module that it was given.

use std::io;

use super::entrance::{CANNOT, NO_ROOM};
use crate::classify::classify;
use crate::evidence::{Evidence, Step};
use crate::isolation::LoadError;
use crate::quantity::show_duration;
use crate::verdict::{Crash, CrashCause, Failure, Stop, Unstarted, UnstartedReason, Verdict};
use crate::wasm::{NotCompiled, Order, out_of_time, too_small};

/// How much of a compiler's last words is passed on.
const LAST_WORDS: usize = 300;

/// A compiler that can't be started says nothing about a module.
pub(super) fn unconfined(error: &LoadError) -> NotCompiled {
    NotCompiled::Unconfined(format!("the program to compile it in can't be started: {error}"))
}

/// Judges. A module that did not get well through a confined compiler must not come to one in this process.
pub(super) fn judge(
    evidence: &Evidence,
    order: &Order<'_>,
    has_greeted: bool,
) -> Result<(), NotCompiled> {
    let verdict = classify(evidence);
    if let Some(limit) = limit_hit(&verdict, order) {
        return Err(too_small(order.name, &limit).into());
    }
    match &verdict {
        Verdict::Completed if has_greeted => Ok(()),
        Verdict::Completed | Verdict::Failed(_) if !has_greeted => Err(NotCompiled::Unconfined(
            "the program set up to compile it does not know how: its `main` has to call \
             `sandtrap::init` first"
                .into(),
        )),
        Verdict::Failed(Failure::Exit { code: CANNOT }) => {
            let words = last_words(evidence);
            Err(NotCompiled::Unconfined(format!("the compiler could not do its work{words}")))
        }
        Verdict::Unstarted(unstarted) => Err(not_started(unstarted)),
        verdict => {
            let (name, words) = (order.name, last_words(evidence));
            let detail = format!(
                "`{name}` can't be compiled, for the compiler broke on it: {verdict}{words}"
            );
            Err(LoadError::at(Step::Parse, detail).into())
        }
    }
}

fn not_started(unstarted: &Unstarted) -> NotCompiled {
    let detail = format!("the program to compile it in can't be started: {}", unstarted.detail);
    let step = match unstarted.reason {
        // Whoever fills the host up must not have modules compiled without bounds by that. A host that allows
        // no processes at all is another thing.
        UnstartedReason::Resources if !is_forbidden(unstarted.errno) => Step::Reserve,
        UnstartedReason::LimitTooSmall => Step::FitLimits,
        _ => return NotCompiled::Unconfined(detail),
    };
    LoadError::at(step, detail).with_errno(unstarted.errno).into()
}

fn is_forbidden(errno: Option<i32>) -> bool {
    errno.map(|errno| io::Error::from_raw_os_error(errno).kind()).is_some_and(|kind| {
        matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
    })
}

/// Which limit of compiling ended it, as the words after `compiling it`.
fn limit_hit(verdict: &Verdict, order: &Order<'_>) -> Option<String> {
    let limits = order.limits.for_process();
    match verdict {
        Verdict::Stopped(stop) => Some(match stop {
            Stop::WallTime => out_of_time(limits.wall),
            Stop::CpuTime => {
                format!("was stopped: processor time limit of {}", show_duration(limits.cpu))
            }
            Stop::Output => format!("was stopped: its code would be larger than {}", limits.output),
            other => format!("was stopped: {}", Verdict::Stopped(*other)),
        }),
        Verdict::Crashed(Crash { cause: CrashCause::OutOfMemory { .. }, .. }) => {
            Some(format!("crashed: out of memory, with a limit of {}", limits.memory))
        }
        // Where the address space is capped, large requests are refused long before it is full.
        Verdict::Crashed(Crash { cause: CrashCause::Abort, .. }) => Some(format!(
            "crashed: the compiler aborted, which it does when it is refused memory; its limit is {}",
            limits.memory
        )),
        Verdict::Failed(Failure::Exit { code: NO_ROOM }) => {
            Some(format!("never began: the compiler itself needs more than {}", limits.memory))
        }
        _ => None,
    }
}

/// What the compiler said last, on one line.
fn last_words(evidence: &Evidence) -> String {
    let said = evidence.output.stderr_text();
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(2);
    let words: String = lines.collect::<Vec<_>>().join(" ").chars().take(LAST_WORDS).collect();
    if words.is_empty() { words } else { format!(" ({words})") }
}

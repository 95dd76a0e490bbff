//! Why a process did not come to run its program, in words that say what to do.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::evidence::{Ending, Evidence, Refusal, Step, StopReason};
use crate::limits::Limits;
use crate::task::Stdin;

use super::wire::step;

fn refusal(step: Step, error: &io::Error, detail: impl Into<String>) -> Refusal {
    Refusal { step, errno: error.raw_os_error(), detail: detail.into() }
}

/// The host could not make what a process needs before it exists.
pub(super) fn at_plan(error: &io::Error) -> Refusal {
    let step = match error.kind() {
        io::ErrorKind::InvalidInput => Step::Accept,
        _ => Step::Reserve,
    };
    refusal(step, error, format!("a process could not be prepared: {error}"))
}

/// Its input could not be opened.
pub(super) fn at_stdin(error: &io::Error, stdin: &Stdin) -> Refusal {
    refusal(Step::Accept, error, format!("{stdin} cannot be opened as stdin: {error}"))
}

/// It ended between clone and its program: the kernel had no room to load it in.
pub(super) fn ended_in_exec(limits: &Limits) -> Refusal {
    let detail = format!(
        "the program does not fit into its limits before its first instruction; \
         its memory limit is {}, its stack limit {}",
        limits.memory, limits.stack
    );
    Refusal { step: Step::FitLimits, errno: None, detail }
}

/// The child failed at one of its steps, or there was no child.
pub(super) fn not_launched(path: &Path, step: u32, errno: i32, limits: &Limits) -> Refusal {
    let error = io::Error::from_raw_os_error(errno);
    let guard = match step {
        step::EXEC => return at_exec(path, &error, limits),
        step::ORDER => {
            let detail = "there are more arguments and variables than a process can be given";
            return refusal(Step::Accept, &error, detail);
        }
        step::CLONE => {
            let detail = format!("no process could be started: {error}");
            return refusal(Step::Reserve, &error, detail);
        }
        step::PROCESS_GROUP => "process-group",
        step::GROUP => "memory-group",
        step::LIMITS => "rlimits",
        step::DESCRIPTORS => "descriptors",
        step::RULES => "landlock",
        step::SCRATCH => "scratch",
        step::PROC => "proc",
        step::CAPABILITIES => "capabilities",
        step::FILTER => "seccomp",
        _ => "tracing",
    };
    refusal(Step::Guard(guard), &error, format!("the guard `{guard}` cannot be put up: {error}"))
}

/// The keeper went away while it was needed, and a new one did, too.
pub(super) fn keeper_gone(error: &io::Error) -> Refusal {
    let detail = format!("the process that starts the tasks of this program has ended: {error}");
    refusal(Step::Reserve, error, detail)
}

/// No keeper could be started: nothing that could be left out would have helped.
pub(super) fn no_keeper(what: &str, error: &io::Error) -> Refusal {
    let hint = match error.raw_os_error() {
        Some(libc::EACCES) => " (is executing files in memory forbidden here, by vm.memfd_noexec?)",
        _ => "",
    };
    refusal(Step::Reserve, error, format!("no process could be started: {what}: {error}{hint}"))
}

/// A fork is as confined as any other task, or there is none.
pub(super) fn no_forks(why: Option<&str>) -> Refusal {
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let detail = format!(
        "forks of a warm guest are confined by namespaces for users and processes, a filter and a tracer, and this \
         host lacks one of them{why}; start the tasks by spawn"
    );
    Refusal { step: Step::Guard("pid-namespace"), errno: None, detail }
}

/// Only functions are called in forks.
pub(super) fn no_function() -> Refusal {
    let detail = "a fork of a warm guest answers the call of a function; call one, or start the task by spawn";
    Refusal { step: Step::Accept, errno: None, detail: detail.to_owned() }
}

/// The guest did not become a zygote.
pub(super) fn no_zygote(words: &[u8]) -> Refusal {
    let words = String::from_utf8_lossy(words);
    let said = match words.trim() {
        "" => String::new(),
        said => format!("; it said: {said}"),
    };
    let detail = format!(
        "the guest ended before it was warm: only one that serves functions by `sandtrap_guest::serve!` can be forked, \
         and what it does first must succeed; start the tasks of any other by spawn{said}"
    );
    Refusal { step: Step::Execute, errno: None, detail }
}

/// It waits for calls, and knows nothing of forks.
pub(super) fn not_forkable() -> Refusal {
    let detail = "the guest serves functions and can't be forked: build it with the `sandtrap-guest` that belongs to this \
                  host, and `serve!`; start its tasks by spawn until then";
    Refusal { step: Step::Execute, errno: None, detail: detail.to_owned() }
}

/// A process that was to wait for calls came to this end before it had greeted its host.
pub(super) fn not_ready(evidence: &Evidence) -> Refusal {
    let testimony = &evidence.testimony;
    let why = match (&evidence.ending, evidence.stopped_by_us) {
        (_, Some(StopReason::WallTime)) => "it was not ready within its wall time".to_owned(),
        (_, Some(StopReason::Protocol)) => testimony.broken.clone().unwrap_or_default(),
        (_, Some(reason)) => format!("it was stopped ({})", reason.name()),
        (Ending::NeverStarted(refusal), None) => refusal.detail.clone(),
        (Ending::Exited(code), None) => format!("it exited with {code}"),
        (Ending::Signalled(death), None) => format!("it was ended by {}", death.signal),
        (Ending::Trapped(_) | Ending::Vanished, None) => "it is gone".to_owned(),
    };
    let panic = testimony.panic.as_ref().map(|panic| panic.message.as_str());
    let said = panic.map_or(String::from_utf8_lossy(&evidence.output.stderr_tail), Into::into);
    let said = match said.trim() {
        "" => String::new(),
        said => format!("; it said: {said}"),
    };
    let detail = format!("the guest did not become ready for calls: {why}{said}");
    Refusal { step: Step::Execute, errno: None, detail }
}

/// A limit that stays with a process can only be lowered.
pub(super) fn beyond_zygote(limit: &str) -> Refusal {
    let detail = format!(
        "the {limit} limit of a fork can't be above that of its program, which its warm guest has; load the program with \
         the larger one, or start the tasks by spawn"
    );
    Refusal { step: Step::Accept, errno: None, detail }
}

/// A limit of the whole address space stays with a process, and the task is to have none.
pub(super) fn zygote_is_capped() -> Refusal {
    let detail = "the warm guest's address space has a limit (`on-memory-limit` is refuse, or it has no group), which a fork of \
                  it can't put off; load the program with the task's `on-memory-limit`, or start the tasks by spawn";
    Refusal { step: Step::Accept, errno: None, detail: detail.to_owned() }
}

/// It can't be forked.
pub(super) fn zygote_has_threads(threads: u64) -> Refusal {
    let detail = format!(
        "the guest has {threads} threads when it is warm, and a fork would have one of them; start threads in the \
         functions only, or start the tasks by spawn"
    );
    Refusal { step: Step::Execute, errno: None, detail }
}

/// One after another has ended.
pub(super) fn zygotes_die(count: usize) -> Refusal {
    let detail = format!(
        "the warm guest has ended, or not become warm, {count} times within a minute; start the tasks by spawn to see why"
    );
    Refusal { step: Step::Reserve, errno: None, detail }
}

/// It said that it is confined, and is not.
pub(super) fn not_confined() -> Refusal {
    let detail = "a fork of the warm guest said that it is ready, and has not given up what its zygote holds";
    Refusal { step: Step::Guard("capabilities"), errno: None, detail: detail.to_owned() }
}

/// A guard that was required could not be put up.
pub(super) fn no_guard(guard: &'static str, why: &str, errno: Option<i32>) -> Refusal {
    let detail = format!(
        "the guard `{guard}` cannot be put up: {why}; {}, or allow the fall-back with best-effort guards",
        remedy(guard)
    );
    Refusal { step: Step::Guard(guard), errno, detail }
}

/// A guard was required that only something else would bring with it.
pub(super) fn not_wanted(guard: &'static str, why: &str) -> Refusal {
    let detail = format!("the guard `{guard}` is required, and can't be had: {why}");
    Refusal { step: Step::Guard(guard), errno: None, detail }
}

/// The same, of one that the kernel refused to a task's own child.
pub(super) fn not_allowed(guard: &'static str, errno: i32) -> Refusal {
    no_guard(guard, &io::Error::from_raw_os_error(errno).to_string(), Some(errno))
}

/// What whoever runs the host can do about a guard.
fn remedy(guard: &str) -> &'static str {
    match guard {
        "network-namespace" => {
            "grant no network, and run where user namespaces are allowed, or as root"
        }
        "memory-group" | "cpu-group" => "run as a user who may make control groups",
        "landlock-scopes" => "run on Linux 6.12 or later",
        "landlock" => "run on a kernel with Landlock (5.13 or later)",
        "seccomp" => "run on a kernel that filters system calls",
        "tracing" => "allow ptrace",
        _ => "run where user namespaces are allowed, or as root",
    }
}

fn at_exec(path: &Path, error: &io::Error, limits: &Limits) -> Refusal {
    let program = path.display();
    let (step, detail) = match error.raw_os_error() {
        Some(libc::ENOENT) if path.exists() => {
            let interpreter = interpreter(path).unwrap_or_else(|| "its interpreter".to_owned());
            (Step::Execute, format!("`{program}` needs `{interpreter}`, which does not exist"))
        }
        Some(libc::ENOENT | libc::ENOTDIR) => {
            (Step::Find, format!("there is no program `{program}`"))
        }
        Some(libc::ENOEXEC) if is_module(path) => (
            Step::Execute,
            format!(
                "`{program}` is a module, and no process can be one; run it behind the wasm wall"
            ),
        ),
        Some(libc::ENOEXEC) => (
            Step::Execute,
            format!(
                "`{program}` is neither an executable of this machine, nor a script \
                 that begins with `#!`, nor a module"
            ),
        ),
        Some(libc::EACCES) => {
            (Step::Execute, format!("`{program}` may not be executed; try `chmod +x {program}`"))
        }
        Some(libc::E2BIG) => (
            Step::Accept,
            format!(
                "the arguments and the environment are too large for a stack of {}; \
                 a quarter of the stack limit is theirs",
                limits.stack
            ),
        ),
        Some(libc::ENOMEM) => return ended_in_exec(limits),
        _ => (Step::Execute, format!("`{program}` cannot be executed: {error}")),
    };
    refusal(step, error, detail)
}

fn is_module(path: &Path) -> bool {
    let mut beginning = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut beginning));
    read.is_ok() && beginning == *b"\0asm"
}

/// What the first line of a script asks for.
fn interpreter(path: &Path) -> Option<String> {
    let mut beginning = [0; 256];
    let count = File::open(path).ok()?.read(&mut beginning).ok()?;
    let line = beginning[..count].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_a_guard_with_its_name() {
        let refusal = not_launched(Path::new("/x"), step::TRACE, libc::EPERM, &Limits::default());
        assert_eq!(refusal.step, Step::Guard("tracing"));
        assert_eq!(refusal.errno, Some(libc::EPERM));
    }
}

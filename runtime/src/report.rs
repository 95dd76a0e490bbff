//! The report: everything the caller gets about one task, whatever happened to it.

use std::sync::Arc;
use std::time::Duration;

use sandtrap_protocol::ErrorReport;
use serde::de::DeserializeOwned;

use crate::core_dump::CoreDump;
use crate::evidence::{
    Basis, Denied, Ending, Evidence, Guard, Output, Outside, RefusedMemory, Source, StopReason,
    Thrown, Usage,
};
use crate::label::Label;
use crate::limits::Limits;
use crate::payload::{self, Payload, ValueError};
use crate::quantity::ByteSize;
use crate::task::{Entry, Program, Task, TaskId, Wall};
use crate::trace::Trace;
use crate::verdict::{Failure, Verdict};

/// One task, one report, one verdict.
#[derive(Clone, Debug)]
pub struct Report {
    /// The task it is about.
    pub task: TaskSummary,
    /// What happened.
    pub verdict: Verdict,
    /// The facts the verdict rests on.
    pub facts: Facts,
    /// What the task used.
    pub usage: Usage,
    /// The limits that were in force.
    pub limits: Limits,
    /// The guards that were in force, and those that were not.
    pub guards: Vec<Guard>,
    /// How often it was tried; 0 if another task had done already what it was for ([`Order::once`](crate::Order::once)), whose
    /// report this is.
    pub attempts: u32,
    /// Each try, oldest first, where an executor made them.
    pub history: Vec<AttemptSummary>,
    /// What it wrote and returned.
    pub output: Output,
}

/// One try at a task, as it stands in the history.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptSummary {
    /// Which one, from 1.
    pub number: u32,
    /// How it ended, without details.
    pub label: Label,
    /// How it ended, in words.
    pub message: String,
    /// How long was waited before it, because of the one before.
    pub delay: Duration,
    /// How long it ran.
    pub took: Duration,
    /// The memory cap it had.
    pub memory: ByteSize,
    /// The worker it ran on, if it ran.
    pub worker: Option<u64>,
}

/// What was to be run.
#[derive(Clone, Debug)]
pub struct TaskSummary {
    /// The task's id.
    pub id: TaskId,
    /// The program's path or name.
    pub program: Arc<str>,
    /// The wall it ran in.
    pub wall: Wall,
    /// The export that was called, if it was a call.
    pub function: Option<String>,
    /// The process, where there was one.
    pub pid: Option<u32>,
    /// What a function was given that did not complete.
    pub input: Option<InputSummary>,
}

/// What a function was given: enough to know it again, and nothing that would keep it alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSummary {
    /// How many bytes it has.
    pub bytes: u64,
    /// The first 128 bits of its BLAKE3 digest, in hexadecimal. `None` where it lies in a file that can't be read, and of
    /// more than 64 MiB: nobody waits for that.
    pub digest: Option<String>,
}

/// It is done by whoever ran the task, in no limit of it.
const MOST_DIGESTED: u64 = 64 * 1024 * 1024;

impl InputSummary {
    fn of(input: &Payload) -> Self {
        let digest = digest(input).map(|digest| digest.to_hex()[..32].to_owned());
        Self { bytes: input.length(), digest }
    }
}

fn digest(input: &Payload) -> Option<blake3::Hash> {
    if input.length() > MOST_DIGESTED {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    match input.source().ok()? {
        payload::Source::Memory(bytes) => _ = hasher.update(&bytes),
        payload::Source::File(mut reader) => {
            let mut piece = Vec::new();
            while reader.next(&mut piece).ok()? {
                hasher.update(&piece);
                piece.clear();
            }
        }
    }
    Some(hasher.finalize())
}

/// The evidence as it stands in a report.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who saw it.
    pub source: Source,
    /// How it ended.
    pub ending: Ending,
    /// The reason written down before we ended it, if we did.
    pub stopped_by_us: Option<StopReason>,
    /// Why its guest was told to end, if it had a time of grace and was told. It may have answered in that time.
    pub told_to_end: Option<StopReason>,
    /// Whether somebody insisted after it was told, and gave it no more time.
    pub hurried: bool,
    /// The error that its task returned, where it was told to end and the verdict is about that.
    pub error: Option<ErrorReport>,
    /// What was refused to it.
    pub denied: Vec<Denied>,
    /// Memory that was refused.
    pub refused_memory: Option<RefusedMemory>,
    /// Kills by the kernel within its memory group.
    pub oom_kills: u64,
    /// How many of those were seen to be other processes of it than its first; `None` where nobody saw.
    pub oom_kills_of_others: Option<u64>,
    /// Whether the kernel killed it because the whole host was out of memory, and how that is known.
    pub host_oom: Option<Basis>,
    /// What a module wanted to reach outside of its memory.
    pub outside: Option<Outside>,
    /// The exception that left a module because nobody caught it.
    pub thrown: Option<Thrown>,
    /// What was in its memory when it died, if that was wanted.
    pub core_dump: Option<CoreDump>,
    /// Where it was, innermost frame first.
    pub trace: Trace,
    /// Whether the guest said that it must not be used again.
    pub is_fatal: bool,
    /// Whether a function of it was called, and it never said hello: it may be no guest with functions at all.
    pub never_greeted: bool,
    /// Bytes that a device of its had no memory for, as it said itself; 0 where it did not know.
    pub device_out_of_memory: Option<u64>,
    /// The functions of it that may be called twice, as it said when it was started.
    pub idempotent: Vec<String>,
    /// Whether this is the end of the guest that was to be forked for the task, before it was warm.
    pub was_warming_up: bool,
}

impl Report {
    /// Puts the report together. The verdict is given: it is reached elsewhere.
    pub fn new(task: TaskSummary, limits: Limits, verdict: Verdict, evidence: Evidence) -> Self {
        let Evidence {
            source,
            ending,
            testimony,
            stopped_by_us,
            told_to_end,
            hurried,
            denied,
            refused_memory,
            oom_kills,
            oom_kills_of_others,
            host_oom,
            outside,
            thrown,
            core_dump,
            usage,
            mut output,
            trace,
            panicked_at,
            guards,
            pid,
            unread: _,
            was_warming_up,
        } = evidence;
        // What was seen at its death is worth more than what it said, and a panic that it survived is no place of its end.
        let is_told =
            !trace.is_taken() && matches!(verdict, Verdict::Failed(Failure::Panic { .. }));
        let facts = Facts {
            source,
            ending,
            stopped_by_us,
            told_to_end,
            hurried,
            error: testimony.error.filter(|_| evidence.told_to_end.is_some()),
            denied,
            refused_memory,
            oom_kills,
            oom_kills_of_others,
            host_oom,
            outside,
            thrown,
            core_dump,
            trace: if is_told { panicked_at } else { trace },
            is_fatal: testimony.is_fatal,
            never_greeted: testimony.never_greeted,
            device_out_of_memory: testimony.device_out_of_memory,
            idempotent: testimony.idempotent,
            was_warming_up,
        };
        // One in a file counts only as a result, and is removed where it is none.
        let counts = |result: &Payload| verdict.is_completed() || result.path().is_none();
        output.result = testimony.result.filter(counts);
        output.error_value = testimony.error_value;
        let task = TaskSummary { pid, ..task };
        Self {
            task,
            verdict,
            facts,
            usage,
            limits,
            guards,
            attempts: 1,
            history: Vec::new(),
            output,
        }
    }

    /// Notes what a function was given that did not complete.
    pub(crate) fn about(mut self, entry: &Entry) -> Self {
        if let (false, Entry::Invoke { input, .. }) = (self.verdict.is_completed(), entry) {
            self.task.input = Some(InputSummary::of(input));
        }
        self
    }

    /// The result of a call, as the type that it is meant to have. A task that did not complete has none, whatever
    /// it sent before its end; that is still there as [`Output::result`].
    pub fn value<T: DeserializeOwned + 'static>(&self) -> Result<T, ValueError> {
        let function = self.task.function.as_deref().unwrap_or("the task");
        if !self.verdict.is_completed() {
            return Err(ValueError::missing(format!(
                "`{function}` gave no result that counts: {}",
                self.verdict
            )));
        }
        match &self.output.result {
            Some(result) => {
                result.read().map_err(|error| error.of(format_args!("the result of `{function}`")))
            }
            None => Err(ValueError::missing(format!(
                "`{function}` gave no result as a value; what it returned or wrote is in the output"
            ))),
        }
    }

    /// The error that a called function gave, if the verdict is that it failed with one and this is its type.
    pub fn error_as<E: DeserializeOwned + 'static>(&self) -> Option<E> {
        match &self.verdict {
            Verdict::Failed(Failure::Error { .. }) => self.output.error_value.as_ref()?.read().ok(),
            _ => None,
        }
    }
}

impl TaskSummary {
    /// What is to be run, before it runs.
    pub fn new(program: &Program, wall: Wall, task: &Task) -> Self {
        let function = match &task.entry {
            Entry::Call { function, .. } | Entry::Invoke { function, .. } => Some(function.clone()),
            Entry::Command { .. } => None,
        };
        Self {
            id: task.id.clone(),
            program: Arc::clone(program.name()),
            wall,
            function,
            pid: None,
            input: None,
        }
    }
}

//! What a wing gathers about one attempt. Facts only: what they mean is said in `classify`.

use std::time::Duration;

use sandtrap_protocol::{ErrorReport, PanicReport};

use crate::core_dump::CoreDump;
pub use crate::ending::{
    AccessKind, Death, Ending, Fault, Opcode, Refusal, Sender, StackState, Step, StopReason,
    Thrown, TrapCause,
};
use crate::payload::Payload;
use crate::permissions::Profile;
use crate::task::Value;
use crate::trace::Trace;

/// Everything known about how one attempt ended.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Who saw it, and so how much can be claimed.
    pub source: Source,
    /// How it ended.
    pub ending: Ending,
    /// What the guest itself said.
    pub testimony: Testimony,
    /// The reason written down before we ended it, if we did.
    pub stopped_by_us: Option<StopReason>,
    /// Why its guest was told to end, if it had a time of grace and was told. It may have answered in that time.
    pub told_to_end: Option<StopReason>,
    /// Whether somebody insisted after it was told, and gave it no more time.
    pub hurried: bool,
    /// What was refused to the guest, in the order of refusal.
    pub denied: Vec<Denied>,
    /// The first memory that was refused.
    pub refused_memory: Option<RefusedMemory>,
    /// How often the kernel killed within the task's memory group.
    pub oom_kills: u64,
    /// How many of those were seen to be other processes of the task than its first; `None` where nobody saw.
    pub oom_kills_of_others: Option<u64>,
    /// Whether the kernel killed it because the whole host was out of memory, and how that is known.
    pub host_oom: Option<Basis>,
    /// What a module wanted to reach outside of its memory.
    pub outside: Option<Outside>,
    /// The exception that left a module because nobody caught it.
    pub thrown: Option<Thrown>,
    /// What was in its memory when it died, if that was wanted.
    pub core_dump: Option<CoreDump>,
    /// What it used.
    pub usage: Usage,
    /// What it wrote and returned.
    pub output: Output,
    /// Where it was, innermost frame first.
    pub trace: Trace,
    /// Where its last panic was, as the guest told. Whether that was its end is for others to say.
    pub panicked_at: Trace,
    /// Which guards stood around it.
    pub guards: Vec<Guard>,
    /// The process, where there was one.
    pub pid: Option<u32>,
    /// Whether a guest that was there before its call ended without having read all of it, and without a word: another
    /// guest may have the task. One that means to deceive can have it look so.
    pub unread: bool,
    /// Whether this is the end of the guest that was to be forked for the task, before it was warm.
    pub was_warming_up: bool,
}

impl Evidence {
    /// The evidence of an attempt of which only the ending is known.
    pub fn of(source: Source, ending: Ending) -> Self {
        Self {
            source,
            ending,
            testimony: Testimony::default(),
            stopped_by_us: None,
            told_to_end: None,
            hurried: false,
            denied: Vec::new(),
            refused_memory: None,
            oom_kills: 0,
            oom_kills_of_others: Some(0),
            host_oom: None,
            outside: None,
            thrown: None,
            core_dump: None,
            usage: Usage::default(),
            output: Output::default(),
            trace: Trace::default(),
            panicked_at: Trace::default(),
            guards: Vec::new(),
            pid: None,
            unread: false,
            was_warming_up: false,
        }
    }

    /// The evidence of an attempt in which no guest code ran.
    pub fn never_started(refusal: Refusal) -> Self {
        Self::of(Source::Status, Ending::NeverStarted(refusal))
    }

    /// The evidence of an attempt that was stopped before any guest code ran.
    pub(crate) fn stopped_before_it_began(reason: StopReason) -> Self {
        let detail = format!("it was stopped before it began: {}", reason.name());
        let refusal = Refusal { step: Step::Stopped, errno: None, detail };
        Self { stopped_by_us: Some(reason), ..Self::never_started(refusal) }
    }
}

/// An access of a module outside of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Where it was.
    pub address: u64,
    /// How large the memory was, in bytes.
    pub memory: u64,
}

/// Who saw the ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The module engine: every cause is a type.
    Trap,
    /// A tracer: signal, sender, registers and mappings were read.
    Ptrace,
    /// A seccomp listener.
    Notify,
    /// The wait status alone: a number.
    Status,
}

impl Source {
    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Ptrace => "ptrace",
            Self::Notify => "notify",
            Self::Status => "status",
        }
    }
}

/// What the guest said about itself over its channel. It can name a panic; it decides nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Testimony {
    /// The error its task returned.
    pub error: Option<ErrorReport>,
    /// Its last panic.
    pub panic: Option<PanicReport>,
    /// Where it stood then, as it says itself: where its program begins to be executed, and the addresses in the program's
    /// file to which its functions would have returned, innermost first.
    pub stack: Vec<u64>,
    /// Bytes of the allocation that failed in it.
    pub out_of_memory: Option<u64>,
    /// How it broke the rules of the channel, if it did.
    pub broken: Option<String>,
    /// Bytes that a device of its had no memory for, as it said; 0 where it did not know.
    pub device_out_of_memory: Option<u64>,
    /// The functions that it said it has.
    pub functions: Vec<String>,
    /// Those of them that may be called twice.
    pub idempotent: Vec<String>,
    /// The result of the function that was called.
    pub result: Option<Payload>,
    /// The error as a value, where the guest could write it as one.
    pub error_value: Option<Payload>,
    /// What is missing of a call that it ended without an answer to.
    pub unanswered: Option<String>,
    /// Whether it was called, and never said hello: it may be no guest with functions at all.
    pub never_greeted: bool,
    /// That it must not be used again.
    pub is_fatal: bool,
}

impl Testimony {
    /// Whether a guest that is still there may be called again.
    pub(crate) fn lets_go_on(&self) -> bool {
        let has_lost_itself = self.is_fatal || self.panic.as_ref().is_some_and(|it| it.fatal);
        self.broken.is_none() && self.unanswered.is_none() && !has_lost_itself
    }
}

/// Something the guest asked for and did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A system call.
    Syscall(DeniedSyscall),
    /// A host function or an import, by name.
    Capability(String),
}

/// A system call that was fatal to its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedSyscall {
    /// Its number.
    pub number: i64,
    /// Its name, where it is known.
    pub name: Option<&'static str>,
    /// Whose numbers these are, if not those of the machine's ordinary programs.
    pub abi: Option<&'static str>,
    /// The registers of its arguments. A call that has fewer leaves chance values in the rest.
    pub arguments: Option<[u64; 6]>,
    /// What would have allowed it, if anything does.
    pub remedy: Option<Remedy>,
}

/// A grant that would have allowed what was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another profile.
    Profile(Profile),
    /// The network.
    Network,
}

impl DeniedSyscall {
    /// A call of which only the number is known.
    pub const fn numbered(number: i64) -> Self {
        Self { number, name: None, abi: None, arguments: None, remedy: None }
    }
}

impl std::fmt::Display for DeniedSyscall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "syscall {}", self.number)?;
        match (self.name, self.abi) {
            (Some(name), _) => write!(f, " ({name})"),
            (None, Some(abi)) => write!(f, " of {abi}"),
            (None, None) => Ok(()),
        }
    }
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Profile(profile) => write!(f, "profile {profile}"),
            Self::Network => f.write_str("net host"),
        }
    }
}

/// Memory that was asked for and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedMemory {
    /// How much there would have been, in bytes, where it is known.
    pub wanted: Option<u64>,
    /// The limit in force.
    pub limit: u64,
    /// How it is known.
    pub basis: Basis,
}

/// How sure a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// It was seen as it happened.
    Seen,
    /// It follows from the circumstances.
    Inferred,
}

impl Basis {
    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Inferred => "inferred",
        }
    }
}

/// What an attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time by the clock on the wall.
    pub wall: Duration,
    /// Processor time of all its threads and processes.
    pub cpu: Duration,
    /// The most memory it held.
    pub peak_memory: u64,
    /// Fuel burnt, where fuel is counted.
    pub fuel: Option<u64>,
    /// Bytes it wrote to stdout.
    pub stdout_bytes: u64,
    /// Bytes it wrote to stderr.
    pub stderr_bytes: u64,
}

/// What an attempt wrote and returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Its stdout, where it was kept.
    pub stdout: Option<Vec<u8>>,
    /// The last part of its stderr.
    pub stderr_tail: Vec<u8>,
    /// What the called export returned.
    pub values: Vec<Value>,
    /// What the called function gave. It may be there although the guest came to a bad end afterwards.
    pub result: Option<Payload>,
    /// The error that the called function gave, where its type can be written as a value.
    pub error_value: Option<Payload>,
}

impl Output {
    /// The kept stdout as text; what is not UTF-8 is replaced.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(self.stdout.as_deref().unwrap_or_default()).into_owned()
    }

    /// The last part of stderr as text; what is not UTF-8 is replaced.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr_tail).into_owned()
    }
}

/// One guard around a task, and whether it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Its name, as in reports.
    pub name: &'static str,
    /// Whether it stands.
    pub state: GuardState,
    /// Why it doesn't, or what stands in its place.
    pub why: Option<String>,
}

/// Whether a guard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardState {
    /// It holds.
    InForce,
    /// It was wanted and could not be put up.
    Missing,
    /// It was not wanted.
    Off,
}

impl GuardState {
    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Missing => "missing",
            Self::Off => "off",
        }
    }
}

impl Guard {
    /// A guard that holds.
    pub fn in_force(name: &'static str) -> Self {
        Self { name, state: GuardState::InForce, why: None }
    }

    /// A guard that could not be put up, and why.
    pub fn missing(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, state: GuardState::Missing, why: Some(why.into()) }
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syscall(denied) => denied.fmt(f),
            Self::Capability(name) => write!(f, "capability {name}"),
        }
    }
}

//! The judgment: what happened to a task, in words that never change their meaning.

use std::fmt;

use crate::label::Label;
use crate::signals::Signal;

/// What happened to a task. Exactly one of these, whatever the wall.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It ended well.
    Completed,
    /// It ended by itself and says that it did not succeed.
    Failed(Failure),
    /// It broke.
    Crashed(Crash),
    /// The host ended it at a limit, or because somebody asked.
    Stopped(Stop),
    /// It did what its permissions forbid.
    Denied(Denial),
    /// None of its code ran.
    Unstarted(Unstarted),
}

/// It ended by itself, in order, without success.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The task returned an error.
    Error {
        /// The error.
        message: String,
        /// What caused it, outermost first.
        chain: Vec<String>,
    },
    /// It panicked, or nobody caught its exception.
    Panic {
        /// The panic's message.
        message: String,
        /// File, line and column, where they are known.
        place: Option<String>,
    },
    /// It exited with a code other than 0.
    Exit {
        /// The code.
        code: i32,
    },
}

/// It broke: the author of the task has something to mend, or its limits are too tight.
#[derive(Clone, Debug, PartialEq)]
pub struct Crash {
    /// What broke it.
    pub cause: CrashCause,
    /// Whether the cause was seen, and not only concluded from circumstances.
    pub certain: bool,
}

/// What broke a guest.
#[derive(Clone, Debug, PartialEq)]
pub enum CrashCause {
    /// It needed more memory than its cap.
    OutOfMemory {
        /// The cap, where it is known.
        limit: Option<u64>,
    },
    /// It recursed too deeply, or put too much on its stack.
    StackOverflow,
    /// It touched memory that is not its own.
    MemoryFault {
        /// The address, where it is known.
        address: Option<u64>,
    },
    /// It called through a broken function pointer.
    BadCall {
        /// Where the call led, where it is known.
        address: Option<u64>,
    },
    /// It divided by zero, or a result did not fit.
    Arithmetic,
    /// It found itself broken and ended itself.
    Abort,
    /// It ran into bytes that are no instruction.
    IllegalInstruction,
    /// A signal killed it that nobody here sent.
    Killed {
        /// The signal.
        signal: Signal,
        /// Who sent it, as far as it can be told.
        by: Killer,
    },
    /// It broke the rules of its channel.
    Protocol {
        /// Which rule.
        fault: String,
    },
    /// None of the above; the raw fact is kept and nothing is claimed.
    Unknown {
        /// The raw fact.
        fact: String,
    },
}

/// Who killed a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killer {
    /// It killed itself.
    Itself,
    /// Another process, by its number.
    Process(i32),
    /// Somebody who left no trace.
    Unknown,
}

/// The host ended the task, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time by the clock on the wall was up.
    WallTime,
    /// Its processor time was used up.
    CpuTime,
    /// Its fuel was used up.
    Fuel,
    /// It wrote more than it may.
    Output,
    /// It sent back more than it may.
    Result,
    /// It started more processes than it may.
    Processes,
    /// It wrote a larger file than it may, or more into its scratch.
    Files,
    /// It read more of its input than it may.
    Stdin,
    /// The caller asked for it.
    Cancelled,
    /// The runtime was shutting down.
    Shutdown,
}

/// The task did what its permissions forbid, and the policy says that this is fatal.
#[derive(Clone, Debug, PartialEq)]
pub enum Denial {
    /// A system call.
    Syscall {
        /// Its number, where it was seen.
        number: Option<i64>,
        /// Its name, where it is known.
        name: Option<&'static str>,
    },
    /// A host function or an import.
    Capability {
        /// Its name.
        name: String,
    },
}

/// None of the task's code ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Unstarted {
    /// Why.
    pub reason: UnstartedReason,
    /// What happened and what to do about it.
    pub detail: String,
    /// The system's own error number, where it gave one.
    pub errno: Option<i32>,
}

/// Why no code of a task ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnstartedReason {
    /// There is no such program.
    NotFound,
    /// It cannot be executed.
    NotExecutable,
    /// It is no valid module.
    InvalidModule,
    /// It imports what nobody offers.
    MissingImport,
    /// It needs more than a limit allows from the first moment.
    LimitTooSmall,
    /// A required guard is missing on this host.
    Guard {
        /// The guard's name.
        name: &'static str,
    },
    /// The host has no room.
    Resources,
    /// The request contradicts itself or the policy.
    Rejected,
}

impl Verdict {
    /// The stable label.
    pub fn label(&self) -> Label {
        match self {
            Self::Completed => Label::Completed,
            Self::Failed(failure) => failure.label(),
            Self::Crashed(crash) => crash.cause.label(),
            Self::Stopped(stop) => stop.label(),
            Self::Denied(denial) => denial.label(),
            Self::Unstarted(unstarted) => unstarted.reason.label(),
        }
    }

    /// Whether the task ended well.
    pub fn is_completed(&self) -> bool {
        matches!(self, Self::Completed)
    }

    /// Whether the cause was seen. Only a crash can be less than certain.
    pub fn is_certain(&self) -> bool {
        match self {
            Self::Crashed(crash) => crash.certain,
            Self::Completed
            | Self::Failed(_)
            | Self::Stopped(_)
            | Self::Denied(_)
            | Self::Unstarted(_) => true,
        }
    }
}

impl Failure {
    fn label(&self) -> Label {
        match self {
            Self::Error { .. } => Label::FailedError,
            Self::Panic { .. } => Label::FailedPanic,
            Self::Exit { .. } => Label::FailedExit,
        }
    }
}

impl CrashCause {
    fn label(&self) -> Label {
        match self {
            Self::OutOfMemory { .. } => Label::CrashedOutOfMemory,
            Self::StackOverflow => Label::CrashedStackOverflow,
            Self::MemoryFault { .. } => Label::CrashedMemoryFault,
            Self::BadCall { .. } => Label::CrashedBadCall,
            Self::Arithmetic => Label::CrashedArithmetic,
            Self::Abort => Label::CrashedAbort,
            Self::IllegalInstruction => Label::CrashedIllegalInstruction,
            Self::Killed { .. } => Label::CrashedKilled,
            Self::Protocol { .. } => Label::CrashedProtocol,
            Self::Unknown { .. } => Label::CrashedUnknown,
        }
    }
}

impl Stop {
    fn label(self) -> Label {
        match self {
            Self::WallTime => Label::StoppedWallTime,
            Self::CpuTime => Label::StoppedCpuTime,
            Self::Fuel => Label::StoppedFuel,
            Self::Output => Label::StoppedOutput,
            Self::Result => Label::StoppedResult,
            Self::Processes => Label::StoppedProcesses,
            Self::Files => Label::StoppedFiles,
            Self::Stdin => Label::StoppedStdin,
            Self::Cancelled => Label::StoppedCancelled,
            Self::Shutdown => Label::StoppedShutdown,
        }
    }
}

impl Denial {
    fn label(&self) -> Label {
        match self {
            Self::Syscall { .. } => Label::DeniedSyscall,
            Self::Capability { .. } => Label::DeniedCapability,
        }
    }
}

impl UnstartedReason {
    fn label(&self) -> Label {
        match self {
            Self::NotFound => Label::UnstartedNotFound,
            Self::NotExecutable => Label::UnstartedNotExecutable,
            Self::InvalidModule => Label::UnstartedInvalidModule,
            Self::MissingImport => Label::UnstartedMissingImport,
            Self::LimitTooSmall => Label::UnstartedLimitTooSmall,
            Self::Guard { .. } => Label::UnstartedGuard,
            Self::Resources => Label::UnstartedResources,
            Self::Rejected => Label::UnstartedRejected,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phrase = self.label().phrase();
        match self {
            Self::Completed | Self::Stopped(_) => f.write_str(phrase),
            Self::Failed(Failure::Error { message, .. } | Failure::Panic { message, .. }) => {
                write!(f, "{phrase}: {message}")
            }
            Self::Failed(Failure::Exit { code }) => write!(f, "{phrase} {code}"),
            Self::Crashed(crash) => crash.fmt(f),
            Self::Denied(Denial::Syscall { number: Some(number), name: Some(name) }) => {
                write!(f, "{phrase} {number} ({name})")
            }
            Self::Denied(Denial::Syscall { number: Some(number), name: None }) => {
                write!(f, "{phrase} {number}")
            }
            Self::Denied(Denial::Syscall { number: None, .. }) => f.write_str(phrase),
            Self::Denied(Denial::Capability { name }) => write!(f, "{phrase} `{name}`"),
            Self::Unstarted(unstarted) => write!(f, "{phrase}: {}", unstarted.detail),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.certain {
            f.write_str("probably ")?;
        }
        f.write_str(self.cause.label().phrase())?;
        match &self.cause {
            CrashCause::Killed { signal, by } => {
                write!(f, " {signal}")?;
                match by {
                    Killer::Itself => f.write_str(", by itself"),
                    Killer::Process(pid) => write!(f, ", sent by process {pid}"),
                    Killer::Unknown => f.write_str(", sent by somebody unseen"),
                }
            }
            CrashCause::Protocol { fault } => write!(f, ": {fault}"),
            CrashCause::Unknown { fact } => write!(f, ": {fact}"),
            CrashCause::OutOfMemory { .. }
            | CrashCause::StackOverflow
            | CrashCause::MemoryFault { .. }
            | CrashCause::BadCall { .. }
            | CrashCause::Arithmetic
            | CrashCause::Abort
            | CrashCause::IllegalInstruction => Ok(()),
        }
    }
}

//! The labels: every verdict in one kebab-case word, for JSON, metrics and `sandtrap explain`.
//!
//! They are public and never change their meaning. Adding one breaks the build here, in the command
//! line's exit codes and in its explanations, and nowhere else.

use std::fmt;
use std::str::FromStr;

/// One verdict, without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// Ended well.
    Completed,
    /// The task returned an error.
    FailedError,
    /// It panicked.
    FailedPanic,
    /// It exited with a code other than 0.
    FailedExit,
    /// It needed more memory than its cap.
    CrashedOutOfMemory,
    /// It ran out of stack.
    CrashedStackOverflow,
    /// It touched memory that is not its own.
    CrashedMemoryFault,
    /// It called through a broken function pointer.
    CrashedBadCall,
    /// It divided by zero or overflowed.
    CrashedArithmetic,
    /// It ended itself because it found itself broken.
    CrashedAbort,
    /// It ran into bytes that are no instruction.
    CrashedIllegalInstruction,
    /// A signal killed it that nobody here sent.
    CrashedKilled,
    /// It broke the rules of its channel.
    CrashedProtocol,
    /// Raw facts, nothing claimed.
    CrashedUnknown,
    /// Wall time was up.
    StoppedWallTime,
    /// Processor time was up.
    StoppedCpuTime,
    /// Fuel was up.
    StoppedFuel,
    /// It wrote too much.
    StoppedOutput,
    /// It sent back too much.
    StoppedResult,
    /// It started too many processes.
    StoppedProcesses,
    /// It wrote too large a file.
    StoppedFiles,
    /// It read more of its input than it may.
    StoppedStdin,
    /// The caller asked for it.
    StoppedCancelled,
    /// The runtime was shutting down.
    StoppedShutdown,
    /// A forbidden system call.
    DeniedSyscall,
    /// A forbidden host function or import.
    DeniedCapability,
    /// There is no such program.
    UnstartedNotFound,
    /// It cannot be executed.
    UnstartedNotExecutable,
    /// It is no valid module.
    UnstartedInvalidModule,
    /// It imports what nobody offers.
    UnstartedMissingImport,
    /// A limit is below what it needs to start.
    UnstartedLimitTooSmall,
    /// A required guard is missing.
    UnstartedGuard,
    /// The host has no room.
    UnstartedResources,
    /// The request contradicts itself or the policy.
    UnstartedRejected,
}

impl Label {
    /// Every label, in the order of the documentation.
    pub const ALL: [Self; 34] = [
        Self::Completed,
        Self::FailedError,
        Self::FailedPanic,
        Self::FailedExit,
        Self::CrashedOutOfMemory,
        Self::CrashedStackOverflow,
        Self::CrashedMemoryFault,
        Self::CrashedBadCall,
        Self::CrashedArithmetic,
        Self::CrashedAbort,
        Self::CrashedIllegalInstruction,
        Self::CrashedKilled,
        Self::CrashedProtocol,
        Self::CrashedUnknown,
        Self::StoppedWallTime,
        Self::StoppedCpuTime,
        Self::StoppedFuel,
        Self::StoppedOutput,
        Self::StoppedResult,
        Self::StoppedProcesses,
        Self::StoppedFiles,
        Self::StoppedStdin,
        Self::StoppedCancelled,
        Self::StoppedShutdown,
        Self::DeniedSyscall,
        Self::DeniedCapability,
        Self::UnstartedNotFound,
        Self::UnstartedNotExecutable,
        Self::UnstartedInvalidModule,
        Self::UnstartedMissingImport,
        Self::UnstartedLimitTooSmall,
        Self::UnstartedGuard,
        Self::UnstartedResources,
        Self::UnstartedRejected,
    ];

    /// The label as text.
    pub const fn as_str(self) -> &'static str {
        self.words().0
    }

    /// What it says, for people: `stack overflow`.
    pub const fn phrase(self) -> &'static str {
        self.words().1
    }

    /// The part before the dot: `completed failed crashed stopped denied unstarted`.
    pub fn kind(self) -> &'static str {
        self.as_str().split('.').next().unwrap_or_default()
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Completed => ("completed", "completed"),
            Self::FailedError => ("failed.error", "the task failed"),
            Self::FailedPanic => ("failed.panic", "panicked"),
            Self::FailedExit => ("failed.exit", "exited with code"),
            Self::CrashedOutOfMemory => ("crashed.out-of-memory", "out of memory"),
            Self::CrashedStackOverflow => ("crashed.stack-overflow", "stack overflow"),
            Self::CrashedMemoryFault => ("crashed.memory-fault", "memory fault"),
            Self::CrashedBadCall => ("crashed.bad-call", "call through a broken pointer"),
            Self::CrashedArithmetic => ("crashed.arithmetic", "arithmetic fault"),
            Self::CrashedAbort => ("crashed.abort", "aborted"),
            Self::CrashedIllegalInstruction => {
                ("crashed.illegal-instruction", "illegal instruction")
            }
            Self::CrashedKilled => ("crashed.killed", "killed by"),
            Self::CrashedProtocol => ("crashed.protocol", "broke the channel's rules"),
            Self::CrashedUnknown => ("crashed.unknown", "unknown cause"),
            Self::StoppedWallTime => ("stopped.wall-time", "wall time is up"),
            Self::StoppedCpuTime => ("stopped.cpu-time", "processor time is up"),
            Self::StoppedFuel => ("stopped.fuel", "fuel is used up"),
            Self::StoppedOutput => ("stopped.output", "wrote more than it may"),
            Self::StoppedResult => ("stopped.result", "sent back more than it may"),
            Self::StoppedProcesses => ("stopped.processes", "started more processes than it may"),
            Self::StoppedFiles => ("stopped.files", "wrote more into files than it may"),
            Self::StoppedStdin => ("stopped.stdin", "read more of its input than it may"),
            Self::StoppedCancelled => ("stopped.cancelled", "cancelled"),
            Self::StoppedShutdown => ("stopped.shutdown", "the host is shutting down"),
            Self::DeniedSyscall => ("denied.syscall", "forbidden system call"),
            Self::DeniedCapability => ("denied.capability", "forbidden capability"),
            Self::UnstartedNotFound => ("unstarted.not-found", "not found"),
            Self::UnstartedNotExecutable => ("unstarted.not-executable", "not executable"),
            Self::UnstartedInvalidModule => ("unstarted.invalid-module", "invalid module"),
            Self::UnstartedMissingImport => ("unstarted.missing-import", "missing import"),
            Self::UnstartedLimitTooSmall => ("unstarted.limit-too-small", "limit too small"),
            Self::UnstartedGuard => ("unstarted.guard", "missing guard"),
            Self::UnstartedResources => ("unstarted.resources", "no room on this host"),
            Self::UnstartedRejected => ("unstarted.rejected", "rejected"),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no verdict label; `crashed.stack-overflow` is one")]
pub struct UnknownLabel(String);

impl FromStr for Label {
    type Err = UnknownLabel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|label| label.as_str() == text)
            .ok_or_else(|| UnknownLabel(text.to_owned()))
    }
}

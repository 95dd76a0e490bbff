//! The ways in which an attempt ends, as facts: exit codes, signals with what was seen of them, traps.

use std::fmt;

use crate::signals::Signal;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// No guest code ran.
    NeverStarted(Refusal),
    /// It ended itself with this code.
    Exited(i32),
    /// A signal ended it.
    Signalled(Death),
    /// The module engine ended it.
    Trapped(TrapCause),
    /// It is gone and nobody saw how.
    Vanished,
}

/// Why no guest code ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What stood in the way.
    pub step: Step,
    /// The system's own error number, where it gave one.
    pub errno: Option<i32>,
    /// What happened and what to do, in words.
    pub detail: String,
}

/// The step at which a start failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// There is no such program.
    Find,
    /// The file is there, but it can't be executed.
    Execute,
    /// The bytes are no module, or not one that can be run.
    Parse,
    /// The module imports something that nobody offers.
    Import,
    /// It needs more than a limit allows, before its first instruction.
    FitLimits,
    /// A guard that was required is missing; its name.
    Guard(&'static str),
    /// The host has no room for another one.
    Reserve,
    /// The request contradicts itself or the policy.
    Accept,
    /// Nothing refused it: it was stopped before its turn to start.
    Stopped,
}

/// A death by signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Death {
    /// The signal.
    pub signal: Signal,
    /// The kernel's code for the reason, where it was seen.
    pub code: Option<i32>,
    /// Who sent it.
    pub sender: Sender,
    /// The hardware fault that led to it, where one was seen. It decides, whatever the signal.
    pub fault: Option<Fault>,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The kernel, for something the guest's own instruction did, or for a limit.
    Kernel,
    /// The guest itself.
    Itself,
    /// Another process, by its number in the guest's own namespace; 0 for one outside of it.
    Process(i32),
    /// Nobody saw.
    Unseen,
}

/// One hardware fault: what an instruction of the guest did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The signal the kernel made of it.
    pub signal: Signal,
    /// The kernel's code for it.
    pub code: i32,
    /// The address that could not be used, where the hardware names one.
    pub address: Option<u64>,
    /// What was wanted there, where that can be told.
    pub access: Option<AccessKind>,
    /// The instruction pointer.
    pub instruction: u64,
    /// The stack pointer.
    pub stack_pointer: u64,
    /// What the stack pointer pointed to.
    pub stack: StackState,
    /// What stands at the instruction pointer.
    pub opcode: Opcode,
}

/// What an instruction wanted with memory that it could not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// To read it.
    Read,
    /// To write to it, or to change it.
    Write,
    /// To run it: a call, a jump or a return led there.
    Execute,
}

impl AccessKind {
    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
        }
    }
}

/// What the stack pointer pointed to at a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackState {
    /// Writable memory: the stack was not the trouble.
    Sound,
    /// No writable memory, and a stack above it: the stack had run out.
    Overrun,
    /// Nothing writable, and no stack anywhere near: the pointer itself was damaged.
    Lost,
    /// The mappings could not be read.
    Unseen,
}

/// What kind of instruction faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// One that compilers and C libraries put where nothing may go on (`ud2`, `int3`, `hlt`, `brk`).
    CompilerTrap,
    /// One that only the kernel may use.
    Privileged,
    /// Any other.
    Other,
    /// It could not be read.
    Unseen,
}

/// How the module engine ended a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapCause {
    /// The engine's call stack is exhausted.
    StackOverflow,
    /// An access outside linear memory.
    MemoryOutOfBounds(StackState),
    /// An atomic access that is not aligned.
    Misaligned,
    /// An access outside a table.
    TableOutOfBounds,
    /// An access outside an array.
    ArrayOutOfBounds,
    /// A null reference was used.
    NullReference,
    /// A reference was cast to a type it does not have.
    CastFailure,
    /// A call through an empty table element.
    NullCall,
    /// A call through an element of another signature.
    BadSignature,
    /// A result that does not fit.
    IntegerOverflow,
    /// A division by zero.
    DivisionByZero,
    /// A float that is no integer.
    BadConversion,
    /// The instruction that must never be reached: panic, abort, failed assertion.
    Unreachable,
    /// Our own interrupt; the reason stands in `stopped_by_us`.
    Interrupted,
    /// The fuel is used up.
    OutOfFuel,
    /// Memory was refused, and the policy says that this ends the guest.
    MemoryRefused,
    /// An allocation of the engine's own heap was too large.
    AllocationTooLarge,
    /// An exception that nobody caught.
    UncaughtException,
    /// An opcode that is switched off.
    DisabledOpcode,
    /// A capability was refused, and the policy says that this ends the guest.
    CapabilityRefused,
    /// Anything else, by the engine's own name for it.
    Other(String),
}

impl TrapCause {
    /// The name used in reports.
    pub fn name(&self) -> &str {
        match self {
            Self::StackOverflow => "stack-overflow",
            Self::MemoryOutOfBounds(_) => "memory-out-of-bounds",
            Self::Misaligned => "misaligned",
            Self::TableOutOfBounds => "table-out-of-bounds",
            Self::ArrayOutOfBounds => "array-out-of-bounds",
            Self::NullReference => "null-reference",
            Self::CastFailure => "cast-failure",
            Self::NullCall => "null-call",
            Self::BadSignature => "bad-signature",
            Self::IntegerOverflow => "integer-overflow",
            Self::DivisionByZero => "division-by-zero",
            Self::BadConversion => "bad-conversion",
            Self::Unreachable => "unreachable",
            Self::Interrupted => "interrupted",
            Self::OutOfFuel => "out-of-fuel",
            Self::MemoryRefused => "memory-refused",
            Self::AllocationTooLarge => "allocation-too-large",
            Self::UncaughtException => "uncaught-exception",
            Self::DisabledOpcode => "disabled-opcode",
            Self::CapabilityRefused => "capability-refused",
            Self::Other(name) => name,
        }
    }
}

/// An exception of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown {
    /// What its kind is called, if the module exports that.
    pub tag: Option<String>,
    /// What it carries. Of references only the type is told.
    pub values: Vec<String>,
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.tag {
            write!(f, "`{tag}` ")?;
        }
        write!(f, "({})", self.values.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_told_by_its_kind_and_what_it_carries() {
        let mut thrown = Thrown { tag: Some("oops".into()), values: vec!["i32:7".into()] };
        assert_eq!(thrown.to_string(), "`oops` (i32:7)");
        thrown.tag = None;
        assert_eq!(thrown.to_string(), "(i32:7)");
    }
}

/// Why we ended an attempt. Written down before anything is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The wall-time limit.
    WallTime,
    /// The processor-time limit.
    CpuTime,
    /// The output limit.
    Output,
    /// The result limit.
    Result,
    /// The process limit.
    Processes,
    /// The limit of threads.
    Threads,
    /// The limit of a file's size.
    Files,
    /// The limit of its scratch, in bytes or in files.
    Scratch,
    /// The limit of what it may read of its input.
    Stdin,
    /// It broke the rules of its channel.
    Protocol,
    /// It made a system call that only its tracer could tell from a permitted one.
    Denied,
    /// The caller asked for it.
    Cancelled,
    /// The runtime is shutting down.
    Shutdown,
    /// It said nothing for longer than a guest that is kept may.
    Silence,
}

impl StopReason {
    /// Every reason, in a fixed order.
    pub const ALL: [Self; 14] = [
        Self::WallTime,
        Self::CpuTime,
        Self::Output,
        Self::Result,
        Self::Processes,
        Self::Threads,
        Self::Files,
        Self::Scratch,
        Self::Stdin,
        Self::Protocol,
        Self::Denied,
        Self::Cancelled,
        Self::Shutdown,
        Self::Silence,
    ];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WallTime => "wall-time",
            Self::CpuTime => "cpu-time",
            Self::Output => "output",
            Self::Result => "result",
            Self::Processes => "processes",
            Self::Threads => "threads",
            Self::Files => "files",
            Self::Scratch => "scratch",
            Self::Stdin => "stdin",
            Self::Protocol => "protocol",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Shutdown => "shutdown",
            Self::Silence => "silence",
        }
    }
}

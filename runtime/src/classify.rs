//! The one judge: evidence in, verdict out. Pure, total, and boring on purpose.
//!
//! The rules, in the order in which they bind:
//!
//! 1. What never started is `unstarted`.
//! 2. A stop that cut something off (output, input, result, processes) stands whatever the guest did next.
//! 3. A guest that was told to end has ended for that, whatever it says or exits with, unless it gave its result or crashed.
//! 4. A SIGKILL or an interrupt is ours only if the reason was written down first.
//! 5. The hardware fault that was seen decides, whatever signal it turned into later.
//! 6. A signal that the guest raised itself is never a fault.
//! 7. Testimony names panics and failed allocations; it cannot undo a fault.
//! 8. What could not be seen is never claimed: `certain` is false then.

mod told;

use crate::evidence::{
    AccessKind, Basis, Death, Denied, Ending, Evidence, Fault, Opcode, Refusal, Sender, StackState,
    Step, StopReason, TrapCause,
};
use crate::signals::Signal;
use crate::verdict::{
    Crash, CrashCause, Denial, Failure, Killer, Stop, Unstarted, UnstartedReason, Verdict,
};

/// A null pointer with an offset lies below this address.
const NULL_PAGE_END: u64 = 64 * 1024;

/// The exit code of a Rust program whose main thread panicked.
const PANIC_EXIT: i32 = 101;

/// Reaches the verdict.
pub fn classify(evidence: &Evidence) -> Verdict {
    if let Ending::NeverStarted(refusal) = &evidence.ending {
        if refusal.step == Step::Stopped {
            return stopped_or(evidence, || unstarted(refusal));
        }
        return unstarted(refusal);
    }
    if let Some(stop) = evidence.stopped_by_us.and_then(lasting_stop) {
        return Verdict::Stopped(stop);
    }
    if let Some(fault) = broken_channel(evidence) {
        return crash(CrashCause::Protocol { fault }, true);
    }
    if let Some(stop) = told::has_heeded(evidence) {
        return Verdict::Stopped(stop);
    }
    match &evidence.ending {
        Ending::NeverStarted(refusal) => unstarted(refusal),
        Ending::Exited(code) => exited(*code, evidence),
        Ending::Signalled(death) => signalled(death, evidence),
        Ending::Trapped(cause) => trapped(cause, evidence),
        Ending::Vanished => {
            stopped_or(evidence, || unknown("it is gone, and nobody saw how it ended"))
        }
    }
}

fn crash(cause: CrashCause, certain: bool) -> Verdict {
    Verdict::Crashed(Crash { cause, certain })
}

fn unknown(fact: impl Into<String>) -> Verdict {
    crash(CrashCause::Unknown { fact: fact.into() }, true)
}

fn unstarted(refusal: &Refusal) -> Verdict {
    let reason = match refusal.step {
        Step::Find => UnstartedReason::NotFound,
        Step::Execute => UnstartedReason::NotExecutable,
        Step::Parse => UnstartedReason::InvalidModule,
        Step::Import => UnstartedReason::MissingImport,
        Step::FitLimits => UnstartedReason::LimitTooSmall,
        Step::Guard(name) => UnstartedReason::Guard { name },
        Step::Reserve => UnstartedReason::Resources,
        Step::Accept | Step::Stopped => UnstartedReason::Rejected,
    };
    Verdict::Unstarted(Unstarted { reason, detail: refusal.detail.clone(), errno: refusal.errno })
}

/// Stops after which something of the guest's work is lost, even if it ended in order a moment later.
fn lasting_stop(reason: StopReason) -> Option<Stop> {
    match reason {
        StopReason::Output => Some(Stop::Output),
        StopReason::Result => Some(Stop::Result),
        StopReason::Processes | StopReason::Threads => Some(Stop::Processes),
        StopReason::Files | StopReason::Scratch => Some(Stop::Files),
        StopReason::Stdin => Some(Stop::Stdin),
        StopReason::WallTime
        | StopReason::CpuTime
        | StopReason::Protocol
        | StopReason::Denied
        | StopReason::Cancelled
        | StopReason::Shutdown
        | StopReason::Silence => None,
    }
}

/// A frame that a crash tore apart is no breach; only a guest that lived on, or that we had to end for it.
fn broken_channel(evidence: &Evidence) -> Option<String> {
    let fault = evidence.testimony.broken.as_ref()?;
    let guilty = evidence.stopped_by_us == Some(StopReason::Protocol)
        || matches!(evidence.ending, Ending::Exited(_));
    guilty.then(|| fault.clone())
}

fn stopped_or(evidence: &Evidence, otherwise: impl FnOnce() -> Verdict) -> Verdict {
    match evidence.stopped_by_us {
        None => otherwise(),
        Some(StopReason::WallTime | StopReason::Silence) => Verdict::Stopped(Stop::WallTime),
        Some(StopReason::CpuTime) => Verdict::Stopped(Stop::CpuTime),
        Some(StopReason::Output) => Verdict::Stopped(Stop::Output),
        Some(StopReason::Result) => Verdict::Stopped(Stop::Result),
        Some(StopReason::Processes | StopReason::Threads) => Verdict::Stopped(Stop::Processes),
        Some(StopReason::Files | StopReason::Scratch) => Verdict::Stopped(Stop::Files),
        Some(StopReason::Stdin) => Verdict::Stopped(Stop::Stdin),
        Some(StopReason::Denied) => denied_syscall(evidence),
        Some(StopReason::Cancelled) => Verdict::Stopped(Stop::Cancelled),
        Some(StopReason::Shutdown) => Verdict::Stopped(Stop::Shutdown),
        Some(StopReason::Protocol) => {
            crash(CrashCause::Protocol { fault: "it was ended for a breach".to_owned() }, true)
        }
    }
}

fn exited(code: i32, evidence: &Evidence) -> Verdict {
    if let Some(error) = &evidence.testimony.error {
        let (message, chain) = (error.message.clone(), error.chain.clone());
        return Verdict::Failed(Failure::Error { message, chain });
    }
    if code == 0 {
        return match &evidence.testimony.unanswered {
            Some(fault) => crash(CrashCause::Protocol { fault: fault.clone() }, true),
            None => Verdict::Completed,
        };
    }
    let panicked = if code == PANIC_EXIT { panicked(evidence) } else { None };
    panicked.unwrap_or(Verdict::Failed(Failure::Exit { code }))
}

fn panicked(evidence: &Evidence) -> Option<Verdict> {
    let panic = evidence.testimony.panic.as_ref()?;
    let (message, place) = (panic.message.clone(), panic.place.clone());
    Some(Verdict::Failed(Failure::Panic { message, place }))
}

fn out_of_memory(evidence: &Evidence, certain: bool) -> Verdict {
    let limit = evidence.refused_memory.map(|refused| refused.limit);
    crash(CrashCause::OutOfMemory { limit }, certain)
}

/// It ended itself because it found itself broken: what had broken it?
fn aborted(evidence: &Evidence, seen: bool) -> Verdict {
    if evidence.testimony.panic.as_ref().is_some_and(|panic| panic.fatal)
        && let Some(verdict) = panicked(evidence)
    {
        return verdict;
    }
    if evidence.testimony.out_of_memory.is_some() || evidence.refused_memory.is_some() {
        // That memory was refused is a fact; that the abort followed from it is a conclusion.
        return out_of_memory(evidence, false);
    }
    crash(CrashCause::Abort, seen)
}

fn signalled(death: &Death, evidence: &Evidence) -> Verdict {
    match death.signal {
        Signal::Kill => stopped_or(evidence, || match death.sender {
            Sender::Itself | Sender::Process(_) => killed(death),
            Sender::Kernel | Sender::Unseen => killed_unseen(death, evidence),
        }),
        Signal::Segv | Signal::Bus | Signal::Fpe | Signal::Ill | Signal::Trap => {
            match (&death.fault, death.sender) {
                (Some(fault), _) => faulted(fault, evidence),
                (None, Sender::Itself | Sender::Process(_)) => killed(death),
                (None, Sender::Kernel) => fault_by_number(death.signal, evidence, true),
                (None, Sender::Unseen) => fault_by_number(death.signal, evidence, false),
            }
        }
        Signal::Abrt => match (&death.fault, death.sender) {
            (Some(fault), _) => faulted(fault, evidence),
            (None, Sender::Process(_)) => killed(death),
            (None, Sender::Itself | Sender::Kernel) => aborted(evidence, true),
            (None, Sender::Unseen) => aborted(evidence, false),
        },
        // A signal of these that nobody saw being sent may as well have been the guest's own.
        Signal::Xcpu => match death.sender {
            Sender::Kernel => Verdict::Stopped(Stop::CpuTime),
            Sender::Itself | Sender::Process(_) | Sender::Unseen => killed(death),
        },
        Signal::Xfsz => match death.sender {
            Sender::Kernel => Verdict::Stopped(Stop::Files),
            Sender::Itself | Sender::Process(_) | Sender::Unseen => killed(death),
        },
        Signal::Sys => match death.sender {
            Sender::Kernel => denied_syscall(evidence),
            Sender::Itself | Sender::Process(_) | Sender::Unseen => killed(death),
        },
        Signal::Other(_) => killed(death),
    }
}

/// A SIGKILL that nobody saw being sent: the kernel's, if it counted one that no other process of the task took.
fn killed_unseen(death: &Death, evidence: &Evidence) -> Verdict {
    let of_others = evidence.oom_kills_of_others;
    if evidence.oom_kills > of_others.unwrap_or(0) {
        return out_of_memory(evidence, of_others.is_some());
    }
    match evidence.host_oom {
        // The host's memory has no cap that could be named.
        Some(basis) => crash(CrashCause::OutOfMemory { limit: None }, basis == Basis::Seen),
        None => killed(death),
    }
}

fn killed(death: &Death) -> Verdict {
    let by = match death.sender {
        Sender::Itself => Killer::Itself,
        // Nobody outside of a namespace has a number in it.
        Sender::Process(0) => Killer::Unknown,
        Sender::Process(pid) => Killer::Process(pid),
        Sender::Kernel | Sender::Unseen => Killer::Unknown,
    };
    crash(CrashCause::Killed { signal: death.signal, by }, true)
}

fn denied_syscall(evidence: &Evidence) -> Verdict {
    let denied = evidence.denied.iter().rev().find_map(|denied| match denied {
        Denied::Syscall(denied) => Some(denied),
        Denied::Capability(_) => None,
    });
    let (number, name) = (denied.map(|denied| denied.number), denied.and_then(|it| it.name));
    Verdict::Denied(Denial::Syscall { number, name })
}

/// Judges a hardware fault that was seen.
fn faulted(fault: &Fault, evidence: &Evidence) -> Verdict {
    match fault.signal {
        Signal::Fpe => crash(CrashCause::Arithmetic, true),
        Signal::Trap => match fault.opcode {
            Opcode::CompilerTrap => aborted(evidence, true),
            Opcode::Privileged | Opcode::Other | Opcode::Unseen => {
                unknown(format!("SIGTRAP with code {}, which no breakpoint has", fault.code))
            }
        },
        Signal::Ill => match fault.opcode {
            Opcode::CompilerTrap => aborted(evidence, true),
            Opcode::Privileged | Opcode::Other => crash(CrashCause::IllegalInstruction, true),
            Opcode::Unseen => crash(CrashCause::IllegalInstruction, false),
        },
        Signal::Segv
        | Signal::Bus
        | Signal::Abrt
        | Signal::Kill
        | Signal::Xcpu
        | Signal::Xfsz
        | Signal::Sys
        | Signal::Other(_) => match fault.opcode {
            Opcode::CompilerTrap => aborted(evidence, true),
            Opcode::Privileged => crash(CrashCause::IllegalInstruction, true),
            Opcode::Other | Opcode::Unseen => bad_access(fault, evidence),
        },
    }
}

fn bad_access(fault: &Fault, evidence: &Evidence) -> Verdict {
    let address = fault.address;
    if fault.stack == StackState::Overrun {
        return crash(CrashCause::StackOverflow, true);
    }
    if address == Some(fault.instruction) || fault.access == Some(AccessKind::Execute) {
        return crash(CrashCause::BadCall { address }, true);
    }
    let near_null = address.is_some_and(|address| address < NULL_PAGE_END);
    if near_null && evidence.refused_memory.is_some() {
        // `malloc` said no and nobody looked.
        return out_of_memory(evidence, false);
    }
    crash(CrashCause::MemoryFault { address }, fault.stack != StackState::Unseen)
}

/// Only the signal's number is known.
fn fault_by_number(signal: Signal, evidence: &Evidence, seen: bool) -> Verdict {
    match signal {
        Signal::Fpe => crash(CrashCause::Arithmetic, seen),
        Signal::Ill => crash(CrashCause::IllegalInstruction, false),
        Signal::Trap => aborted(evidence, seen),
        Signal::Segv
        | Signal::Bus
        | Signal::Abrt
        | Signal::Kill
        | Signal::Xcpu
        | Signal::Xfsz
        | Signal::Sys
        | Signal::Other(_) => {
            if evidence.refused_memory.is_some() {
                out_of_memory(evidence, false)
            } else {
                crash(CrashCause::MemoryFault { address: None }, false)
            }
        }
    }
}

fn trapped(cause: &TrapCause, evidence: &Evidence) -> Verdict {
    match cause {
        TrapCause::MemoryRefused => out_of_memory(evidence, is_seen(evidence)),
        TrapCause::AllocationTooLarge => out_of_memory(evidence, false),
        TrapCause::Interrupted => {
            stopped_or(evidence, || unknown("interrupted, but not by this runtime"))
        }
        TrapCause::OutOfFuel => Verdict::Stopped(Stop::Fuel),
        TrapCause::Unreachable => aborted(evidence, true),
        TrapCause::StackOverflow | TrapCause::MemoryOutOfBounds(StackState::Overrun) => {
            crash(CrashCause::StackOverflow, true)
        }
        TrapCause::MemoryOutOfBounds(state) => {
            let address = evidence.outside.map(|outside| outside.address);
            crash(CrashCause::MemoryFault { address }, *state == StackState::Sound)
        }
        TrapCause::Misaligned
        | TrapCause::TableOutOfBounds
        | TrapCause::ArrayOutOfBounds
        | TrapCause::NullReference => crash(CrashCause::MemoryFault { address: None }, true),
        TrapCause::NullCall | TrapCause::BadSignature => {
            crash(CrashCause::BadCall { address: None }, true)
        }
        TrapCause::IntegerOverflow | TrapCause::DivisionByZero | TrapCause::BadConversion => {
            crash(CrashCause::Arithmetic, true)
        }
        TrapCause::UncaughtException => panicked(evidence).unwrap_or_else(|| {
            let what = evidence.thrown.as_ref().map(|thrown| format!(": {thrown}"));
            let message = format!("an exception that nobody caught{}", what.unwrap_or_default());
            Verdict::Failed(Failure::Panic { message, place: None })
        }),
        TrapCause::DisabledOpcode => crash(CrashCause::IllegalInstruction, true),
        TrapCause::CapabilityRefused => denied_capability(evidence),
        TrapCause::CastFailure | TrapCause::Other(_) => unknown(cause.name()),
    }
}

fn is_seen(evidence: &Evidence) -> bool {
    evidence.refused_memory.is_none_or(|refused| refused.basis == Basis::Seen)
}

fn denied_capability(evidence: &Evidence) -> Verdict {
    let name = evidence.denied.iter().rev().find_map(|denied| match denied {
        Denied::Capability(name) => Some(name.clone()),
        Denied::Syscall(_) => None,
    });
    Verdict::Denied(Denial::Capability { name: name.unwrap_or_else(|| "unnamed".to_owned()) })
}

//! How a guest ended, from the engine's error to a fact. By type only; the one place that does it.

use wasmtime::component::ResourceTableError;
use wasmtime::{Error, GcHeapOutOfMemory, ThrownException, Trap};
use wasmtime_wasi::I32Exit;
use wiggle::GuestError;

use crate::evidence::{Ending, Outside, StackState, TrapCause};

/// The guest ended itself with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest exited with code {0}")]
pub(super) struct Exit(pub(super) i32);

/// The guest was stopped; the reason was written down before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest was stopped")]
pub(super) struct Interrupted;

/// The guest asked for more memory than its limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest's memory limit is reached")]
pub(super) struct MemoryRefused;

/// A component holds more of the host's things than it may.
pub(super) const TOO_MANY_HANDLES: &str = "it holds more handles of its host than it may";

/// There is one thread, and it would wait for another one for ever.
const WAITS_FOR_NOBODY: &str = "an atomic wait on memory that no other thread shares";

/// Says how a guest ended that ended with this error. `stack` is asked only where it matters.
pub(super) fn of(error: &Error, stack: impl FnOnce() -> StackState) -> Ending {
    typed(error, stack).unwrap_or_else(|| Ending::Trapped(TrapCause::Other(words(error))))
}

/// What an error says, in one line. Around its root the engine wraps pictures of the place.
pub(super) fn words(error: &Error) -> String {
    error.root_cause().to_string().lines().next().unwrap_or_default().to_owned()
}

/// What the guest wanted to reach outside of its memory. The engine keeps this fact's type to itself and shows
/// its words only; nothing is judged by them, and if they change one day, the fact is missing.
pub(super) fn outside(error: &Error) -> Option<Outside> {
    let number = |text: &str| u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok();
    // The innermost causes first: the outer ones are whole pictures of the place.
    let causes: Vec<_> = error.chain().collect();
    causes.iter().rev().find_map(|cause| {
        let words = cause.to_string();
        let rest = words.strip_prefix("memory fault at wasm address ")?;
        let (address, memory) = rest.split_once(" in linear memory of size ")?;
        Some(Outside { address: number(address)?, memory: number(memory)? })
    })
}

/// The same, as far as the error has a type that says something about the guest.
pub(super) fn typed(error: &Error, stack: impl FnOnce() -> StackState) -> Option<Ending> {
    if let Some(Exit(code)) = error.downcast_ref() {
        return Some(Ending::Exited(*code));
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Some(Ending::Exited(*code));
    }
    if error.is::<Interrupted>() {
        return Some(Ending::Trapped(TrapCause::Interrupted));
    }
    // A heap that may not grow, and had no garbage to give back.
    if error.is::<MemoryRefused>() || error.is::<GcHeapOutOfMemory<()>>() {
        return Some(Ending::Trapped(TrapCause::MemoryRefused));
    }
    if error.is::<ThrownException>() {
        return Some(Ending::Trapped(TrapCause::UncaughtException));
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(Ending::Trapped(TrapCause::Other(TOO_MANY_HANDLES.to_owned())));
    }
    let trap =
        error.downcast_ref::<Trap>().map(|trap| cause(*trap).unwrap_or_else(|| named(*trap)));
    let cause = trap.or_else(|| error.downcast_ref().map(bad_argument))?;
    Some(Ending::Trapped(match cause {
        TrapCause::MemoryOutOfBounds(_) => TrapCause::MemoryOutOfBounds(stack()),
        cause => cause,
    }))
}

/// What it means that a guest gave a host function something that is no pointer, or no value.
fn bad_argument(error: &GuestError) -> TrapCause {
    match error {
        GuestError::PtrOutOfBounds(_) | GuestError::PtrOverflow => {
            TrapCause::MemoryOutOfBounds(StackState::Unseen)
        }
        GuestError::PtrNotAligned(..) => TrapCause::Misaligned,
        GuestError::InFunc { err, .. } => bad_argument(err),
        GuestError::InvalidFlagValue(_)
        | GuestError::InvalidEnumValue(_)
        | GuestError::SliceLengthsDiffer
        | GuestError::InvalidUtf8(_)
        | GuestError::TryFromIntError(_) => TrapCause::Other(error.to_string()),
    }
}

fn named(trap: Trap) -> TrapCause {
    TrapCause::Other(format!("{trap:?}"))
}

/// What a trap means. `None` for those that this version does not know: the engine may get new ones.
fn cause(trap: Trap) -> Option<TrapCause> {
    Some(match trap {
        Trap::StackOverflow => TrapCause::StackOverflow,
        // The last two are said of what one component passes to another, or to its host.
        Trap::MemoryOutOfBounds | Trap::StringOutOfBounds | Trap::ListOutOfBounds => {
            TrapCause::MemoryOutOfBounds(StackState::Unseen)
        }
        Trap::HeapMisaligned | Trap::UnalignedPointer => TrapCause::Misaligned,
        Trap::TableOutOfBounds => TrapCause::TableOutOfBounds,
        Trap::IndirectCallToNull => TrapCause::NullCall,
        Trap::BadSignature => TrapCause::BadSignature,
        Trap::IntegerOverflow => TrapCause::IntegerOverflow,
        Trap::IntegerDivisionByZero => TrapCause::DivisionByZero,
        Trap::BadConversionToInteger => TrapCause::BadConversion,
        Trap::UnreachableCodeReached => TrapCause::Unreachable,
        Trap::Interrupt => TrapCause::Interrupted,
        Trap::OutOfFuel => TrapCause::OutOfFuel,
        Trap::NullReference => TrapCause::NullReference,
        Trap::ArrayOutOfBounds => TrapCause::ArrayOutOfBounds,
        Trap::AllocationTooLarge => TrapCause::AllocationTooLarge,
        Trap::CastFailure => TrapCause::CastFailure,
        Trap::DisabledOpcode => TrapCause::DisabledOpcode,
        Trap::UncaughtException => TrapCause::UncaughtException,
        Trap::AtomicWaitNonSharedMemory => TrapCause::Other(WAITS_FOR_NOBODY.to_owned()),
        // An interface that is used against its rules, mostly those of later versions, which are off.
        Trap::UnhandledTag
        | Trap::ContinuationAlreadyConsumed
        | Trap::CannotEnterComponent
        | Trap::CannotLeaveComponent
        | Trap::NoAsyncResult
        | Trap::AsyncDeadlock
        | Trap::CannotBlockSyncTask
        | Trap::InvalidChar
        | Trap::DebugAssertStringEncodingFinished
        | Trap::DebugAssertEqualCodeUnits
        | Trap::DebugAssertPointerAligned
        | Trap::DebugAssertUpperBitsUnset
        | Trap::InvalidDiscriminant
        | Trap::TaskCancelNotCancelled
        | Trap::TaskCancelOrReturnTwice
        | Trap::SubtaskCancelAfterTerminal
        | Trap::TaskReturnInvalid
        | Trap::WaitableSetDropHasWaiters
        | Trap::SubtaskDropNotResolved
        | Trap::ThreadNewIndirectInvalidType
        | Trap::ThreadNewIndirectUninitialized
        | Trap::BackpressureOverflow
        | Trap::UnsupportedCallbackCode
        | Trap::CannotResumeThread
        | Trap::ConcurrentFutureStreamOp
        | Trap::ReferenceCountOverflow
        | Trap::StreamOpTooBig
        | Trap::WaitableSyncAndAsync => named(trap),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trap_of_this_engine_is_known_by_name() {
        let traps: Vec<Trap> = (0..=u8::MAX).filter_map(Trap::from_u8).collect();
        assert_eq!(traps.len(), 50);
        for trap in traps {
            assert!(cause(trap).is_some(), "the engine has a new trap: {trap:?}");
        }
    }

    #[test]
    fn our_own_errors_are_found_under_any_context() {
        let sound = || StackState::Sound;
        let error = Error::from(MemoryRefused).context("one").context("two");
        assert_eq!(of(&error, sound), Ending::Trapped(TrapCause::MemoryRefused));
        assert_eq!(of(&Exit(255).into(), sound), Ending::Exited(255));
        assert_eq!(of(&I32Exit(0).into(), sound), Ending::Exited(0));
    }
}

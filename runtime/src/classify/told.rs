//! What is made of a guest that was told to end, and had time to.

use crate::evidence::{Ending, Evidence, Sender, StopReason, TrapCause};
use crate::signals::Signal;
use crate::verdict::Stop;

use super::PANIC_EXIT;

/// The signal that asks a program to end.
const SIGTERM: i32 = 15;

/// What a guest was told to end for that has done so, or was ended when its time was over: that of its grace, or any other
/// time that it had. One that gave its result has completed, and one that crashed has crashed.
pub(super) fn has_heeded(evidence: &Evidence) -> Option<Stop> {
    evidence.told_to_end.and_then(asked_stop).filter(|_| heeded(evidence))
}

/// What those are asked for who may have a time of grace.
fn asked_stop(reason: StopReason) -> Option<Stop> {
    match reason {
        StopReason::Cancelled => Some(Stop::Cancelled),
        StopReason::Shutdown => Some(Stop::Shutdown),
        StopReason::WallTime
        | StopReason::CpuTime
        | StopReason::Output
        | StopReason::Result
        | StopReason::Processes
        | StopReason::Threads
        | StopReason::Files
        | StopReason::Scratch
        | StopReason::Stdin
        | StopReason::Protocol
        | StopReason::Denied
        | StopReason::Silence => None,
    }
}

fn heeded(evidence: &Evidence) -> bool {
    let is_out_of_time = match evidence.stopped_by_us {
        Some(StopReason::WallTime | StopReason::CpuTime | StopReason::Silence) => true,
        Some(reason) => asked_stop(reason).is_some(),
        None => false,
    };
    let testimony = &evidence.testimony;
    match &evidence.ending {
        Ending::NeverStarted(_) => false,
        Ending::Exited(0) => testimony.result.is_none() || testimony.error.is_some(),
        Ending::Exited(code) => *code != PANIC_EXIT || testimony.panic.is_none(),
        Ending::Signalled(death) => match death.signal {
            Signal::Kill => is_out_of_time,
            Signal::Xcpu => death.sender == Sender::Kernel,
            // By itself or by its host's hand: this is how one ends that was asked to.
            Signal::Other(number) => number == SIGTERM,
            Signal::Segv
            | Signal::Bus
            | Signal::Abrt
            | Signal::Fpe
            | Signal::Ill
            | Signal::Trap
            | Signal::Xfsz
            | Signal::Sys => false,
        },
        Ending::Trapped(cause) => {
            *cause == TrapCause::OutOfFuel || *cause == TrapCause::Interrupted && is_out_of_time
        }
        Ending::Vanished => is_out_of_time,
    }
}

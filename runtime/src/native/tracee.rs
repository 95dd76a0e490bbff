//! One thread of a task under the tracer: the signals it met, and the fault it may still be suffering from.
//!
//! ```text
//!          fault             handler's first instruction
//! (calm) -------> DELIVERING ---------------------------> HANDLING ----> its death: this fault caused it
//!    ^                                                      |
//!    +------ the handler returns, or its frame is left -----+
//! ```
//!
//! A fault that is delivered to a handler stays *open* until that very handler has returned, or has been left
//! by a long jump, which is seen from the stack pointer. So a fault that was mended is not blamed for a
//! later death, and one that turned into an abort within its handler is.

use libc::{c_int, pid_t};

use crate::evidence::{Fault, Sender};
use crate::signals::Signal;

use super::backtrace::Steps;
use super::tracing::{Registers, Resume, SignalInfo};

/// System calls within a fault's handler after which it is no last gasp any more.
const MOST_CALLS: u32 = 4096;

/// How far below its frame a handler may reach.
const MOST_DEPTH: u64 = 1 << 20;

/// What a returning handler has taken off the stack when it calls the kernel: its return address.
#[cfg(target_arch = "x86_64")]
const TAKEN_OFF: u64 = 8;
#[cfg(not(target_arch = "x86_64"))]
const TAKEN_OFF: u64 = 0;

pub(super) struct Tracee {
    pub(super) process: pid_t,
    /// What its process is called inside.
    pub(super) inside: pid_t,
    /// Its first stop is the kernel's own and not a signal.
    pub(super) newborn: bool,
    open: Option<OpenFault>,
    /// The one before, which is often met again: a handler that can't mend it puts its signal back to what it was, and returns.
    past: Option<(Fault, Option<Registers>)>,
    pub(super) met: Option<Met>,
}

/// A signal that a thread was stopped at.
#[derive(Clone, Debug)]
pub(super) struct Met {
    /// Counts all signals of a task: of two that fit, the later one killed.
    pub(super) order: u64,
    pub(super) signal: c_int,
    pub(super) code: i32,
    pub(super) sender: Sender,
    /// The fault that was open then.
    pub(super) fault: Option<Fault>,
    /// Where it was: at that fault, or at this signal.
    pub(super) steps: Steps,
}

struct OpenFault {
    fault: Fault,
    at: Option<Registers>,
    steps: Steps,
    stage: Stage,
}

enum Stage {
    /// The next stop is at the first instruction of the handler, if there is one.
    Delivering,
    Handling {
        /// The stack pointer at that instruction.
        frame: u64,
        calls: u32,
    },
}

impl Tracee {
    pub(super) fn of(process: pid_t, inside: pid_t, newborn: bool) -> Self {
        Self { process, inside, newborn, open: None, past: None, met: None }
    }

    /// How it goes on.
    pub(super) fn gait(&self) -> Resume {
        match &self.open {
            None => Resume::Freely,
            Some(OpenFault { stage: Stage::Delivering, .. }) => Resume::Step,
            Some(OpenFault { stage: Stage::Handling { .. }, .. }) => Resume::ToSyscall,
        }
    }

    /// Takes note of a fault that is about to be delivered. The first one counts while it is open.
    pub(super) fn suffer(&mut self, fault: Fault, at: Option<Registers>, steps: Steps) {
        self.open.get_or_insert(OpenFault { fault, at, steps, stage: Stage::Delivering });
    }

    /// Whether this stop is the one at the first instruction of a fault's handler.
    pub(super) fn enters_handler(&mut self, signal: c_int, registers: Option<Registers>) -> bool {
        match (&mut self.open, registers) {
            (Some(open), Some(registers))
                if matches!(open.stage, Stage::Delivering) && signal == libc::SIGTRAP =>
            {
                open.stage = Stage::Handling { frame: registers.stack_pointer, calls: 0 };
                true
            }
            _ => false,
        }
    }

    /// Looks whether a handler is still at work, at any stop.
    pub(super) fn look(&mut self, registers: Option<Registers>) {
        if let (Some(OpenFault { stage: Stage::Handling { frame, .. }, .. }), Some(registers)) =
            (&self.open, registers)
            && !reaches(*frame, registers.stack_pointer)
        {
            self.close();
        }
    }

    /// The thread makes a system call while its handler is at work.
    pub(super) fn call(&mut self, registers: Option<Registers>) {
        self.look(registers);
        let Some(OpenFault { stage: Stage::Handling { frame, calls }, .. }) = &mut self.open else {
            return;
        };
        *calls += 1;
        let returns = registers.is_some_and(|registers| {
            registers.syscall == libc::SYS_rt_sigreturn
                && registers.stack_pointer == *frame + TAKEN_OFF
        });
        if returns || *calls > MOST_CALLS {
            self.close();
        }
    }

    fn close(&mut self) {
        self.past = self.open.take().map(|open| (open.fault, open.at));
    }

    /// The fault before, if this one is the same once more: the same instruction, with the same registers, at the same address, for
    /// the same reason.
    pub(super) fn again(&self, signal: c_int, info: &SignalInfo, at: Registers) -> Option<&Fault> {
        let (past, was_at) = self.past.as_ref()?;
        let address = past.address.unwrap_or(info.address);
        let is_same = (past.signal, past.code, address)
            == (Signal::from_number(signal), info.code, info.address);
        Some(past).filter(|_| is_same && *was_at == Some(at))
    }

    /// The fault it still suffers from, and where it was then.
    pub(super) fn fault(&self) -> Option<(&Fault, &Steps)> {
        self.open.as_ref().map(|open| (&open.fault, &open.steps))
    }
}

fn reaches(frame: u64, stack_pointer: u64) -> bool {
    let top = frame + TAKEN_OFF;
    stack_pointer <= top && top - stack_pointer <= MOST_DEPTH
}

/// Who sent the signal at which a thread of `process` stands.
pub(super) fn sender(
    signal: c_int,
    info: &SignalInfo,
    registers: Option<Registers>,
    process: pid_t,
) -> Sender {
    // The thread is inside a call that sends signals: then it may write into them whatever it likes.
    let sending = registers.is_some_and(|registers| {
        matches!(
            registers.syscall,
            libc::SYS_kill
                | libc::SYS_tkill
                | libc::SYS_tgkill
                | libc::SYS_rt_sigqueueinfo
                | libc::SYS_rt_tgsigqueueinfo
                | libc::SYS_pidfd_send_signal
        )
    });
    match info.code {
        1.. if sending => Sender::Itself,
        1.. => Sender::Kernel,
        // The kernel sends this one in the name of the process that wrote too much.
        libc::SI_USER if signal == libc::SIGXFSZ && info.sender == process && !sending => {
            Sender::Kernel
        }
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL if info.sender == process => Sender::Itself,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => Sender::Process(info.sender),
        // Its own timers, its own input and output.
        _ => Sender::Itself,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Opcode, StackState};

    fn registers(syscall: i64, stack_pointer: u64) -> Option<Registers> {
        Some(Registers { instruction: 1, stack_pointer, syscall, arguments: [0; 6] })
    }

    fn in_handler() -> Tracee {
        let mut tracee = Tracee::of(1, 1, false);
        let fault = Fault {
            signal: Signal::Segv,
            code: 1,
            address: Some(0),
            access: None,
            instruction: 1,
            stack_pointer: 0x9000,
            stack: StackState::Sound,
            opcode: Opcode::Unseen,
        };
        tracee.suffer(fault, registers(-1, 0x9000), Steps::default());
        assert_eq!(tracee.gait(), Resume::Step);
        assert!(tracee.enters_handler(libc::SIGTRAP, registers(-1, 0x8000)));
        assert_eq!(tracee.gait(), Resume::ToSyscall);
        tracee
    }

    #[test]
    fn a_fault_ends_when_its_own_handler_returns() {
        let mut tracee = in_handler();
        // Another handler, deeper on the stack, returns first.
        tracee.call(registers(libc::SYS_rt_sigreturn, 0x7000));
        assert!(tracee.fault().is_some());
        tracee.call(registers(libc::SYS_rt_sigreturn, 0x8000 + TAKEN_OFF));
        assert!(tracee.fault().is_none());
        assert_eq!(tracee.gait(), Resume::Freely);
    }

    #[test]
    fn a_fault_that_is_met_again_is_known_and_another_one_is_not() {
        let info = |address| SignalInfo { code: 1, sender: 0, address };
        let at = |stack_pointer| registers(-1, stack_pointer).unwrap();
        let mut tracee = in_handler();
        assert!(tracee.again(libc::SIGSEGV, &info(0), at(0x9000)).is_none(), "it is open");
        tracee.call(registers(libc::SYS_rt_sigreturn, 0x8000 + TAKEN_OFF));
        assert!(tracee.again(libc::SIGSEGV, &info(0), at(0x9000)).is_some());
        assert!(tracee.again(libc::SIGBUS, &info(0), at(0x9000)).is_none());
        assert!(tracee.again(libc::SIGSEGV, &info(8), at(0x9000)).is_none());
        assert!(tracee.again(libc::SIGSEGV, &info(0), at(0x9008)).is_none());
    }

    #[test]
    fn a_fault_ends_when_its_handler_is_left_by_a_jump() {
        for stack_pointer in [0x8f00, (16 << 20) + 0x8f00] {
            let mut tracee = in_handler();
            tracee.look(registers(-1, stack_pointer));
            assert!(tracee.fault().is_none(), "{stack_pointer:#x}");
        }
        let mut tracee = in_handler();
        tracee.look(registers(libc::SYS_tgkill, 0x7f00));
        assert!(tracee.fault().is_some());
    }
}

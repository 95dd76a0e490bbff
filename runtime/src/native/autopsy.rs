//! Looks at a stopped tracee and writes down what it sees of a fault. Judges nothing.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt as _;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::evidence::{AccessKind, Fault, Opcode, StackState};
use crate::signals::Signal;

use super::around::Around;
use super::instruction::{self, Instruction};
use super::tracing::{Registers, SignalInfo};

pub(super) const SI_KERNEL: i32 = 128;
const TRAP_BRKPT: i32 = 1;
const SEGV_ACCERR: i32 = 2;

/// A push, a call or a red zone reaches at most this far below the stack pointer.
const BELOW_STACK_POINTER: u64 = 256;

/// Signals that instructions cause.
pub(super) fn is_fault(signal: i32, info: &SignalInfo, registers: Option<Registers>) -> bool {
    let by_instruction = match Signal::from_number(signal) {
        Signal::Segv | Signal::Bus | Signal::Fpe | Signal::Ill | Signal::Trap => true,
        Signal::Abrt
        | Signal::Kill
        | Signal::Xcpu
        | Signal::Xfsz
        | Signal::Sys
        | Signal::Other(_) => false,
    };
    // A code of 0 or less says that a process sent it; so does a system call that it is in the middle of,
    // for a process may write any code into a signal to itself.
    let in_syscall = registers.is_some_and(|registers| registers.syscall >= 0);
    by_instruction && info.code > 0 && !in_syscall
}

/// Whether a thread dies in the middle of executing another program: the kernel, which had let go of the old one
/// already, found no room for the new one.
pub(super) fn is_loading(signal: i32, registers: Option<Registers>) -> bool {
    let executing = registers.is_some_and(|registers| {
        matches!(registers.syscall, libc::SYS_execve | libc::SYS_execveat)
    });
    signal == libc::SIGSEGV && executing
}

/// Everything there is to know about the fault at which `tid` stands.
pub(super) fn examine(
    tid: i32,
    signal: i32,
    info: &SignalInfo,
    registers: Option<Registers>,
) -> Fault {
    let signal = Signal::from_number(signal);
    // With this code the hardware named no address, and the field holds a zero that means nothing.
    let address = (info.code != SI_KERNEL).then_some(info.address);
    let (instruction, stack_pointer) =
        registers.map_or((0, 0), |registers| (registers.instruction, registers.stack_pointer));
    let mappings = registers.and_then(|_| Around::of(tid));
    let stack = mappings
        .as_ref()
        .map_or(StackState::Unseen, |mappings| stack_state(mappings, stack_pointer, address));
    // The registers in which a copy keeps where it writes and where it reads.
    let copied = registers.map_or((0, 0), |registers| {
        let [to, from, ..] = registers.arguments;
        (from, to)
    });
    let is_access = matches!(signal, Signal::Segv | Signal::Bus);
    let ran_there = is_access && address == Some(instruction) && registers.is_some();
    let seen = if ran_there { None } else { instruction_at(tid, instruction) };
    let opcode = opcode(signal, info.code, seen.as_ref());
    let access = match is_access {
        true if ran_there => Some(AccessKind::Execute),
        true => seen
            .and_then(|seen| seen.access(address, stack_pointer, copied))
            .or_else(|| refused(mappings.as_ref()?, info.code, address?)),
        false => None,
    };
    Fault { signal, code: info.code, address, access, instruction, stack_pointer, stack, opcode }
}

/// The stack has run out when its pointer points below a stack, or when the access just below it does.
fn stack_state(mappings: &Around, stack_pointer: u64, address: Option<u64>) -> StackState {
    let just_below = address.filter(|address| {
        (stack_pointer.saturating_sub(BELOW_STACK_POINTER)..stack_pointer).contains(address)
            && !mappings.is_writable(*address)
    });
    if just_below.is_none() && mappings.is_writable(stack_pointer) {
        StackState::Sound
    } else if mappings.is_below_a_stack(just_below.unwrap_or(stack_pointer)) {
        StackState::Overrun
    } else {
        StackState::Lost
    }
}

fn opcode(signal: Signal, code: i32, seen: Option<&Instruction>) -> Opcode {
    let of_instruction = || seen.map_or(Opcode::Unseen, |seen| seen.opcode);
    match signal {
        Signal::Ill => of_instruction(),
        // `int3` and `brk`; a trap flag or a watchpoint has other codes.
        Signal::Trap if matches!(code, SI_KERNEL | TRAP_BRKPT) => Opcode::CompilerTrap,
        Signal::Trap => Opcode::Other,
        // Also what a process may not do at all; an access has an address, or is no such instruction.
        Signal::Segv if code == SI_KERNEL => of_instruction(),
        _ => Opcode::Unseen,
    }
}

/// What the mapping refused, where it would have allowed the rest.
fn refused(mappings: &Around, code: i32, address: u64) -> Option<AccessKind> {
    let mapping = mappings.at(address).filter(|_| code == SEGV_ACCERR)?;
    (mapping.readable && !mapping.writable).then_some(AccessKind::Write)
}

fn instruction_at(tid: i32, address: u64) -> Option<Instruction> {
    let mut bytes = [0; instruction::LONGEST];
    let place = RemoteIoVec { base: usize::try_from(address).ok()?, len: bytes.len() };
    let mut into = [IoSliceMut::new(&mut bytes)];
    let read = process_vm_readv(Pid::from_raw(tid), &mut into, &[place]).ok();
    // At the end of its mapping, and where it may be run but not be read, there is a longer way.
    let count = read.filter(|count| *count == bytes.len()).or_else(|| {
        let memory = File::open(format!("/proc/{tid}/mem")).ok()?;
        memory.read_at(&mut bytes, address).ok().filter(|count| *count > 0)
    })?;
    Some(instruction::decode(&bytes[..count]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::around::tests::listed;

    const MAPS: &str = "\
00400000-00401000 r-xp 00000000 08:01 1 /a
7f0000000000-7f0000001000 ---p 00000000 00:00 0
7f0000001000-7f0000100000 rw-p 00000000 00:00 0
7ffd00000000-7ffd00100000 rw-p 00000000 00:00 0 [stack]
";

    #[test]
    fn the_stack_has_run_out_where_its_pointer_is_below_a_stack() {
        for (stack_pointer, address, state) in [
            (0x7ffd_0000_8000, Some(0), StackState::Sound),
            (0x7ffd_0000_8000, None, StackState::Sound),
            (0x7ffc_ffff_fff0, Some(0x7ffc_ffff_ffe8), StackState::Overrun),
            // The guard of a thread's stack is mapped, but nothing may be written to it.
            (0x7f00_0000_0ff0, Some(0x7f00_0000_0ff0), StackState::Overrun),
            // A push at the very edge: the pointer itself is still good.
            (0x7ffd_0000_0000, Some(0x7ffc_ffff_fff8), StackState::Overrun),
            (0x7ffd_0000_0100, Some(0x7ffd_0000_00f8), StackState::Sound),
            // The pointer itself was overwritten.
            (0x1234, Some(0x1234), StackState::Lost),
            (0x4141_4141_4141, Some(0x4141_4141_4139), StackState::Lost),
            (0x4141_4141_4141_4141, None, StackState::Lost),
            (0x40_0010, Some(0x40_0008), StackState::Lost),
        ] {
            let state_seen = stack_state(&listed(MAPS), stack_pointer, address);
            assert_eq!(state_seen, state, "{stack_pointer:#x}");
        }
    }

    #[test]
    fn a_mapping_that_may_be_read_refused_a_write() {
        let maps = listed(MAPS);
        assert_eq!(refused(&maps, SEGV_ACCERR, 0x40_0000), Some(AccessKind::Write));
        assert_eq!(refused(&maps, SEGV_ACCERR, 0x7f00_0000_0000), None);
        assert_eq!(refused(&maps, 1, 0x40_0000), None);
        assert_eq!(refused(&maps, SEGV_ACCERR, 0), None);
    }
}

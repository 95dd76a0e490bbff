//! Looks at a stopped tracee and writes down what it sees of a fault. Judges nothing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use crate::evidence::{Fault, Opcode, StackState};
use crate::signals::Signal;

use super::tracing::{Registers, SignalInfo};

const SI_KERNEL: i32 = 128;
const TRAP_BRKPT: i32 = 1;

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
    let stack = match (registers, fs::read_to_string(format!("/proc/{tid}/maps"))) {
        (Some(_), Ok(maps)) if !maps.is_empty() => stack_state(&maps, stack_pointer, address),
        _ => StackState::Unseen,
    };
    let opcode = match signal {
        Signal::Ill => opcode_at(tid, instruction),
        // `int3` and `brk`; a trap flag or a watchpoint has other codes.
        Signal::Trap if matches!(info.code, SI_KERNEL | TRAP_BRKPT) => Opcode::CompilerTrap,
        Signal::Trap => Opcode::Other,
        _ => Opcode::Unseen,
    };
    Fault { signal, code: info.code, address, instruction, stack_pointer, stack, opcode }
}

/// The stack has run out when its pointer points to nothing writable, or when the access just below it
/// did not.
fn stack_state(maps: &str, stack_pointer: u64, address: Option<u64>) -> StackState {
    let just_below = address.is_some_and(|address| {
        (stack_pointer.saturating_sub(BELOW_STACK_POINTER)..stack_pointer).contains(&address)
            && !is_writable(maps, address)
    });
    if just_below || !is_writable(maps, stack_pointer) {
        StackState::Overrun
    } else {
        StackState::Sound
    }
}

fn is_writable(maps: &str, address: u64) -> bool {
    maps.lines()
        .filter_map(mapping)
        .any(|(start, end, writable)| writable && (start..end).contains(&address))
}

/// `7ffc3a1ff000-7ffc3a220000 rw-p …`
fn mapping(line: &str) -> Option<(u64, u64, bool)> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some((hex(start)?, hex(end)?, words.next()?.as_bytes().get(1) == Some(&b'w')))
}

#[cfg(target_arch = "x86_64")]
fn opcode_at(tid: i32, instruction: u64) -> Opcode {
    let mut bytes = [0; 2];
    let read = File::open(format!("/proc/{tid}/mem"))
        .and_then(|memory| memory.read_exact_at(&mut bytes, instruction));
    match (read, bytes) {
        (Err(_), _) => Opcode::Unseen,
        (Ok(()), [0x0f, 0x0b]) => Opcode::CompilerTrap,
        (Ok(()), _) => Opcode::Other,
    }
}

#[cfg(target_arch = "aarch64")]
fn opcode_at(tid: i32, instruction: u64) -> Opcode {
    let mut bytes = [0; 4];
    let read = File::open(format!("/proc/{tid}/mem"))
        .and_then(|memory| memory.read_exact_at(&mut bytes, instruction));
    // `udf` has 16 zero bits on top.
    match (read, u32::from_le_bytes(bytes)) {
        (Err(_), _) => Opcode::Unseen,
        (Ok(()), word) if word >> 16 == 0 => Opcode::CompilerTrap,
        (Ok(()), _) => Opcode::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
00400000-00401000 r-xp 00000000 08:01 1 /a
7f0000000000-7f0000001000 ---p 00000000 00:00 0
7f0000001000-7f0000100000 rw-p 00000000 00:00 0
7ffd00000000-7ffd00100000 rw-p 00000000 00:00 0 [stack]
";

    #[test]
    fn the_stack_has_run_out_where_its_pointer_is_not_writable() {
        for (stack_pointer, address, state) in [
            (0x7ffd_0000_8000, Some(0), StackState::Sound),
            (0x7ffd_0000_8000, None, StackState::Sound),
            (0x7ffc_ffff_fff0, Some(0x7ffc_ffff_ffe8), StackState::Overrun),
            // The guard of a thread's stack is mapped, but nothing may be written to it.
            (0x7f00_0000_0ff0, Some(0x7f00_0000_0ff0), StackState::Overrun),
            // A push at the very edge: the pointer itself is still good.
            (0x7ffd_0000_0000, Some(0x7ffc_ffff_fff8), StackState::Overrun),
            (0x7ffd_0000_0100, Some(0x7ffd_0000_00f8), StackState::Sound),
            (0x1234, Some(0x1234), StackState::Overrun),
        ] {
            assert_eq!(stack_state(MAPS, stack_pointer, address), state, "{stack_pointer:#x}");
        }
    }
}

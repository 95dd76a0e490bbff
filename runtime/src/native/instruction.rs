//! What one machine instruction does to memory, as far as an autopsy needs it: whether it reads, writes or jumps.
//!
//! The kernel doesn't tell a tracer which of them failed. Only what an instruction says beyond doubt is said here;
//! the rest is left open.

use crate::evidence::{AccessKind, Opcode};

/// No instruction has more bytes.
pub(super) const LONGEST: usize = 15;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) opcode: Opcode,
    action: Action,
}

/// What it does to memory.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "only x86-64 is decoded so far")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Reads,
    /// Or changes in place.
    Writes,
    /// It writes to the stack what it reads elsewhere.
    ReadsAndPushes,
    /// It writes elsewhere what it reads from the stack.
    PopsAndWrites,
    /// It reads its target from the stack, and goes there.
    Returns,
    /// It goes where a register says.
    Jumps,
    /// It goes where a place on its stack, or beside its code, says. That place can be read.
    JumpsByStack,
    /// It reads at one register and writes at another one.
    Copies,
    Unclear,
}

impl Instruction {
    /// What it wanted with an address, or what it did that the processor had no address for. A copy goes from the
    /// one address to the other one of `copied`.
    pub(super) fn access(
        self,
        address: Option<u64>,
        stack_pointer: u64,
        copied: (u64, u64),
    ) -> Option<AccessKind> {
        let is_at = |place: u64| address.is_some_and(|address| address.abs_diff(place) <= 64);
        let on_stack = address.map(|address| address.abs_diff(stack_pointer) <= 8);
        match (self.action, on_stack) {
            (Action::Copies, _) => match (is_at(copied.0), is_at(copied.1)) {
                (true, false) => Some(AccessKind::Read),
                (false, true) => Some(AccessKind::Write),
                _ => None,
            },
            (Action::Reads, _) => Some(AccessKind::Read),
            (Action::Writes, _) => Some(AccessKind::Write),
            (Action::ReadsAndPushes, Some(true)) => Some(AccessKind::Write),
            (Action::ReadsAndPushes, Some(false)) => Some(AccessKind::Read),
            (Action::PopsAndWrites, Some(true)) => Some(AccessKind::Read),
            (Action::PopsAndWrites, Some(false)) => Some(AccessKind::Write),
            (Action::Returns, Some(_)) => Some(AccessKind::Read),
            (Action::Returns | Action::Jumps | Action::JumpsByStack, None) => {
                Some(AccessKind::Execute)
            }
            (Action::JumpsByStack, Some(true)) => Some(AccessKind::Write),
            (Action::JumpsByStack, Some(false)) => Some(AccessKind::Read),
            (Action::ReadsAndPushes | Action::PopsAndWrites, None)
            | (Action::Jumps, Some(_))
            | (Action::Unclear, _) => None,
        }
    }
}

/// Reads one instruction of this machine.
#[cfg(target_arch = "aarch64")]
pub(super) fn decode(bytes: &[u8]) -> Instruction {
    let word = bytes.first_chunk().map(|word| u32::from_le_bytes(*word));
    let opcode = match word {
        None => Opcode::Unseen,
        // `udf` has 16 zero bits on top.
        Some(word) if word >> 16 == 0 => Opcode::CompilerTrap,
        Some(_) => Opcode::Other,
    };
    Instruction { opcode, action: Action::Unclear }
}

/// Reads one instruction of this machine. What is cut off in its middle is unclear.
#[cfg(target_arch = "x86_64")]
pub(super) fn decode(bytes: &[u8]) -> Instruction {
    let action = x86::action(bytes).unwrap_or(Action::Unclear);
    Instruction { opcode: x86::opcode(bytes), action }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Action;
    use crate::evidence::Opcode;

    fn is_prefix(byte: u8) -> bool {
        matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
    }

    fn without_prefixes(bytes: &[u8]) -> (&[u8], &[u8]) {
        bytes.split_at(bytes.iter().take_while(|byte| is_prefix(**byte)).count())
    }

    pub(super) fn opcode(bytes: &[u8]) -> Opcode {
        match without_prefixes(bytes).1 {
            [] => Opcode::Unseen,
            // `int3`, `hlt` (what musl ends itself with), `ud2`, and `ud1`, which clang's checks end in.
            [0xcc | 0xf4, ..] | [0x0f, 0x0b | 0xb9, ..] => Opcode::CompilerTrap,
            // Ports, interrupts, and what only the kernel may set.
            [0x6c..=0x6f | 0xcd | 0xcf | 0xe4..=0xe7 | 0xec..=0xef | 0xfa | 0xfb, ..]
            | [0x0f, 0x00 | 0x01 | 0x06..=0x09 | 0x20..=0x23 | 0x30..=0x33 | 0x35, ..] => {
                Opcode::Privileged
            }
            _ => Opcode::Other,
        }
    }

    /// The field of an instruction's second byte that chooses among eight operations, and whether its operand is
    /// in memory.
    fn choice(byte: Option<&u8>) -> Option<(u8, bool)> {
        byte.map(|byte| (byte >> 3 & 7, *byte < 0xc0))
    }

    pub(super) fn action(bytes: &[u8]) -> Option<Action> {
        let (prefixes, rest) = without_prefixes(bytes);
        match *rest {
            [0xc5, second, operation, ..] => vector(1, second & 3, operation, rest.get(3)?),
            [0xc4, first, second, operation, ..] => {
                vector(first & 0x1f, second & 3, operation, rest.get(4)?)
            }
            // Scattering, compressing and narrowing moves are those that write here.
            [0x62, first, _, _, 0x10..=0x35 | 0x63 | 0x8a | 0x8b | 0xa0..=0xa3, ..]
                if first & 7 == 2 =>
            {
                None
            }
            [0x62, first, second, _, operation, ..] => {
                vector(first & 7, second & 3, operation, rest.get(5)?)
            }
            [0x0f, map @ (0x38 | 0x3a), operation, ..] => {
                let map = if map == 0x38 { 2 } else { 3 };
                vector(map, u8::from(prefixes.contains(&0x66)), operation, rest.get(3)?)
            }
            [0x0f, operation, ..] => two_bytes(prefixes, operation, rest.get(2)),
            // A call or a jump through [rsp + …] or [rip + …].
            [0xff, 0x14 | 0x54 | 0x94 | 0x24 | 0x64 | 0xa4, 0x24, ..] | [0xff, 0x15 | 0x25, ..] => {
                Some(Action::JumpsByStack)
            }
            [operation, ..] => one_byte(operation, rest.get(1)),
            [] => None,
        }
    }

    fn one_byte(operation: u8, next: Option<&u8>) -> Option<Action> {
        use Action::{Copies, Jumps, PopsAndWrites, Reads, ReadsAndPushes, Returns, Writes};
        let memory = choice(next).is_some_and(|(_, memory)| memory);
        let action = match operation {
            // Calls, pushes and `enter`.
            0xe8 | 0x50..=0x57 | 0x68 | 0x6a | 0x9c | 0xc8 => Writes,
            // Pops and `leave`.
            0x58..=0x5f | 0x9d | 0xc9 => Reads,
            0xc2 | 0xc3 => Returns,
            // Strings: `movs`, `stos`, `lods`, `scas`, `cmps`.
            0xa4 | 0xa5 => Copies,
            0xaa | 0xab => Writes,
            0xa6 | 0xa7 | 0xac..=0xaf => Reads,
            0xa0 | 0xa1 => Reads,
            0xa2 | 0xa3 => Writes,
            0xff => match choice(next)? {
                (0 | 1, true) => Writes,
                (2 | 6, true) => ReadsAndPushes,
                (4, true) => Reads,
                (2 | 4, false) => Jumps,
                _ => return None,
            },
            0x8f if memory => PopsAndWrites,
            _ if !memory => return None,
            // Arithmetic: to memory, from memory; comparisons only read.
            0x38..=0x3b | 0x84 | 0x85 | 0x63 | 0x69 | 0x6b | 0x8a | 0x8b => Reads,
            0x00..=0x37 if operation & 7 < 2 => Writes,
            0x00..=0x37 if operation & 7 < 4 => Reads,
            0x80 | 0x81 | 0x83 => {
                if choice(next)?.0 == 7 {
                    Reads
                } else {
                    Writes
                }
            }
            0x86..=0x89 | 0xc6 | 0xc7 | 0xc0 | 0xc1 | 0xd0..=0xd3 | 0xfe => Writes,
            0xf6 | 0xf7 => {
                if matches!(choice(next)?.0, 2 | 3) {
                    Writes
                } else {
                    Reads
                }
            }
            _ => return None,
        };
        Some(action)
    }

    fn two_bytes(prefixes: &[u8], operation: u8, next: Option<&u8>) -> Option<Action> {
        let (field, memory) = choice(next)?;
        let action = match operation {
            0xa0 | 0xa8 => Action::Writes,
            0xa1 | 0xa9 => Action::Reads,
            _ if !memory => return None,
            // Moves to memory, conditions, and what changes memory in place.
            0x11 | 0x13 | 0x17 | 0x29 | 0x2b | 0x7f | 0xc3 | 0xd6 | 0xe7 | 0x90..=0x9f => {
                Action::Writes
            }
            0xa4 | 0xa5 | 0xab | 0xac | 0xad | 0xb0 | 0xb1 | 0xb3 | 0xbb | 0xc0 | 0xc1 => {
                Action::Writes
            }
            0x7e if !prefixes.contains(&0xf3) => Action::Writes,
            0xba => {
                if field == 4 {
                    Action::Reads
                } else {
                    Action::Writes
                }
            }
            0xc7 if field == 1 => Action::Writes,
            0x10..=0x16 | 0x28..=0x2f | 0x40..=0x76 | 0x7c..=0x7e | 0xa3 | 0xaf => Action::Reads,
            0xb6..=0xb8 | 0xbc..=0xbf | 0xc2 | 0xc4 | 0xc6 | 0xd0..=0xfe => Action::Reads,
            _ => return None,
        };
        Some(action)
    }

    /// Vectors: almost all of them read; the few that write are named.
    fn vector(map: u8, prefix: u8, operation: u8, next: &u8) -> Option<Action> {
        if !choice(Some(next))?.1 {
            return None;
        }
        let writes = match (map, operation) {
            (1, 0x11 | 0x13 | 0x17 | 0x29 | 0x2b | 0x7f | 0xd6 | 0xe7) => true,
            // With the prefix F3 it is a load.
            (1, 0x7e) => prefix != 2,
            (1, 0xae) => return None,
            (2, 0x2e | 0x2f | 0x8e | 0xf1) => true,
            // `movbe` has its load and its store side by side, as F0 and F1.
            (2, 0xf0) => false,
            (3, 0x14..=0x17 | 0x19 | 0x1b | 0x1d | 0x39 | 0x3b) => true,
            (1..=3, _) => false,
            _ => return None,
        };
        Some(if writes { Action::Writes } else { Action::Reads })
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_says_whether_it_reads_or_writes() {
        use AccessKind::{Execute, Read, Write};
        let far = Some(0x4141_0000);
        for (bytes, address, expected, words) in [
            (&[0x8b, 0x00][..], far, Some(Read), "mov eax, [rax]"),
            (&[0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], far, Some(Read), "mov rax, [0]"),
            (&[0x89, 0x08], far, Some(Write), "mov [rax], ecx"),
            (&[0xc7, 0x00, 42, 0, 0, 0], far, Some(Write), "mov dword [rax], 42"),
            (&[0x83, 0x00, 3], far, Some(Write), "add dword [rax], 3"),
            (&[0x83, 0x38, 3], far, Some(Read), "cmp dword [rax], 3"),
            (&[0x3b, 0x00], far, Some(Read), "cmp eax, [rax]"),
            (&[0xf0, 0x0f, 0xb1, 0x0f], far, Some(Write), "lock cmpxchg [rdi], ecx"),
            (&[0x0f, 0xb6, 0x00], far, Some(Read), "movzx eax, byte [rax]"),
            (&[0x0f, 0x11, 0x07], far, Some(Write), "movups [rdi], xmm0"),
            (&[0xf3, 0x0f, 0x7e, 0x07], far, Some(Read), "movq xmm0, [rdi]"),
            (&[0x66, 0x0f, 0x7e, 0x07], far, Some(Write), "movd [rdi], xmm0"),
            (&[0xc5, 0xfe, 0x7f, 0x07], far, Some(Write), "vmovdqu [rdi], ymm0"),
            (&[0xc5, 0xfd, 0x74, 0x07], far, Some(Read), "vpcmpeqb ymm0, ymm0, [rdi]"),
            (&[0xc4, 0xe2, 0x7d, 0x8e, 0x07], far, Some(Write), "vpmaskmovd [rdi], ymm0, ymm0"),
            (&[0x62, 0xe1, 0xfe, 0x28, 0x7f, 0x07], far, Some(Write), "vmovdqu64 [rdi], ymm16"),
            (&[0xf3, 0xaa], far, Some(Write), "rep stosb"),
            (&[0xf3, 0xa4], far, None, "rep movsb, at neither end"),
            (&[0xf3, 0xa4], Some(0x1010), Some(Read), "rep movsb, where it reads"),
            (&[0xf3, 0xa4], Some(0x2000), Some(Write), "rep movsb, where it writes"),
            (&[0xe8, 0, 0, 0, 0], Some(0x7ff8), Some(Write), "call"),
            (&[0x55], Some(0x7ff8), Some(Write), "push rbp"),
            (&[0xff, 0x10], Some(0x7ff8), Some(Write), "call [rax], its push"),
            (&[0xff, 0x10], far, Some(Read), "call [rax]"),
            (&[0xff, 0x10], None, None, "call [rax], either of them"),
            (&[0xff, 0xd0], None, Some(Execute), "call rax"),
            (&[0xff, 0xe0], None, Some(Execute), "jmp rax"),
            (&[0xff, 0x54, 0x24, 8], None, Some(Execute), "call [rsp + 8]"),
            (&[0xff, 0x15, 0, 0, 0, 0], None, Some(Execute), "call [rip]"),
            (
                &[0x62, 0xf3, 0x7d, 0x20, 0x3f, 0x07, 0],
                far,
                Some(Read),
                "vpcmpeqb k0, ymm16, [rdi]",
            ),
            (&[0xc3], None, Some(Execute), "ret to nowhere"),
            (&[0xc3], Some(0x8000), Some(Read), "ret from nowhere"),
            (&[0x89, 0xc8], far, None, "mov eax, ecx"),
            (&[0x48], far, None, "a prefix alone"),
            (&[0x0f], far, None, "half an instruction"),
            (&[], far, None, "nothing"),
        ] {
            let found = decode(bytes).access(address, 0x8000, (0x1000, 0x2000));
            assert_eq!(found, expected, "{words}");
        }
    }

    #[test]
    fn what_ends_a_program_on_purpose_is_no_other_instruction() {
        use Opcode::{CompilerTrap, Other, Privileged, Unseen};
        for (bytes, expected) in [
            (&[0x0f, 0x0b][..], CompilerTrap),
            (&[0x67, 0x0f, 0xb9, 0x40, 0x0c], CompilerTrap),
            (&[0xf4], CompilerTrap),
            (&[0xfa], Privileged),
            (&[0xe4, 0x60], Privileged),
            (&[0xcd, 0x21], Privileged),
            (&[0x06], Other),
            (&[0x8b, 0x00], Other),
            (&[], Unseen),
        ] {
            assert_eq!(decode(bytes).opcode, expected, "{bytes:x?}");
        }
    }

    #[test]
    fn no_bytes_at_all_upset_it() {
        let mut state = 1_u64;
        for _ in 0..100_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bytes = state.to_le_bytes();
            let some = &bytes[..(state >> 60) as usize % 9];
            decode(some).access(Some(state), state >> 3, (0, state));
        }
    }
}

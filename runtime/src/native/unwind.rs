//! From a frame to its caller: by the rules that compilers leave behind, else by frame pointers, else by what a call
//! leaves on the stack.

use std::collections::HashMap;
use std::fs::File;

use super::image_file::{LoadedImage, OpenProgram};
use super::mappings::{Mapping, Mappings};
use super::memory::Memory;
use super::tracing::General;
use super::unwind_rules::{Effort, REGISTERS, Registers, Rules};

#[cfg(target_arch = "x86_64")]
mod numbers {
    pub(super) const FRAME_POINTER: usize = 6;
    pub(super) const STACK_POINTER: usize = 7;
}
#[cfg(target_arch = "aarch64")]
mod numbers {
    pub(super) const FRAME_POINTER: usize = 29;
    pub(super) const STACK_POINTER: usize = 31;
}
use numbers::{FRAME_POINTER, STACK_POINTER};

/// How many words of a stack are looked at for what a call has left, how far into a function without rules one may
/// be, and how many such functions there may be in a backtrace.
const MOST_WORDS: u64 = 64;
const LONGEST_FUNCTION: u64 = 4 * 1024;
const MOST_SEARCHES: u32 = 256;

/// So many bytes of stack a small function has at most.
const NEAR: u64 = 128;

/// One frame.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The next instruction there.
    pub(super) address: u64,
    /// Whether it stands exactly there, and is not in the middle of the call before.
    pub(super) exact: bool,
    registers: Registers,
}

/// Goes from frame to frame.
pub(super) struct Unwinder<'a> {
    mappings: &'a Mappings,
    memory: Memory<'a>,
    /// By the beginning of their mapping.
    images: HashMap<u64, Option<LoadedImage>>,
    /// The last rules: a recursion needs no others.
    rules: Option<(u64, Option<Rules>)>,
    effort: Effort,
    searches_left: u32,
    program: Box<OpenProgram<'a>>,
}

impl Place {
    pub(super) fn first(from: &General) -> Self {
        let mut registers = [None; REGISTERS];
        for (place, value) in registers.iter_mut().zip(&from.by_number) {
            *place = Some(*value);
        }
        Self { address: from.instruction, exact: true, registers }
    }

    /// The address of the instruction that is being executed there.
    pub(super) fn within(&self) -> u64 {
        if self.exact { self.address } else { self.address.wrapping_sub(1) }
    }

    fn stack_pointer(&self) -> Option<u64> {
        self.registers[STACK_POINTER]
    }
}

impl<'a> Unwinder<'a> {
    pub(super) fn new(
        mappings: &'a Mappings,
        memory: Memory<'a>,
        program: impl Fn(&Mapping) -> Option<File> + 'a,
    ) -> Self {
        Self {
            mappings,
            memory,
            images: HashMap::new(),
            rules: None,
            effort: Effort::new(),
            searches_left: MOST_SEARCHES,
            program: Box::new(program),
        }
    }

    /// The image that an address is in.
    pub(super) fn image_at(&mut self, address: u64) -> Option<&LoadedImage> {
        let mapping = self.mappings.at(address).filter(|mapping| mapping.executable)?;
        let (mappings, memory, program) = (self.mappings, &mut self.memory, &self.program);
        self.images
            .entry(mapping.start)
            .or_insert_with(|| LoadedImage::of(mapping, mappings, memory, program))
            .as_ref()
    }

    /// The caller, if there is one that can be told.
    pub(super) fn caller(&mut self, place: &Place) -> Option<Place> {
        if !self.is_code(place.address) && place.exact {
            return self.called_nowhere(place);
        }
        let at = place.within();
        if self.rules.as_ref().is_none_or(|(known, _)| *known != at) {
            let table = self.image_at(at).and_then(|image| image.frame_table);
            let found = table.and_then(|table| Rules::find(table, at, &mut self.memory));
            self.rules = Some((at, found));
        }
        if self.rules.as_ref().is_some_and(|(_, rules)| rules.is_some()) {
            return self.by_rules(place);
        }
        self.by_call(place).or_else(|| self.by_frame_pointer(place))
    }

    fn by_rules(&mut self, place: &Place) -> Option<Place> {
        let (_, Some(rules)) = self.rules.as_ref()? else { return None };
        let (mut registers, base, target) =
            rules.apply(&place.registers, &mut self.memory, &mut self.effort)?;
        registers[STACK_POINTER] = Some(base);
        let exact = rules.is_signal;
        // A stack that a signal was handled on may be anywhere.
        let stack = place.stack_pointer()?;
        let goes_up = base > stack || base == stack && place.exact;
        (goes_up || exact).then_some(())?;
        self.arrived(target, exact, registers)
    }

    /// A chain of frame pointers, each with a return address beside it.
    fn by_frame_pointer(&mut self, place: &Place) -> Option<Place> {
        let frame = place.registers[FRAME_POINTER]?;
        if frame % 8 != 0 || frame < place.stack_pointer()? {
            return None;
        }
        let target = self.memory.word(frame.checked_add(8)?)?;
        let mut registers = place.registers;
        registers[FRAME_POINTER] = Some(self.memory.word(frame)?);
        registers[STACK_POINTER] = Some(frame.checked_add(16)?);
        (self.call_before(target).is_some()).then_some(())?;
        self.arrived(target, false, registers)
    }

    /// It was called, or jumped to, where no code is: the call has left where it came from.
    fn called_nowhere(&mut self, place: &Place) -> Option<Place> {
        self.returned(place, place.stack_pointer()?)
    }

    /// Code without any rules (hand-written, or musl's): its caller is the nearest call on the stack that leads to
    /// the beginning of this very function. Of all calls into what stands before here, that is the one that leads
    /// furthest. A call through a pointer could lead anywhere, so only one that is near counts, and last.
    fn by_call(&mut self, place: &Place) -> Option<Place> {
        self.searches_left = self.searches_left.checked_sub(1)?;
        let stack = place.stack_pointer()?;
        let (mut best, mut unclear): (Option<(u64, u64)>, _) = (None, None);
        for slot in (0..MOST_WORDS).map_while(|index| stack.checked_add(index * 8)) {
            let Some(word) = self.memory.word(slot) else { break };
            match self.call_before(word) {
                Some(Call::To(target)) => {
                    let into = place.address.wrapping_sub(target);
                    if into < LONGEST_FUNCTION && best.is_none_or(|(known, _)| target > known) {
                        best = Some((target, slot));
                    }
                }
                Some(Call::ThroughPointer) if slot - stack < NEAR => {
                    unclear.get_or_insert(slot);
                }
                Some(Call::ThroughPointer) | None => {}
            }
        }
        let slot = best.map(|(_, slot)| slot).or(unclear)?;
        self.returned(place, slot)
    }

    /// Back to the address in a slot of the stack, if a call stands before it.
    fn returned(&mut self, place: &Place, slot: u64) -> Option<Place> {
        let target = self.memory.word(slot)?;
        self.call_before(target)?;
        let mut registers = place.registers;
        registers[STACK_POINTER] = Some(slot.checked_add(8)?);
        self.arrived(target, false, registers)
    }

    fn arrived(&self, target: u64, exact: bool, registers: Registers) -> Option<Place> {
        let address = without_signature(target);
        self.is_code(address).then_some(Place { address, exact, registers })
    }

    fn is_code(&self, address: u64) -> bool {
        self.mappings.at(address).is_some_and(|mapping| mapping.executable)
    }
}

/// What stands before a return address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    To(u64),
    ThroughPointer,
}

#[cfg(target_arch = "x86_64")]
impl Unwinder<'_> {
    fn call_before(&mut self, address: u64) -> Option<Call> {
        if !self.is_code(address.wrapping_sub(1)) {
            return None;
        }
        let mut before = [0; 7];
        self.memory.read(address.checked_sub(7)?, &mut before)?;
        match before {
            [_, _, 0xe8, a, b, c, d] => {
                let distance = i32::from_le_bytes([a, b, c, d]);
                Some(Call::To(address.wrapping_add_signed(distance.into())))
            }
            [.., 0xff, 0xd0..=0xd7 | 0x10..=0x13 | 0x16 | 0x17]
            | [.., 0xff, 0x50..=0x53 | 0x55..=0x57, _]
            | [.., 0xff, 0x14, _]
            | [.., 0xff, 0x54, _, _]
            | [_, 0xff, 0x15 | 0x90..=0x93 | 0x95..=0x97, _, _, _, _]
            | [0xff, 0x94, _, _, _, _, _] => Some(Call::ThroughPointer),
            _ => None,
        }
    }
}

#[cfg(target_arch = "aarch64")]
impl Unwinder<'_> {
    fn call_before(&mut self, address: u64) -> Option<Call> {
        let address = without_signature(address);
        if !self.is_code(address.wrapping_sub(4)) {
            return None;
        }
        let word = self.memory.half(address.checked_sub(4)?)?;
        match word >> 26 {
            // `bl`, with a distance of 26 bits, in words.
            0b100101 => {
                let distance = (word << 6).cast_signed() >> 4;
                Some(Call::To((address - 4).wrapping_add_signed(distance.into())))
            }
            _ if word & 0xffff_fc1f == 0xd63f_0000 => Some(Call::ThroughPointer),
            _ => None,
        }
    }
}

/// Pointers to code may bear a signature in their upper bits there.
#[cfg(target_arch = "aarch64")]
fn without_signature(address: u64) -> u64 {
    address & ((1 << 48) - 1)
}

#[cfg(not(target_arch = "aarch64"))]
fn without_signature(address: u64) -> u64 {
    address
}

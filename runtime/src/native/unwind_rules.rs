//! The rules by which one frame leads to the next (`.eh_frame`), found and read in a tracee's memory.
//!
//! A table there, sorted by address, names one small entry for each function. Only the table's steps to the right
//! entry and that entry are read, whatever the lengths say, so a gigantic table costs as little as a small one. Both
//! may be the guest's own invention: every length, every loop and every expression has a bound.

use addr2line::gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameOffset, Encoding, EndianSlice, Evaluation,
    EvaluationResult, Expression, LittleEndian, Location, Register, RegisterRule, UnwindContext,
    UnwindSection as _, UnwindTableRow, Value,
};

use super::image_file::FrameTable;
use super::memory::Memory;

/// Registers that rules are about, by their numbers in debug information.
pub(super) const REGISTERS: usize = 32;

/// The longest entry for a function, and for what functions have in common.
const LONGEST_ENTRY: u32 = 64 * 1024;
const LONGEST_COMMON: u32 = 4 * 1024;

/// The most functions of one table.
const MOST_FUNCTIONS: u32 = 1 << 24;

/// The most entries that are looked at one by one.
const MOST_ENTRIES: u32 = 4096;

/// Steps of one expression, and expressions of one backtrace.
const MOST_STEPS: u32 = 256;
const MOST_EXPRESSIONS: u32 = 4096;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// What registers hold, as far as it is known.
pub(super) type Registers = [Option<u64>; REGISTERS];

/// The rules at one address.
pub(super) struct Rules {
    row: UnwindTableRow<usize>,
    /// What expressions are within.
    section: Vec<u8>,
    encoding: Encoding,
    return_register: Register,
    /// Whether the frame is the kernel's, for a signal: it was interrupted and called nobody.
    pub(super) is_signal: bool,
}

/// How many expressions may still be worked out.
pub(super) struct Effort(u32);

impl Effort {
    pub(super) fn new() -> Self {
        Self(MOST_EXPRESSIONS)
    }
}

impl Rules {
    /// Finds those for the code at `address`, in the table of its image.
    pub(super) fn find(table: FrameTable, address: u64, memory: &mut Memory<'_>) -> Option<Self> {
        match table {
            FrameTable::Sorted(table) => {
                Self::read(entry_for(table, address, memory)?, address, memory)
            }
            FrameTable::Plain(start, end) => {
                let mut entry = start;
                for _ in 0..MOST_ENTRIES {
                    if let Some(rules) = Self::read(entry, address, memory) {
                        return Some(rules);
                    }
                    let length = memory.half(entry).filter(|length| *length > 0)?;
                    entry = entry.checked_add(u64::from(length) + 4).filter(|next| *next < end)?;
                }
                None
            }
        }
    }

    /// Reads one entry, if it is about that address.
    fn read(entry: u64, address: u64, memory: &mut Memory<'_>) -> Option<Self> {
        let (section, offset) = excerpt(entry, memory)?;
        let bases = BaseAddresses::default().set_eh_frame(entry.wrapping_sub(offset as u64));
        let found = {
            let mut frames = EhFrame::new(&section, LittleEndian);
            frames.set_address_size(8);
            let function = frames
                .fde_from_offset(&bases, EhFrameOffset(offset), EhFrame::cie_from_offset)
                .ok()?;
            let mut context = UnwindContext::new();
            let row =
                function.unwind_info_for_address(&frames, &bases, &mut context, address).ok()?;
            let common = function.cie();
            let is_signal = function.is_signal_trampoline();
            (row.clone(), common.encoding(), common.return_address_register(), is_signal)
        };
        let (row, encoding, return_register, is_signal) = found;
        Some(Self { row, section, encoding, return_register, is_signal })
    }

    /// The registers of the caller, its stack pointer, and where it goes on; `None` where there is no caller.
    pub(super) fn apply(
        &self,
        registers: &Registers,
        memory: &mut Memory<'_>,
        effort: &mut Effort,
    ) -> Option<(Registers, u64, u64)> {
        let mut frames = EhFrame::new(&self.section, LittleEndian);
        frames.set_address_size(8);
        let base = match self.row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                known(registers, *register)?.wrapping_add_signed(*offset)
            }
            CfaRule::Expression(expression) => {
                let expression = expression.get(&frames).ok()?;
                self.work_out(expression, None, registers, memory, effort)?
            }
        };
        let mut callers = *registers;
        for &(register, ref rule) in self.row.registers() {
            let value = match rule {
                RegisterRule::Undefined => None,
                RegisterRule::SameValue => known(registers, register),
                RegisterRule::Offset(offset) => memory.word(base.wrapping_add_signed(*offset)),
                RegisterRule::ValOffset(offset) => Some(base.wrapping_add_signed(*offset)),
                RegisterRule::Register(other) => known(registers, *other),
                RegisterRule::Expression(expression) => {
                    let expression = expression.get(&frames).ok()?;
                    self.work_out(expression, Some(base), registers, memory, effort)
                        .and_then(|address| memory.word(address))
                }
                RegisterRule::ValExpression(expression) => {
                    let expression = expression.get(&frames).ok()?;
                    self.work_out(expression, Some(base), registers, memory, effort)
                }
                RegisterRule::Constant(value) => Some(*value),
                _ => None,
            };
            if let Some(place) = callers.get_mut(usize::from(register.0)) {
                *place = value;
            }
        }
        let target = known(&callers, self.return_register)?;
        Some((callers, base, target))
    }

    fn work_out(
        &self,
        expression: Expression<Bytes<'_>>,
        initial: Option<u64>,
        registers: &Registers,
        memory: &mut Memory<'_>,
        effort: &mut Effort,
    ) -> Option<u64> {
        effort.0 = effort.0.checked_sub(1)?;
        let mut evaluation = Evaluation::new(expression.0, self.encoding);
        evaluation.set_max_iterations(MOST_STEPS);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = Value::Generic(known(registers, register)?);
                    evaluation.resume_with_register(value).ok()?
                }
                EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                    let value = Value::Generic(memory.word(address)?);
                    evaluation.resume_with_memory(value).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result() {
            [piece] => match piece.location {
                Location::Address { address } => Some(address),
                Location::Value { value: Value::Generic(value) } => Some(value),
                _ => None,
            },
            _ => None,
        }
    }
}

fn known(registers: &Registers, register: Register) -> Option<u64> {
    *registers.get(usize::from(register.0))?
}

/// Looks up the entry for an address: a binary search in a table whose places count from its own beginning.
fn entry_for(table: u64, address: u64, memory: &mut Memory<'_>) -> Option<u64> {
    // A version, three encodings, a pointer of four bytes and a count of four: what every linker writes.
    const SORTED: u8 = 0x3b;
    const COUNT: u8 = 0x03;
    let mut head = [0; 4];
    memory.read(table, &mut head)?;
    let [1, pointer, COUNT, SORTED] = head else { return None };
    if !matches!(pointer & 0x0f, 0x03 | 0x0b) {
        return None;
    }
    let count = memory.half(table.wrapping_add(8))?.min(MOST_FUNCTIONS);
    let row = |index: u32| table.wrapping_add(12 + u64::from(index) * 8);
    let mut place = |at: u64| {
        let distance = memory.half(at)?.cast_signed();
        Some(table.wrapping_add_signed(distance.into()))
    };
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if place(row(middle))? <= address {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    place(row(low.checked_sub(1)?).wrapping_add(4))
}

/// Makes a small section of an entry and of what it has in common with others. Says where in it the entry is.
fn excerpt(entry: u64, memory: &mut Memory<'_>) -> Option<(Vec<u8>, usize)> {
    let length = memory.half(entry).filter(|length| (4..=LONGEST_ENTRY).contains(length))?;
    let distance = memory.half(entry.wrapping_add(4))?;
    if distance == 0 {
        // What functions have in common is an entry, too.
        return None;
    }
    let common = entry.wrapping_add(4).wrapping_sub(distance.into());
    let common_length =
        memory.half(common).filter(|length| (4..=LONGEST_COMMON).contains(length))?;
    let mut section = memory.bytes(common, common_length as usize + 4)?;
    let offset = section.len();
    section.extend_from_slice(&length.to_le_bytes());
    section.extend_from_slice(&(offset as u32 + 4).to_le_bytes());
    section.extend(memory.bytes(entry.wrapping_add(8), length as usize - 4)?);
    section.extend_from_slice(&[0; 4]);
    Some((section, offset))
}

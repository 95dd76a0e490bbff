//! Counts the memory of a guest: all its memories and tables, and the heap of its objects, in one sum, against
//! one limit.
//!
//! A growth above the limit ends the guest at once, with an error of our own: were it told -1 instead,
//! it would die a moment later of something that looks like anything else. That is what its caller may
//! choose, for guests that can cope.
//!
//! The heap is one more memory to the engine. A growth of it that is refused does not end the guest by itself:
//! first its garbage is collected, and only if that makes no room is the guest over. So a refusal counts as a
//! fact about the guest's end only if the end says so.

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

use crate::evidence::{Basis, RefusedMemory};
use crate::limits::{Limits, OnMemoryLimit};

use super::component_parts;
use super::ending::MemoryRefused;

/// What one element of a table is counted as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Element {
    /// A function: a pointer of the host.
    #[default]
    Function,
    /// A reference to something in the heap. Each is four bytes, and 16 more in the list that the collector makes
    /// of them, which may have twice the room that it needs.
    Reference,
}

impl Element {
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Function => 8,
            Self::Reference => 36,
        }
    }
}

/// The most memories and the most tables that a valid module can have, and so a guest.
pub(super) const MOST_OF_EACH: usize = 100;

/// How much memory addresses of 32 bits reach: the maximum of a memory that declares none.
const MOST_ADDRESSES: u64 = 1 << 32;

/// The most instances. A module is one; a component, which is counted before, brings the engine's own.
const MOST_INSTANCES: usize = 2 * component_parts::MOST_INSTANCES;

/// The sum, and what was refused.
#[derive(Debug)]
pub(super) struct Meter {
    limit: u64,
    element: Element,
    at_limit: OnMemoryLimit,
    held: u64,
    peak: u64,
    /// Refused, and the guest was told.
    refused: Option<RefusedMemory>,
    /// Refused with an error, which is the guest's end unless it was its heap that had to do without.
    last: Option<RefusedMemory>,
}

impl Meter {
    pub(super) fn new(limits: &Limits, element: Element) -> Self {
        let (limit, at_limit) = (limits.memory.as_u64(), limits.on_memory_limit);
        Self { limit, element, at_limit, held: 0, peak: 0, refused: None, last: None }
    }

    /// The guest begins its next task, under these limits. What it holds it keeps.
    pub(super) fn renew(&mut self, limits: &Limits) {
        let Self { held, element, .. } = *self;
        *self = Self { held, peak: held, ..Self::new(limits, element) };
    }

    /// The sum now.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// The highest sum there was.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// The first growth that was refused to the guest, or the last one, if it ended of that.
    pub(super) fn refused(&self, ended_of_it: bool) -> Option<RefusedMemory> {
        self.refused.or(self.last.filter(|_| ended_of_it))
    }

    fn sum_with(&self, current: u64, desired: u64) -> u64 {
        self.held.saturating_add(desired.saturating_sub(current))
    }

    fn refusal(&self, wanted: Option<u64>) -> RefusedMemory {
        RefusedMemory { wanted, limit: self.limit, basis: Basis::Seen }
    }

    fn note(&mut self, wanted: Option<u64>) {
        let refusal = self.refusal(wanted);
        self.refused.get_or_insert(refusal);
    }

    /// Growth to more than addresses of 32 bits reach is refused whatever the limit; above the limit it
    /// ends the guest like any other.
    fn refuse_what_has_no_address(&mut self, current: u64, desired: u64) -> wasmtime::Result<()> {
        let wanted = self.sum_with(current, desired);
        self.note(Some(wanted));
        let ends = wanted > self.limit && self.at_limit == OnMemoryLimit::Trap;
        if ends { Err(MemoryRefused.into()) } else { Ok(()) }
    }

    fn grow(&mut self, current: u64, desired: u64) -> wasmtime::Result<bool> {
        let wanted = self.sum_with(current, desired);
        if wanted > self.limit {
            return match self.at_limit {
                OnMemoryLimit::Trap => {
                    self.last = Some(self.refusal(Some(wanted)));
                    Err(MemoryRefused.into())
                }
                OnMemoryLimit::Refuse => {
                    self.note(Some(wanted));
                    Ok(false)
                }
            };
        }
        // A growth that the system itself refuses afterwards stays counted: it can't be told apart from
        // others that never came here, and a sum that is too high lets nobody through.
        self.held = wanted;
        self.peak = self.peak.max(wanted);
        Ok(true)
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if is_beyond(desired, maximum) {
            if maximum.is_some_and(|maximum| maximum as u64 >= MOST_ADDRESSES) {
                self.refuse_what_has_no_address(current as u64, desired as u64)?;
            }
            return Ok(false);
        }
        self.grow(current as u64, desired as u64)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if is_beyond(desired, maximum) {
            return Ok(false);
        }
        let each = self.element.bytes();
        let bytes = |elements: usize| (elements as u64).saturating_mul(each);
        self.grow(bytes(current), bytes(desired))
    }

    /// Told of what the system itself refused. The guest hears -1; if it dies of that, this is why.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.note(None);
        Ok(())
    }

    fn instances(&self) -> usize {
        MOST_INSTANCES
    }

    fn tables(&self) -> usize {
        MOST_OF_EACH
    }

    fn memories(&self) -> usize {
        MOST_OF_EACH
    }
}

/// Whether the guest asks for more than it declared itself. The answer is its own -1, not our limit.
fn is_beyond(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| desired > maximum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::ByteSize;

    fn meter() -> Meter {
        meter_of(ByteSize::bytes(1_000))
    }

    fn meter_of(memory: ByteSize) -> Meter {
        Meter::new(&Limits { memory, ..Limits::default() }, Element::Function)
    }

    #[test]
    fn memories_and_tables_share_one_limit_to_the_last_byte() {
        let mut meter = meter();
        assert!(meter.memory_growing(0, 500, None).unwrap());
        assert!(meter.memory_growing(0, 420, None).unwrap());
        assert!(meter.table_growing(0, 10, None).unwrap());
        assert_eq!(meter.peak(), 1_000);
        assert!(meter.memory_growing(500, 501, None).unwrap_err().is::<MemoryRefused>());
        assert_eq!(meter.refused(true).unwrap().wanted, Some(1_001));
        assert_eq!(meter.refused(false), None, "it went on without");
        assert_eq!(meter.peak(), 1_000);
    }

    #[test]
    fn a_guest_that_may_cope_is_told_and_the_refusal_is_kept() {
        let mut meter = Meter { at_limit: OnMemoryLimit::Refuse, ..meter() };
        assert!(!meter.memory_growing(0, 2_000, None).unwrap());
        assert!(meter.memory_growing(0, 1_000, None).unwrap());
        assert_eq!((meter.refused(false).unwrap().wanted, meter.peak()), (Some(2_000), 1_000));
    }

    #[test]
    fn what_has_no_address_is_refused_whatever_the_limit() {
        let beyond = (1 << 32) + 1;
        let mut meter = meter_of(ByteSize::mib(8 * 1024));
        assert!(!meter.memory_growing(0, beyond, Some(1 << 32)).unwrap());
        assert_eq!(meter.refused(false).unwrap().wanted, Some(beyond as u64));
        assert!(meter.memory_growing(0, 1 << 32, Some(1 << 32)).unwrap());
        let mut meter = meter_of(ByteSize::mib(1024));
        assert!(meter.memory_growing(0, beyond, Some(1 << 32)).unwrap_err().is::<MemoryRefused>());
    }

    #[test]
    fn what_a_guest_declared_itself_is_no_refusal() {
        let mut meter = meter();
        assert!(!meter.memory_growing(0, 2_000, Some(1_500)).unwrap());
        assert_eq!((meter.refused(true), meter.peak()), (None, 0));
    }
}

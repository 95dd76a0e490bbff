//! Large results, which a module leaves in its own memory.
//!
//! One that is used once is kept as long as somebody has its result: nothing is copied. One that goes on needs its memory
//! itself, so its result is copied, into the room of an earlier result if nobody has that any more: what
//! costs most about a large copy is memory that was never touched.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Memory;

use crate::channel::Placed;
use crate::payload::Payload;

use super::guest::{Guest, Outcome, Run};

/// A result is worth keeping a guest for if it has at least so many bytes, and this part of the guest's memory.
const WORTH_KEEPING: usize = 1024 * 1024;
const PART: usize = 4;

/// The room of an earlier result, for the next one.
#[derive(Clone, Default)]
pub(super) struct Spare(Arc<Mutex<Vec<u8>>>);

/// Takes a result over from a guest that has ended. Gives the guest back if it is not held by that.
pub(super) fn take(
    placed: Placed,
    mut guest: Guest,
    run: &Run,
    outcome: &mut Outcome,
) -> Option<Guest> {
    let Placed { codec, at, length } = placed;
    // Both were found to be within the memory, which never shrinks.
    let (Ok(at), Ok(length)) = (usize::try_from(at), usize::try_from(length)) else {
        return Some(guest);
    };
    let memory = guest.memory();
    let Some((memory, bytes)) = memory
        .and_then(|memory| Some((memory, guest.bytes(memory).get(at..at.checked_add(length)?)?)))
    else {
        outcome.testimony.result = None;
        return Some(guest);
    };
    let is_worth_it = run.image.lends_memory
        && length >= WORTH_KEEPING
        && length >= guest.bytes(memory).len() / PART;
    let (result, guest) = match (&run.image.results_in, &run.spare) {
        (Some(dir), _) => (dir.store(codec, bytes), Some(guest)),
        (None, Some(spare)) => (Payload::held(codec, spare.copy_of(bytes)), Some(guest)),
        (None, None) if is_worth_it => {
            (Payload::held(codec, InPlace { guest, memory, at, length }), None)
        }
        (None, None) => (Payload::new(codec, bytes), Some(guest)),
    };
    outcome.testimony.result = Some(result);
    guest
}

impl Guest {
    /// The memory that its channel speaks of.
    fn memory(&mut self) -> Option<Memory> {
        self.instance?.get_memory(&mut self.store, "memory")
    }

    fn bytes(&self, memory: Memory) -> &[u8] {
        memory.data(&self.store)
    }
}

/// A result in the memory of a guest that runs no more.
struct InPlace {
    guest: Guest,
    memory: Memory,
    at: usize,
    length: usize,
}

impl AsRef<[u8]> for InPlace {
    fn as_ref(&self) -> &[u8] {
        &self.guest.bytes(self.memory)[self.at..self.at + self.length]
    }
}

/// A result whose room is used again.
struct Copied {
    bytes: Vec<u8>,
    spare: Spare,
}

impl Spare {
    fn copy_of(&self, bytes: &[u8]) -> Copied {
        let mut room = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        room.clear();
        room.extend_from_slice(bytes);
        Copied { bytes: room, spare: self.clone() }
    }
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let mut spare = self.spare.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The guest is there only to use it again.
        if Arc::strong_count(&self.spare.0) > 1 && spare.capacity() < self.bytes.capacity() {
            *spare = std::mem::take(&mut self.bytes);
        }
    }
}

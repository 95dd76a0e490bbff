//! Where a process was when it died: taken while it stands still, as addresses; made into names when somebody reads
//! it.
//!
//! Everything that is read for it is the guest's, and may be made to mislead: each step has to lead up the stack or
//! into other code, and steps, frames, memory and expressions are counted. What can't be told is left out; a
//! backtrace may end early, but it ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::signals::Signal;
use crate::trace::Trace;

use super::image_file::ImageFile;
use super::mappings::{self, Mapping, Mappings};
use super::memory::Memory;
use super::status;
use super::symbols;
use super::tracing;
use super::unwind::{Place, Unwinder};

/// Different frames that are kept.
pub(super) const MOST_FRAMES: usize = 64;

/// Frames that are gone through: a recursion is one of those that are kept.
const MOST_STEPS: usize = 64 * 1024;

/// Of faults and signals that a guest handles, only so many are worth a backtrace: some live by them.
const MOST_HANDLED: u32 = 64;

/// One frame, or a row of the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The instruction.
    pub(super) address: u64,
    /// The instruction that is to be looked up: within the call, for a caller.
    pub(super) within: u64,
    /// The file it is from, and what is added to that file's addresses.
    pub(super) image: Option<(Arc<ImageFile>, u64)>,
    /// How often in a row.
    pub(super) times: u32,
}

/// A backtrace as it was taken, innermost frame first. It costs nothing to pass on.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps(Arc<[Step]>);

impl Steps {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Made into names and lines when somebody reads it.
    pub(super) fn later(self) -> Trace {
        if self.is_empty() {
            return Trace::default();
        }
        Trace::later(move || symbols::frames(&self.0))
    }
}

/// The program that guests of a backtrace are told by.
#[derive(Debug)]
pub(super) struct Told {
    file: Arc<ImageFile>,
    entry: u64,
}

impl Told {
    /// As it is when it is loaded: a guest that is started later is of another file if that has changed.
    pub(super) fn of(program: &Path) -> Option<Self> {
        let (file, entry) = ImageFile::of_program(program)?;
        Some(Self { file: Arc::new(file), entry })
    }

    /// Where a guest stood, as it says. What another program says that it has started is of another file.
    pub(super) fn steps(&self, stack: &[u64]) -> Steps {
        let Some((_, addresses)) = stack.split_first().filter(|(entry, _)| **entry == self.entry)
        else {
            return Steps::default();
        };
        let mut steps: Vec<Step> = Vec::new();
        for &address in addresses {
            let is_full = steps.len() == MOST_FRAMES;
            match steps.last_mut() {
                Some(last) if last.address == address => last.times += 1,
                _ if is_full => break,
                _ => {
                    let (within, image) =
                        (address.wrapping_sub(1), Some((Arc::clone(&self.file), 0)));
                    steps.push(Step { address, within, image, times: 1 });
                }
            }
        }
        Steps(steps.into())
    }
}

/// Takes backtraces of one task, if they are wanted.
#[derive(Debug)]
pub(super) struct Backtraces {
    wanted: bool,
    handled_left: u32,
}

impl Backtraces {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, handled_left: MOST_HANDLED }
    }

    /// At a signal or a fault. One that the guest neither handles nor ignores ends it.
    pub(super) fn at_signal(&mut self, tid: i32, signal: i32) -> Steps {
        if !self.wanted {
            return Steps::default();
        }
        if status::takes(tid, signal) {
            let by_instruction = matches!(
                Signal::from_number(signal),
                Signal::Segv
                    | Signal::Bus
                    | Signal::Fpe
                    | Signal::Ill
                    | Signal::Trap
                    | Signal::Abrt
            );
            match self.handled_left.checked_sub(1).filter(|_| by_instruction) {
                Some(left) => self.handled_left = left,
                None => return Steps::default(),
            }
        }
        take(tid).unwrap_or_default()
    }

    /// At the end of a thread.
    pub(super) fn at_exit(&self, tid: i32) -> Steps {
        if self.wanted { take(tid).unwrap_or_default() } else { Steps::default() }
    }
}

fn take(tid: i32) -> Option<Steps> {
    let general = tracing::general(tid)?;
    let mappings = Mappings::of(tid)?;
    let memory = Memory::of(tid, &mappings)?;
    let answering = mappings::answering_devices(tid);
    // By the kernel's own link, whatever has become of the name. Opening it where a process answers for it might
    // take for ever, reading the link does not.
    let program = move |mapping: &Mapping| {
        let link = PathBuf::from(format!("/proc/{tid}/exe"));
        let is_program = fs::read_link(&link).ok()?.as_os_str() == mapping.name.as_str();
        let waits = answering.contains(&mapping.device);
        (is_program && !waits).then(|| File::open(&link).ok())?
    };
    let mut unwinder = Unwinder::new(&mappings, memory, program);
    Some(Steps(walk(&mut unwinder, Place::first(&general)).into()))
}

fn walk(unwinder: &mut Unwinder<'_>, first: Place) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut next = Some(first);
    for _ in 0..MOST_STEPS {
        let Some(place) = next else { break };
        let within = place.within();
        let is_full = steps.len() == MOST_FRAMES;
        match steps.last_mut() {
            Some(last) if last.within == within => last.times += 1,
            _ if is_full => break,
            _ => {
                let image = unwinder.image_at(within);
                let image = image.map(|image| (Arc::clone(&image.file), image.bias));
                steps.push(Step { address: place.address, within, image, times: 1 });
            }
        }
        next = unwinder.caller(&place);
    }
    steps
}

#[cfg(test)]
pub(super) mod tests;

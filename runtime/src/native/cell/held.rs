//! A process that stands ready for one command: it has been executed with its arguments, and has not begun.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::evidence::Refusal;
use crate::isolation::{Attempt, Cell as _, LoadError, StopHandle};
use crate::limits::Limits;
use crate::native::process::{Leash, NotStarted, Process};
use crate::native::{refusals, stdin};
use crate::start::Start;
use crate::task::{Entry, Stdin};

use crate::native::image::Prepared;

use super::NativeCell;
use super::words::{rejected, stopped};

/// What it is ready for.
pub(super) struct Held {
    arguments: Vec<OsString>,
    /// Where the bytes of its input are put when they are known; without it, it has none.
    input: Option<File>,
    limits: Limits,
}

impl Held {
    /// Whether this is what it was started for.
    pub(super) fn is_for(&self, entry: &Entry, limits: &Limits) -> bool {
        let Entry::Command { args, stdin } = entry else { return false };
        let has_input = match stdin {
            Stdin::Null => self.input.is_none(),
            Stdin::Bytes(bytes) => {
                let most = limits.stdin.map_or(u64::MAX, |most| most.as_u64());
                self.input.is_some() && bytes.len() as u64 <= most
            }
            // These are the guest's own from its exec on.
            Stdin::File(_) | Stdin::Descriptor(_) => false,
        };
        // The kernel keeps this one, too, and counts what it used for its exec.
        has_input && self.arguments == *args && self.limits.cpu == limits.cpu
    }

    /// Lets it begin with this.
    pub(super) fn begin(&self, attempt: &Attempt<'_>, process: &Process) -> Result<(), Refusal> {
        if let (Some(file), Entry::Command { stdin: Stdin::Bytes(bytes), .. }) =
            (&self.input, attempt.entry)
        {
            // Its place in the file is the guest's, and stays at the beginning.
            let put = file.write_all_at(bytes, 0);
            put.map_err(|error| refusals::at_stdin(&error, &Stdin::Bytes(Arc::clone(bytes))))?;
        }
        // Of what was stopped before that, nothing runs.
        if process.leash.stop.reason().is_none() {
            process.let_begin();
        }
        Ok(())
    }
}

impl NativeCell {
    /// One whose process has been executed for this command, until it is stopped.
    pub(in crate::native) fn ready_for(
        image: Arc<Prepared>,
        entry: &Entry,
        stop: &StopHandle,
    ) -> Result<Self, LoadError> {
        let (arguments, given) = match entry {
            Entry::Command { args, stdin } => (args.clone(), stdin),
            Entry::Call { .. } | Entry::Invoke { .. } => {
                return Err(
                    rejected("guests stand ready for calls where no command is named").into()
                );
            }
        };
        if image.start == Start::Fork {
            return Err(
                rejected("a fork serves a call, and can't stand ready for a command").into()
            );
        }
        let empty = match given {
            Stdin::Null => Stdin::Null,
            Stdin::Bytes(_) => Stdin::Bytes(Arc::from([])),
            Stdin::File(_) | Stdin::Descriptor(_) => {
                let detail = "a process can stand ready for a command without input, or with bytes for one; a file or a \
                              descriptor is read by whoever is started with it";
                return Err(rejected(detail).into());
            }
        };
        let mut cell = Self::new(image);
        let (limits, began, leash) = (&cell.image.limits, cell.opened, Leash::new()?);
        let own = leash.stop.clone();
        let _tied = stop.tie(&own);
        let never = || LoadError::from(rejected("its input could not be opened"));
        let Some((input, _)) = stdin::open(&empty, None, &leash.bell, limits.wall)? else {
            return Err(never());
        };
        let file = match empty {
            Stdin::Bytes(_) => Some(File::from(input.try_clone().map_err(|_| never())?)),
            _ => None,
        };
        let held = Held { arguments, input: file, limits: limits.clone() };
        let until = began.checked_add(limits.wall);
        let mut process =
            match Process::stand_ready(&cell.image, &held.arguments, input, until, leash) {
                Ok(process) => Box::new(process),
                Err(NotStarted::Refused(refusal)) => return Err(refusal.into()),
                Err(NotStarted::Stopped) => {
                    let seen = stopped(&own);
                    return Err(LoadError::ended(refusals::not_ready(&seen), seen));
                }
                Err(NotStarted::NotWarm(seen)) => {
                    return Err(LoadError::ended(refusals::not_ready(&seen), *seen));
                }
            };
        process.rest(process.cpu());
        (cell.process, cell.held) = (Some(process), Some(held));
        Ok(cell)
    }

    /// Whether its next attempt can be this one.
    pub(super) fn is_open_to(&self, entry: &Entry, limits: &Limits) -> bool {
        let is_meant = match &self.held {
            Some(held) => held.is_for(entry, limits),
            None => matches!(entry, Entry::Invoke { .. }),
        };
        is_meant && self.suits(limits)
    }
}

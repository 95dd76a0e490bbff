//! The boot of a process that stands ready before its task is known: its greeting is heard, and a lane that it takes is put to
//! use, so that its first call is like every other one. What it uses and writes until then is no task's.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Desk, Outbox, Streams, Turn, Witness};
use crate::evidence::Refusal;
use crate::isolation::{Attempt, Deaf, LoadError, StopHandle};
use crate::task::{Capture, Entry, Stdin, TaskId};

use super::cell::NativeCell;
use super::gathering::{self, Before};
use super::holdings::Holdings;
use super::host_oom::HostKills;
use super::image::Prepared;
use super::pump::{Finish, Pump, Talk, Until};
use super::refusals;

/// What was heard of a process before its first call, and which turn that is.
pub(super) struct Booted {
    pub(super) witness: Witness,
    pub(super) turn: Turn,
}

impl NativeCell {
    /// One whose process has greeted us, for the only call or for each. One that dies before that, is silent for as long as
    /// its program's wall time, or says something else, is none.
    pub(super) fn ready(
        image: Arc<Prepared>,
        stays: bool,
        stop: &StopHandle,
    ) -> Result<Self, LoadError> {
        let mut cell = Self::started(image, stays, stop)?;
        cell.boot(stop)?;
        Ok(cell)
    }

    fn boot(&mut self, stop: &StopHandle) -> Result<(), Refusal> {
        // Without a process there is nobody to be heard.
        let Some(process) = &mut self.process else { return Ok(()) };
        let image = &self.image;
        let (task, stdout) = (TaskId::named("boot"), Capture::Discard);
        let entry = Entry::Command { args: Vec::new(), stdin: Stdin::Null };
        let (limits, began) = (&image.limits, self.opened);
        let attempt = Attempt { task: &task, entry: &entry, limits, stdout, began, silence: None };
        let (own, woken) = (process.leash.stop.clone(), Arc::clone(&process.leash.bell));
        let _tied = stop.tie(&own);
        let desk = Desk::open(&image.granted, &attempt, &own, None, move || woken.ring());
        let mut witness = Witness::of_greeting(&attempt);
        if process.offer.is_some() {
            witness.has_offered_lane();
        }
        let (streams, host_kills) = (Streams::new(&attempt), HostKills::so_far());
        let mut deaf = Deaf;
        let talk = Talk::new(streams, witness, Outbox::default(), desk, &mut deaf, Vec::new());
        let served = Pump::new(&attempt, process, Until::Greeted, Duration::ZERO).run(talk);
        if served.finish != Finish::Answered {
            let before = Before::default();
            let evidence = gathering::all(&attempt, process, served, before, host_kills);
            return Err(refusals::not_ready(&evidence));
        }
        let mut turn = Turn::OneOfMany(1);
        if served.witness.has_taken_lane() {
            process.settle_lane(true);
        }
        if process.lane.is_some() {
            // It waits at the channel still, and looks into its lane when it has read this.
            let hello =
                Outbox::greeting(&self.image.granted.functions).map_err(LoadError::into_refusal)?;
            if (&process.ends.channel).write_all(&hello).is_ok() {
                process.was_sent(hello.len());
                turn = Turn::Greeted;
            }
        }
        // From here on the most it holds is its task's, and so is its time.
        process.holdings.as_ref().map(Holdings::peak);
        process.rest(process.cpu());
        self.pace.unheard = true;
        self.piece = served.piece;
        self.booted = Some(Booted { witness: served.witness, turn });
        Ok(())
    }
}

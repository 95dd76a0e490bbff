//! Calls of a process that is kept, again and again: nothing is made for one that returns but its answer.
//!
//! Such a call is laid into the lane and looked for there. Whatever is out of the ordinary (a guest that does not look,
//! an answer that takes longer, or is none) goes the way of every attempt, from where it is. What takes calls of the system
//! to find out is asked once in a tick of the kernel's coarse clock, which is read without one.

use std::any::Any;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sandtrap_protocol::{Codec, LANE_MOST, ToGuest, head_into, only_return};

use crate::isolation::{Brief, Cell, Quick, Shortcut};
use crate::limits::Limits;

use super::cell::NativeCell;
use super::process::{PIPE_BYTES, Process};
use super::pump::{self, Begun};

/// What comes before the input: a call with a longer name is run like any other.
const HEAD: usize = 128;

/// After a call that was heard to write to its streams, so many are run like any other: each has its own words then.
pub(super) const LOUD: u32 = 64;

/// As many bytes may lie in the streams of a process that was called in its lane: they are no call's in particular.
const UNHEARD: u64 = 2 * PIPE_BYTES as u64;

/// What is known about the next calls of a cell.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The tick in which its process was looked at last.
    looked: Option<Duration>,
    /// How long an answer is looked for, and how long a call may take in microseconds.
    most: Duration,
    time_left: u64,
    /// So many calls are not for the lane.
    pub(super) loud: u32,
    /// Whether there were quick calls since anybody listened to its streams.
    pub(super) unheard: bool,
    /// The call that is to be gone on with.
    pub(super) begun: Option<Begun>,
}

/// The lane, for those above.
pub(crate) const SHORTCUT: Shortcut = Shortcut { is_there, call, unheard: UNHEARD };

fn is_there(cell: &dyn Cell) -> bool {
    let cell: &dyn Any = cell;
    cell.downcast_ref::<NativeCell>().is_some_and(|cell| cell.lane().is_some())
}

fn call<'c>(cell: &'c mut dyn Cell, brief: &Brief<'_>) -> Quick<'c> {
    let cell: &mut dyn Any = cell;
    match cell.downcast_mut::<NativeCell>() {
        Some(cell) => cell.quick(brief),
        None => Quick::NotHere,
    }
}

impl NativeCell {
    fn quick(&mut self, brief: &Brief<'_>) -> Quick<'_> {
        let is_used_up = self.tasks_run >= brief.most_tasks;
        let is_over = self.lane().is_none_or(super::lane::OurLane::is_over);
        if is_over || is_used_up || self.pace.loud > 0 || !self.is_fit(brief) {
            return Quick::NotHere;
        }
        let Some(lane) = self.process.as_ref().and_then(|process| process.lane.as_ref()) else {
            return Quick::NotHere;
        };
        let (id, codec) = (self.tasks_run + 1, Codec::Typed);
        let call =
            ToGuest::Call { id, codec, time_left: self.pace.time_left, function: brief.function };
        let mut head = [0; HEAD];
        let is_sent = head_into(&call, brief.input.len(), &mut head)
            .is_ok_and(|head| lane.lay(head, brief.input));
        if !is_sent {
            return Quick::NotHere;
        }
        self.tasks_run = id;
        // Whoever goes on with it was greeted.
        self.booted = None;
        self.pace.unheard = true;
        lane.is_called();
        let (count, began) = lane.wait(self.pace.most, &mut self.piece);
        let most = brief.limits.result.as_u64();
        let message = &self.piece[..count.unwrap_or(0)];
        let length = only_return(message)
            .filter(|(of, how, value)| (*of, *how) == (id, codec) && value.len() as u64 <= most)
            .map(|(_, _, value)| value.len());
        if let (Some(count), Some(length)) = (count, length) {
            return Quick::Returned(&self.piece[count - length..count]);
        }
        let began = began.unwrap_or_else(Instant::now);
        let message = count.map(|count| self.piece[..count].to_vec());
        self.pace.begun = Some(Begun { began, message });
        Quick::Begun(began)
    }

    /// Whether its process was fit for a call, a moment ago.
    fn is_fit(&mut self, brief: &Brief<'_>) -> bool {
        let tick = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map(Duration::from).ok();
        if tick.is_some() && tick == self.pace.looked {
            return true;
        }
        self.pace.looked = None;
        let is_fit = (brief.admits)(self.vitals())
            && is_countable(brief.limits)
            && self.process.as_mut().is_some_and(|it| is_ready(it, brief.limits));
        if is_fit {
            let Limits { wall, cpu, threads, .. } = *brief.limits;
            let wall = brief.silence.map_or(wall, |silence| wall.min(silence));
            self.pace.most = pump::most(wall, cpu, threads.min(pump::processors()));
            self.pace.time_left = u64::try_from(brief.limits.wall.as_micros()).unwrap_or(u64::MAX);
            self.pace.looked = tick;
            self.piece.resize(self.piece.len().max(LANE_MOST), 0);
        }
        is_fit
    }
}

/// Whether nothing can go beyond these limits while nobody looks, and they are limits of a process. What is in its streams
/// was written by calls that have returned, and by none more than a call may write.
fn is_countable(limits: &Limits) -> bool {
    limits.output.as_u64() >= UNHEARD && limits.processes == 1 && limits.fuel.is_none()
}

fn is_ready(process: &mut Process, limits: &Limits) -> bool {
    process.misfit(limits).is_none() && process.is_quiet()
}

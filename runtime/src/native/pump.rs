//! Serves one running process: drains what it writes, sends what it is to get, keeps its limits, ends it when it
//! must end.
//!
//! One loop over five descriptors: stdout, stderr, the channel, the bell of the stop handle, and the bell
//! of the watching thread. Everything is drained at all times, and nothing is sent that would have to wait, so no
//! guest can be stuck on us.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;

use crate::channel::{Desk, Outbox, Stream, Streams, Witness};
use crate::evidence::StopReason;
use crate::isolation::{Attempt, Ear, StopHandle};

use super::census::Census;
use super::family::{Crowd, Family};
use super::plan::Ends;
use super::view::Scratch;

/// One read takes at most what a pipe holds.
const PIECE: usize = 64 * 1024;

/// The least and the most time between two looks at the processor clock and the list of processes. The least one
/// bounds by how much a task exceeds its processor time: as many threads as there are processors may run meanwhile.
const LEAST_LOOK: Duration = Duration::from_micros(100);
const MOST_LOOK: Duration = Duration::from_millis(100);

/// So many looks at a process that isn't there any more, and its end was taken by somebody else.
const MOST_LOOKS: u32 = 16;

/// What the pump needs to know of the task besides its descriptors.
pub(super) struct Pump<'a> {
    pub(super) attempt: &'a Attempt<'a>,
    pub(super) stop: &'a StopHandle,
    pub(super) stop_bell: Arc<EventFd>,
    pub(super) done_bell: Arc<EventFd>,
    pub(super) family: Arc<Family>,
    /// Its main process.
    pub(super) pid: i32,
    pub(super) ends: Ends,
    pub(super) streams: Streams,
    pub(super) witness: Witness,
    pub(super) outbox: Outbox,
    /// Answers what the guest asks of its host. Rings the stop bell when there is an answer.
    pub(super) desk: Desk,
    /// Counts processes that no tracer sees.
    pub(super) census: Option<Census>,
    /// Whether nobody can be born without the tracer: then the list need not be asked.
    pub(super) sees_births: bool,
    /// Whether a tracer watches it.
    pub(super) traced: bool,
    /// Its private `/tmp`, if it has one.
    pub(super) scratch: Option<Scratch>,
    pub(super) killed: bool,
}

/// Which of the three pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
    Channel,
}

impl Pump<'_> {
    /// Serves until the watching thread says that nobody is left, then drains the rest.
    ///
    /// Says whether it was lost: gone, and nobody told us.
    pub(super) fn run(mut self, ear: &mut dyn Ear) -> (Streams, Witness, bool) {
        let mut open = [true; 3];
        let mut buffer = vec![0; PIECE];
        let mut looks_without_it = 0;
        if self.outbox.is_empty() {
            // Nothing will be sent: a guest that waits for a call finds the end. It may be gone already.
            let _ = self.ends.channel.shutdown(Shutdown::Write);
        }
        loop {
            self.desk.collect(&mut self.outbox);
            self.send();
            self.keep_limits();
            let ready = self.wait(open);
            for source in [Source::Stdout, Source::Stderr, Source::Channel] {
                let index = source as usize;
                if ready[index] {
                    open[index] = self.read(source, &mut buffer, ear);
                }
            }
            if ready[3] {
                // The reason is in the handle, and an answer is at the desk; the bell has done its work.
                let _ = self.stop_bell.read();
            }
            if ready[4] || looks_without_it == MOST_LOOKS {
                break;
            }
            // A tracee is there until its tracer has taken its end.
            looks_without_it += u32::from(!self.traced && self.family.is_gone(self.pid));
        }
        self.desk.close();
        for source in [Source::Stdout, Source::Stderr, Source::Channel] {
            // Somebody who got away may hold the pipe open, so this ends where nothing is left to read.
            while open[source as usize] && self.read(source, &mut buffer, ear) {
                if !self.more_in(source) {
                    break;
                }
            }
        }
        // What is in it now, nobody will take out any more.
        if self.scratch.as_ref().is_some_and(Scratch::is_exceeded) {
            self.stop.stop(StopReason::Scratch);
        }
        (self.streams, self.witness, looks_without_it == MOST_LOOKS)
    }

    /// Checks every clock and counter, and kills when there is a reason to.
    fn keep_limits(&mut self) {
        let limits = self.attempt.limits;
        if self.attempt.began.elapsed() >= limits.wall {
            self.stop.stop(StopReason::WallTime);
        }
        if self.scratch.as_ref().is_some_and(Scratch::is_exceeded) {
            self.stop.stop(StopReason::Scratch);
        }
        if self.cpu() >= limits.cpu {
            self.stop.stop(StopReason::CpuTime);
        }
        let crowd = Crowd::allowed(limits);
        let unseen = self.census.as_ref().filter(|_| !self.sees_births);
        if let Some(reason) = unseen.and_then(|census| census.excess(crowd)) {
            self.stop.stop(reason);
        }
        if !self.killed && self.stop.reason().is_some() {
            self.killed = true;
            self.family.kill(self.pid);
        }
    }

    /// Processor time of the tree: exact for those whose birth was seen, and what their group counts for all.
    fn cpu(&self) -> Duration {
        let counted = self.census.as_ref().map_or(Duration::ZERO, Census::cpu);
        self.family.cpu().max(counted)
    }

    /// How long to sleep at most: to the deadline, or to the moment when the processor time could be up.
    fn patience(&self) -> Duration {
        if self.killed {
            return MOST_LOOK;
        }
        let limits = self.attempt.limits;
        let wall = limits.wall.saturating_sub(self.attempt.began.elapsed());
        let cpu = limits.cpu.saturating_sub(self.cpu()) / processors().min(limits.threads);
        wall.min(cpu.clamp(LEAST_LOOK, MOST_LOOK))
    }

    fn wait(&self, open: [bool; 3]) -> [bool; 5] {
        let timeout = TimeSpec::from_duration(self.patience());
        let watched = [
            (open[0], self.ends.stdout.as_fd()),
            (open[1], self.ends.stderr.as_fd()),
            (open[2], self.ends.channel.as_fd()),
            (true, self.stop_bell.as_fd()),
            (true, self.done_bell.as_fd()),
        ];
        // A pipe that has ended is ready for ever, so it is not asked any more.
        let done = self.done_bell.as_fd();
        let mut polled = watched.map(|(open, descriptor)| {
            let descriptor = if open { descriptor } else { done };
            PollFd::new(descriptor, if open { PollFlags::POLLIN } else { PollFlags::empty() })
        });
        if open[2] && !self.outbox.is_empty() {
            polled[2].set_events(PollFlags::POLLIN | PollFlags::POLLOUT);
        }
        // An interrupted wait is a wait that found nothing.
        let _ = ppoll(&mut polled, Some(timeout), None);
        std::array::from_fn(|index| {
            let found = polled[index].revents().unwrap_or(PollFlags::empty());
            watched[index].0 && !(found - PollFlags::POLLOUT).is_empty()
        })
    }

    /// Sends as much as there is room for. A guest that has hung up gets no more.
    fn send(&mut self) {
        while !self.outbox.is_empty() {
            match (&self.ends.channel).write(self.outbox.front()) {
                Ok(count) => self.outbox.sent(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.outbox = Outbox::default(),
            }
        }
    }

    /// Reads one piece. Says whether the pipe may have more, now or later.
    fn read(&mut self, source: Source, buffer: &mut [u8], ear: &mut dyn Ear) -> bool {
        let read = match source {
            Source::Stdout => (&self.ends.stdout).read(buffer),
            Source::Stderr => (&self.ends.stderr).read(buffer),
            Source::Channel => (&self.ends.channel).read(buffer),
        };
        let bytes = match read {
            Ok(0) => return false,
            Ok(count) => &buffer[..count],
            Err(error) => {
                return matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                );
            }
        };
        let reason = match source {
            Source::Stdout => self.streams.take(Stream::Stdout, bytes, ear),
            Source::Stderr => self.streams.take(Stream::Stderr, bytes, ear),
            Source::Channel => {
                let reason = self.witness.hear(bytes, &mut |event| ear.hear(event));
                let asked = self.witness.asked();
                let fault = self.desk.serve(asked, &mut self.outbox);
                reason.or(fault.map(|fault| self.witness.refuse(fault)))
            }
        };
        if let Some(reason) = reason {
            self.stop.stop(reason);
        }
        true
    }

    fn more_in(&self, source: Source) -> bool {
        let end = match source {
            Source::Stdout => self.ends.stdout.as_fd(),
            Source::Stderr => self.ends.stderr.as_fd(),
            Source::Channel => self.ends.channel.as_fd(),
        };
        let mut polled = [PollFd::new(end, PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }
}

/// How many threads may run at once. Asked for once: the answer is put together from several files.
fn processors() -> u32 {
    static COUNT: OnceLock<u32> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u32::try_from(count).unwrap_or(u32::MAX)
    })
}

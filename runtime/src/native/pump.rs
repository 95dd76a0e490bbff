//! Serves a process while it has a task: drains what it writes, sends what it is to get, keeps the task's limits, ends it
//! when it must end.
//!
//! One loop over five descriptors: stdout, stderr, the channel, the bell of the stop handle, and the bell
//! of the watching thread; and over those of its input, where that is bounded. Everything is drained at all times, and nothing is sent that would have to wait, so no
//! guest can be stuck on us.

mod ends;
mod grace;
mod inputs;
mod lanes;
mod talk;

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::channel::{Outbox, Warning};
use crate::evidence::StopReason;
use crate::isolation::Attempt;

use super::family::Crowd;
use super::feed::Feed;
use super::near::Presence;
use super::news::Heard;
use super::process::Process;
use super::view::Scratch;

pub(super) use ends::{Finish, Until};
pub(super) use lanes::{Begun, most};
pub(super) use talk::{Served, Talk};

/// One read takes at most what a pipe holds. Most guests write less, and room is made when it is needed.
const PIECE_BYTES: usize = 64 * 1024;

/// The least and the most time between two looks at the processor clock and the list of processes. The least one
/// bounds by how much a task exceeds its processor time: as many threads as there are processors may run meanwhile.
const LEAST_LOOK: Duration = Duration::from_micros(100);
const MOST_LOOK: Duration = Duration::from_millis(100);

/// Processor time of a task is asked for when it can have used this much more.
const MOST_UNSEEN: Duration = MOST_LOOK;

/// From this on, whole milliseconds are exact enough to wait for.
const COARSE: Duration = Duration::from_millis(10);

/// What a guest reads at once, if it reads at all.
const MOST_AT_ONCE: usize = 4 * 1024;

/// So many looks at a process that isn't there any more, and its end was taken by somebody else.
const MOST_LOOKS: u32 = 16;

/// Whether a processor reads in the order in which a program does. The kernel looks at one descriptor after another, and promises
/// no more.
const IN_ORDER: bool = cfg!(target_arch = "x86_64");

/// Serves one task of a process.
pub(super) struct Pump<'a> {
    attempt: &'a Attempt<'a>,
    process: &'a Process,
    until: Until,
    /// Processor time that is not this task's.
    before: Duration,
    /// What the task had used when it was last looked at.
    looked: (Instant, Duration),
    /// When it last said something, or took something of what it is sent, or was not the one to speak.
    heard: Instant,
    killed: bool,
    /// Bytes that were sent.
    sent: usize,
    /// Whether it ended with something unread.
    has_left_some: bool,
    /// The call, if it lies in the lane already.
    begun: Option<Begun>,
    /// Whether it was laid there.
    is_laid: bool,
    /// As long as it is held beside us.
    near: Option<&'a Presence>,
    /// What fills its stdin, if we do.
    feed: Option<Feed>,
    /// What it is told before it is ended, where it has time then.
    warning: Warning,
}

/// Which of the three pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
    Channel,
}

/// What one read of a pipe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// There may be another one.
    Taken,
    /// Nothing now.
    Later,
    /// Nothing any more.
    Last,
}

impl Source {
    const ALL: [Self; 3] = [Self::Stdout, Self::Stderr, Self::Channel];
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        attempt: &'a Attempt<'a>,
        process: &'a Process,
        until: Until,
        before: Duration,
    ) -> Self {
        let looked = (attempt.began, Duration::ZERO);
        Self {
            attempt,
            process,
            until,
            before,
            looked,
            heard: attempt.began,
            killed: false,
            sent: 0,
            has_left_some: false,
            begun: None,
            is_laid: false,
            near: process.launched.presence.as_ref(),
            feed: None,
            warning: Warning::default(),
        }
    }

    /// Serves until the process has answered, or is warm, if it is to stay; else until the watching thread says that nobody is left,
    /// and then drains the rest.
    pub(super) fn run(mut self, mut talk: Talk<'_>) -> Served {
        let mut open = [true; 3];
        let mut looks_without_it = 0;
        let is_begun = self.begun.is_some();
        let is_called_later = matches!(self.until, Until::Warm | Until::Greeted);
        let is_shut = self.process.gate.is_some();
        if talk.outbox.is_empty() && !is_called_later && !is_begun && !is_shut {
            // Nothing will be sent: a guest that waits for a call finds the end. It may be gone already.
            let _ = self.process.ends.channel.shutdown(Shutdown::Write);
        }
        if matches!(self.until, Until::Answered | Until::Served)
            && let Some(reason) = self.serve_lane(&mut talk)
        {
            self.process.leash.stop.stop(reason);
        }
        if self.has_answered(&mut talk, open) {
            return self.over(talk, Finish::Answered, false);
        }
        loop {
            let answers = talk.desk.answers();
            self.keep_grace(&mut talk);
            talk.outbox.replies_with(answers);
            let has_taken = self.send(&mut talk.outbox);
            self.note_life(has_taken || talk.desk.is_waiting());
            if talk.outbox.is_unsendable() {
                self.process.leash.stop.stop(StopReason::Cancelled);
            }
            self.feed_on(&mut talk);
            self.keep_limits();
            let asked = self.attempt.silence.map(|_| Instant::now());
            let (ready, is_last) = self.wait(open, !talk.outbox.is_empty());
            for source in Source::ALL {
                let index = source as usize;
                if ready[index] {
                    open[index] = self.read(source, &mut talk) != Piece::Last;
                }
            }
            self.hear_silence(asked, ready[Source::Channel as usize]);
            if ready[3] {
                // The reason is in the handle, and an answer is at the desk; the bell has done its work.
                self.process.leash.bell.muffle();
            }
            if is_last {
                // What has nothing now has nothing left.
                open = std::array::from_fn(|index| open[index] && ready[index]);
            }
            if ready[4] || looks_without_it == MOST_LOOKS {
                break;
            }
            if self.has_answered(&mut talk, open) {
                return self.over(talk, Finish::Answered, false);
            }
            // A tracee is there until its tracer has taken its end.
            let launched = &self.process.launched;
            let family = &self.process.family;
            looks_without_it += u32::from(!launched.traced && family.is_gone(launched.pid));
        }
        talk.desk.close();
        for source in Source::ALL {
            // Somebody who got away may hold the pipe open, so this ends where nothing is left to read.
            while open[source as usize] && self.read(source, &mut talk) == Piece::Taken {}
        }
        if self.until == Until::Served && self.has_answered(&mut talk, open) {
            return self.over(talk, Finish::Answered, false);
        }
        self.look_into_scratch();
        self.look_at_input();
        let is_unread = self.is_unread(&talk);
        self.over(talk, Finish::Ended { is_lost: looks_without_it == MOST_LOOKS }, is_unread)
    }

    fn note_life(&mut self, is_alive: bool) {
        if is_alive && self.attempt.silence.is_some() {
            self.heard = Instant::now();
        }
    }

    /// Whether it had nothing to say when it was asked last. What it says meanwhile counts, however late this thread is.
    fn hear_silence(&mut self, asked: Option<Instant>, has_spoken: bool) {
        self.note_life(has_spoken);
        if !has_spoken && asked.is_some_and(|asked| self.silence_left(asked).is_zero()) {
            self.process.leash.stop.stop(StopReason::Silence);
        }
    }

    /// How much longer it may say nothing.
    fn silence_left(&self, now: Instant) -> Duration {
        let silence = self.attempt.silence.unwrap_or(Duration::MAX);
        silence.saturating_sub(now.saturating_duration_since(self.heard))
    }

    /// Checks every clock and counter, and kills when there is a reason to.
    fn keep_limits(&mut self) {
        let limits = self.attempt.limits;
        let stop = &self.process.leash.stop;
        let now = Instant::now();
        if now.saturating_duration_since(self.attempt.began) >= limits.wall {
            stop.stop(StopReason::WallTime);
        }
        if let Some(near) = self.near
            && near.is_left(now).is_none()
        {
            near.let_go(&self.process.family);
            self.near = None;
        }
        self.look_into_scratch();
        if self.most_cpu(now) >= limits.cpu.min(self.looked.1 + MOST_UNSEEN) {
            self.looked = (now, self.process.cpu().saturating_sub(self.before));
            if self.looked.1 >= limits.cpu {
                stop.stop(StopReason::CpuTime);
            }
        }
        let crowd = Crowd::allowed(limits);
        let unseen = self.process.census.as_ref().filter(|_| !self.process.sees_births);
        if let Some(reason) = unseen.and_then(|census| census.excess(crowd)) {
            stop.stop(reason);
        }
        if !self.killed && stop.reason().is_some() {
            self.killed = true;
            self.process.family.kill(self.process.launched.pid);
        }
    }

    /// What is in it at the end of a task, nobody will take out any more.
    fn look_into_scratch(&self) {
        if self.process.scratch.as_ref().is_some_and(Scratch::is_exceeded) {
            self.process.leash.stop.stop(StopReason::Scratch);
        }
    }

    /// The most processor time that the task can have used by now. To ask for it takes two calls of the system, and a
    /// short task is over before it could matter.
    fn most_cpu(&self, now: Instant) -> Duration {
        let (at, used) = self.looked;
        let threads = processors().min(self.attempt.limits.threads);
        used + now.saturating_duration_since(at).saturating_mul(threads)
    }

    /// How long to sleep at most: to the deadline, or to the moment when the processor time could be up.
    fn patience(&self) -> Duration {
        if self.killed {
            return MOST_LOOK;
        }
        let (limits, now) = (self.attempt.limits, Instant::now());
        let wall = limits.wall.saturating_sub(now.saturating_duration_since(self.attempt.began));
        let threads = processors().min(limits.threads);
        let cpu = limits.cpu.saturating_sub(self.most_cpu(now)) / threads;
        let held = self.near.map_or(MOST_LOOK, |near| near.is_left(now).unwrap_or_default());
        wall.min(self.silence_left(now))
            .min(self.grace_left(now))
            .min(cpu.clamp(LEAST_LOOK, MOST_LOOK))
            .min(held)
    }

    /// Which of them have something, and whether nothing more will come to the streams and the channel than they have now.
    fn wait(&self, open: [bool; 3], sends: bool) -> ([bool; 5], bool) {
        let patience = self.patience();
        let _stays = self.near.and_then(Presence::stay);
        if let Some(news) = &self.process.news
            && open == [true; 3]
            && !sends
            && self.feed.is_none()
            && patience >= COARSE
        {
            // An interrupted wait is a wait that found nothing.
            return (news.within(patience).map_or([false; 5], Heard::ready), false);
        }
        let timeout = TimeSpec::from_duration(patience);
        let Process { ends, leash, launched, .. } = self.process;
        let fed = self.feed.as_ref().and_then(Feed::waits_for);
        // The end is asked for first: what has nothing then will have nothing any more.
        let watched = [
            (true, launched.done.as_fd()),
            (true, leash.bell.as_fd()),
            (open[0], ends.stdout.as_fd()),
            (open[1], ends.stderr.as_fd()),
            (open[2], ends.channel.as_fd()),
        ];
        // A pipe that has ended is ready for ever, so it is not asked any more.
        let done = launched.done.as_fd();
        let polled = watched.map(|(open, descriptor)| {
            let descriptor = if open { descriptor } else { done };
            PollFd::new(descriptor, if open { PollFlags::POLLIN } else { PollFlags::empty() })
        });
        let [end, bell, stdout, stderr, channel] = polled;
        // Whether it has come to that is asked once more when it is this one's turn.
        let (descriptor, event) = fed.unwrap_or((done, PollFlags::empty()));
        let fed = PollFd::new(descriptor, event);
        let mut polled = [end, bell, stdout, stderr, channel, fed];
        if open[2] && sends {
            polled[4].set_events(PollFlags::POLLIN | PollFlags::POLLOUT);
        }
        // An interrupted wait is a wait that found nothing.
        let _ = ppoll(&mut polled, Some(timeout), None);
        let [end, bell, stdout, stderr, channel] = std::array::from_fn(|index| {
            let found = polled[index].revents().unwrap_or(PollFlags::empty());
            watched[index].0 && !(found - PollFlags::POLLOUT).is_empty()
        });
        ([stdout, stderr, channel, bell, end], end && IN_ORDER)
    }

    /// Sends as much as there is room for. A guest that has hung up gets no more. Says whether it took anything.
    fn send(&mut self, outbox: &mut Outbox) -> bool {
        let before = self.sent;
        while !outbox.is_empty() {
            match (&self.process.ends.channel).write(outbox.front()) {
                Ok(count) => {
                    self.sent += count;
                    outbox.sent(count);
                    self.process.was_sent(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.has_left_some |= error.kind() == io::ErrorKind::ConnectionReset;
                    *outbox = Outbox::default();
                }
            }
        }
        self.sent > before
    }

    /// Reads one piece.
    fn read(&mut self, source: Source, talk: &mut Talk<'_>) -> Piece {
        let ends = &self.process.ends;
        let read = match source {
            Source::Stdout => (&ends.stdout).read(&mut talk.buffer),
            Source::Stderr => (&ends.stderr).read(&mut talk.buffer),
            Source::Channel => (&ends.channel).read(&mut talk.buffer),
        };
        let count = match read {
            Ok(0) => return Piece::Last,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Piece::Taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Piece::Later,
            Err(error) => {
                // What a socket says whose other end was closed with something in it.
                self.has_left_some |= error.kind() == io::ErrorKind::ConnectionReset;
                return Piece::Last;
            }
        };
        if let Some(reason) = talk.hear(source, count) {
            self.process.leash.stop.stop(reason);
        }
        if count == talk.buffer.len() {
            talk.buffer.resize(PIECE_BYTES, 0);
        }
        Piece::Taken
    }
}

/// How many threads may run at once. Asked for once: the answer is put together from several files.
pub(super) fn processors() -> u32 {
    static COUNT: OnceLock<u32> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u32::try_from(count).unwrap_or(u32::MAX)
    })
}

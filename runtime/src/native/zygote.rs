//! A guest that was warmed up, and of which each task is a fork.
//!
//! ```text
//! order: descriptors, rules, the last filter        admission: "all of it is put on"
//!   host ------------------------------> zygote          task ----------------------> host: looks, sets limits,
//!                                          | fork          |                                calls
//!                                          +-- its tracer sees the birth, and whose it is
//! ```
//!
//! The zygote is a task like any other to its tracer, with one right more: it may make a namespace for processes and fork
//! into it. Nothing that it or its child says is believed: a birth is what the tracer saw, and only if it was ordered; the
//! child gets its limits from here, and no input before the kernel says that it has no capability and one filter more.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use sandtrap_protocol::{READY, birth_step};

use crate::evidence::Refusal;
use crate::isolation::StopHandle;
use crate::limits::Limits;

use super::keeper::{Job, Launched, NotLaunched};
use super::plan::Plan;
use super::standing::Standing;
use super::status;
use super::turns::{LOOK, Turns, is_over};
use super::wire;

/// So many zygotes may end within that time before tasks are refused: what kills each of them will kill the next.
const MOST_DEATHS: usize = 8;
const WITHIN: Duration = Duration::from_secs(60);

/// Of what a zygote wrote to stderr, so much is told when it could not be warmed up.
const MOST_WORDS: u64 = 2048;

/// A step and an error number; 0 and 0 from a child that is ready.
const RECORD: usize = 8;

/// A warm guest. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Zygote {
    pid: i32,
    /// Rung when it has ended.
    done: Arc<EventFd>,
    process: Mutex<Launched>,
    control: UnixStream,
    turns: Turns,
    /// How many filters are on it.
    filters: u64,
    /// Last: its keeper's thread ends only when it has ended.
    standing: Arc<Standing>,
}

/// Where a program's zygote is, once there is one.
#[derive(Debug, Default)]
pub(super) struct Nursery {
    turns: Turns,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    zygote: Option<Arc<Zygote>>,
    deaths: Vec<Instant>,
}

/// What a guest is warmed up with.
pub(super) struct Cradle {
    pub(super) plan: Plan,
    pub(super) job: Job,
    pub(super) control: UnixStream,
    /// What it writes to stderr.
    pub(super) words: File,
    pub(super) standing: Arc<Standing>,
    /// What it is called, and what it is limited to, for words about it.
    pub(super) path: PathBuf,
    pub(super) limits: Limits,
}

/// Why there is no warm guest.
pub(super) enum NotWarm {
    /// The task that it was for was stopped.
    Stopped,
    Refused(Refusal),
}

impl Nursery {
    /// The zygote, or a new one where there is none any more. `cradle` makes what a new one needs.
    pub(super) fn zygote(
        &self,
        stop: &StopHandle,
        deadline: Option<Instant>,
        cradle: impl FnOnce() -> Result<Cradle, Refusal>,
    ) -> Result<Arc<Zygote>, NotWarm> {
        let _turn = self.turns.take(stop, deadline).ok_or(NotWarm::Stopped)?;
        {
            let mut state = self.state();
            match &state.zygote {
                Some(zygote) if !zygote.is_gone() => return Ok(Arc::clone(zygote)),
                Some(_) => {
                    state.zygote = None;
                    state.deaths.push(Instant::now());
                }
                None => {}
            }
            state.deaths.retain(|death| death.elapsed() < WITHIN);
            if state.deaths.len() >= MOST_DEATHS {
                return Err(NotWarm::Refused(super::refusals::zygotes_die(MOST_DEATHS)));
            }
        }
        let made = cradle().map_err(NotWarm::Refused)?;
        match Zygote::warm_up(made, stop, deadline) {
            Ok(zygote) => {
                let zygote = Arc::new(zygote);
                self.state().zygote = Some(Arc::clone(&zygote));
                Ok(zygote)
            }
            Err(NotWarm::Refused(refusal)) => {
                self.state().deaths.push(Instant::now());
                Err(NotWarm::Refused(refusal))
            }
            Err(stopped) => Err(stopped),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call on a std type, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Zygote {
    fn warm_up(
        cradle: Cradle,
        stop: &StopHandle,
        deadline: Option<Instant>,
    ) -> Result<Self, NotWarm> {
        let Cradle { plan, job, control, mut words, standing, path, limits } = cradle;
        let flags = standing.flags | wire::KEEPS_ADMIN;
        let launched = standing.keeper.launch(&plan, flags, job, deadline);
        let process = launched.map_err(|failure| match failure {
            NotLaunched::Stopped => NotWarm::Stopped,
            NotLaunched::Step(step, errno) => {
                NotWarm::Refused(super::refusals::not_launched(&path, step, errno, &limits))
            }
            NotLaunched::KeeperGone(error) => {
                NotWarm::Refused(super::refusals::keeper_gone(&error))
            }
        })?;
        // Its end of the socket is its own: when it has ended, there is nobody to read or write there.
        drop(plan);
        let mut zygote = Self {
            pid: process.pid,
            done: Arc::clone(&process.done),
            process: Mutex::new(process),
            control,
            turns: Turns::default(),
            filters: 0,
            standing,
        };
        let mut word = [0];
        loop {
            let [speaks, ended] = ready([zygote.control.as_fd(), zygote.done.as_fd()], LOOK);
            match (&zygote.control).read(&mut word) {
                Ok(1) if word == [READY] => break,
                Ok(1) => return Err(NotWarm::Refused(super::refusals::no_zygote(&[]))),
                _ if speaks || ended => {
                    return Err(NotWarm::Refused(super::refusals::no_zygote(&last(&mut words))));
                }
                _ => {}
            }
            if is_over(stop, deadline) {
                return Err(NotWarm::Stopped);
            }
        }
        let state = status::State::of(zygote.pid);
        match state {
            Some(state) if state.threads == 1 => zygote.filters = state.filters,
            Some(state) => {
                let threads = state.threads;
                return Err(NotWarm::Refused(super::refusals::zygote_has_threads(threads)));
            }
            None => return Err(NotWarm::Refused(super::refusals::no_zygote(&[]))),
        }
        Ok(zygote)
    }

    pub(super) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    fn process(&self) -> MutexGuard<'_, Launched> {
        // Nothing panics while this is held.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_gone(&self) -> bool {
        self.process().has_ended() || self.standing.keeper.is_gone()
    }

    /// Has it make a task out of itself. Returns when that is confined and waits for its call, or has ended.
    pub(super) fn fork(
        &self,
        plan: &Plan,
        job: Job,
        channel: &UnixStream,
        deadline: Option<Instant>,
    ) -> Result<Launched, NotLaunched> {
        let (stop, family) = (job.stop.clone(), Arc::clone(&job.family));
        let done = Arc::clone(&job.done);
        let Some(turn) = self.turns.take(&stop, deadline) else {
            return Err(NotLaunched::Stopped);
        };
        let (born, watched) = self.standing.keeper.expect_birth(self.pid, job);
        let entrances = plan.group.as_ref().map(|group| group.entrances()).transpose();
        let sent = entrances.and_then(|entrances| {
            let (rules, last) = (self.standing.rules.as_ref(), &self.standing.last_filter);
            let entrances = entrances.unwrap_or_default();
            let (order, descriptors) = plan.birth(last, rules, &entrances);
            self.send(&order, &descriptors)
        });
        let record = sent.and_then(|()| self.record(channel, &done, &stop, deadline));
        let pid = born.try_recv();
        let failure = match (record, pid) {
            (Ok(Record::Of(0, _) | Record::Ended), Ok(pid)) => {
                drop(turn);
                let process = Launched { pid, traced: true, done, family, watched };
                return Ok(process);
            }
            (Ok(Record::Of(step, errno)), _) if step != 0 => NotLaunched::Step(named(step), errno),
            (Ok(Record::Stopped), _) => NotLaunched::Stopped,
            // It speaks for a child that nobody saw.
            (Ok(Record::Of(..) | Record::Ended), _) => {
                NotLaunched::KeeperGone(io::ErrorKind::BrokenPipe.into())
            }
            (Err(error), _) => NotLaunched::KeeperGone(error),
        };
        if let Ok(pid) = pid {
            family.kill(pid);
        }
        // What it was told to do it may still do, and nobody could tell that task from the next one.
        self.standing.keeper.expect_no_birth(self.pid);
        if !matches!(failure, NotLaunched::Step(..)) {
            self.process().kill();
        }
        Err(failure)
    }

    fn send(&self, order: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<i32> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
        let beside = [ControlMessage::ScmRights(&raw)];
        let parts = [IoSlice::new(order)];
        let socket = self.control.as_raw_fd();
        let sent = loop {
            // It reads one order after another, and few bytes each; if it doesn't, it is broken.
            match sendmsg::<()>(socket, &parts, &beside, MsgFlags::MSG_NOSIGNAL, None) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other?,
            }
        };
        (&self.control).write_all(&order[sent..])
    }

    /// Waits for what the child says first, or for its end.
    fn record(
        &self,
        mut channel: &UnixStream,
        done: &EventFd,
        stop: &StopHandle,
        deadline: Option<Instant>,
    ) -> io::Result<Record> {
        let mut bytes = [0; RECORD];
        let mut have = 0;
        loop {
            let asked = [channel.as_fd(), done.as_fd(), self.done.as_fd()];
            let [_, ended, zygote_ended] = ready(asked, LOOK);
            match channel.read(&mut bytes[have..]) {
                Ok(count) if count > 0 => have += count,
                _ if ended => return Ok(Record::Ended),
                _ if zygote_ended => return Err(io::ErrorKind::BrokenPipe.into()),
                _ => {}
            }
            if have == RECORD {
                let (step, errno) = bytes.split_at(4);
                let word = |four: &[u8]| four.try_into().map(u32::from_ne_bytes).unwrap_or(0);
                return Ok(Record::Of(word(step), word(errno).cast_signed()));
            }
            if is_over(stop, deadline) {
                return Ok(Record::Stopped);
            }
        }
    }

    /// Whether a task that says it is ready has given up what its zygote holds.
    pub(super) fn admits(&self, pid: i32) -> bool {
        status::State::of(pid).is_some_and(|state| {
            let is_filtered = state.filters > self.filters || self.filters == 0;
            state.has_no_capabilities && state.is_process && state.threads == 1 && is_filtered
        })
    }
}

/// What came of an order.
enum Record {
    /// The step that failed, or 0, and why.
    Of(u32, i32),
    Ended,
    Stopped,
}

/// The step of a launch that a step of a birth is.
fn named(step: u32) -> u32 {
    match step {
        birth_step::PROCESS_GROUP => wire::step::PROCESS_GROUP,
        birth_step::GROUP => wire::step::GROUP,
        birth_step::RULES => wire::step::RULES,
        birth_step::DESCRIPTORS => wire::step::DESCRIPTORS,
        birth_step::CAPABILITIES => wire::step::CAPABILITIES,
        birth_step::FILTER => wire::step::FILTER,
        // It could not be born.
        _ => wire::step::CLONE,
    }
}

/// Which of them have something to be read, after at most so long.
fn ready<const N: usize>(asked: [BorrowedFd<'_>; N], patience: Duration) -> [bool; N] {
    let mut polled = asked.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    // An interrupted wait is a wait that found nothing.
    let _ = poll(&mut polled, timeout);
    polled.each_ref().map(|one| one.any() == Some(true))
}

/// The end of what was written.
fn last(words: &mut File) -> Vec<u8> {
    let length = words.metadata().map_or(0, |meta| meta.len());
    let mut last = Vec::new();
    // What can't be read isn't told.
    let _ = words.seek(io::SeekFrom::Start(length.saturating_sub(MOST_WORDS)));
    let _ = words.read_to_end(&mut last);
    last
}

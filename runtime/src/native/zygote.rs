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
//!
//! So the host and other programs are safe from both. The tasks of one program are kept from its accidents, not from its
//! malice: the order hands a task's channel to the zygote, and one that keeps it can hear the call and answer in its place.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use sandtrap_protocol::{RECORD_BYTES, birth_step};

use crate::evidence::Refusal;
use crate::isolation::StopHandle;

use super::bell::Bell;
use super::group::Group;
use super::keeper::{GRACE, Job, Launched, NotLaunched};
use super::near::{Presence, Seat};
use super::plan::Plan;
use super::process::{NotStarted, Process};
use super::standing::Standing;
use super::turns::{LOOK, Turns, is_over};
use super::{refusals, status, wire};

/// So many zygotes may end within that time before tasks are refused: what kills each of them will kill the next.
const MOST_DEATHS: usize = 8;
const WITHIN: Duration = Duration::from_secs(60);

/// A warm guest. It ends when this is dropped.
pub(super) struct Zygote {
    pid: i32,
    /// Rung when it has ended.
    done: Arc<Bell>,
    control: UnixStream,
    turns: Turns,
    seat: Seat,
    threads: status::Threads,
    /// How many filters are on it.
    filters: u64,
    /// Whether somebody has seen that it has ended.
    is_gone: AtomicBool,
    process: Mutex<Process>,
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

impl std::fmt::Debug for Zygote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zygote").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Nursery {
    /// The zygote, or a new one where there is none any more.
    pub(super) fn zygote(
        &self,
        stop: &StopHandle,
        deadline: Option<Instant>,
        warm_up: impl FnOnce() -> Result<Zygote, NotStarted>,
    ) -> Result<Arc<Zygote>, NotStarted> {
        let known = self.state().zygote.clone();
        if let Some(zygote) = known.filter(|zygote| !zygote.is_gone()) {
            return Ok(zygote);
        }
        let _turn = self.turns.take(stop, deadline).ok_or(NotStarted::Stopped)?;
        // The last one is dropped here, where nobody else has to wait for it.
        let _last = {
            let mut state = self.state();
            let last = state.zygote.take();
            match last {
                // Somebody else has seen to it meanwhile.
                Some(zygote) if !zygote.is_gone() => {
                    return Ok(Arc::clone(state.zygote.insert(zygote)));
                }
                Some(_) => state.deaths.push(Instant::now()),
                None => {}
            }
            state.deaths.retain(|death| death.elapsed() < WITHIN);
            if state.deaths.len() >= MOST_DEATHS {
                return Err(refusals::zygotes_die(MOST_DEATHS).into());
            }
            last
        };
        let made = warm_up();
        let was_stopped = stop.reason().is_some();
        let mut state = self.state();
        match made {
            Ok(zygote) => Ok(Arc::clone(state.zygote.insert(Arc::new(zygote)))),
            Err(failure) => {
                if !was_stopped {
                    state.deaths.push(Instant::now());
                }
                Err(failure)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call on a std type, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Zygote {
    /// A guest that says that it is warm.
    pub(super) fn new(mut process: Process) -> Result<Self, Refusal> {
        let pid = process.launched.pid;
        let threads = status::Threads::of(pid);
        let state = status::State::of(pid).ok_or_else(|| refusals::no_zygote(&[]))?;
        if state.threads != 1 {
            return Err(refusals::zygote_has_threads(state.threads));
        }
        let control = process.ends.channel.try_clone();
        process.rest(process.cpu());
        Ok(Self {
            pid,
            done: Arc::clone(&process.launched.done),
            control: control.map_err(|error| refusals::at_plan(&error))?,
            turns: Turns::default(),
            seat: Seat::of(pid),
            threads,
            filters: state.filters,
            is_gone: AtomicBool::new(false),
            standing: Arc::clone(&process.standing),
            process: Mutex::new(process),
        })
    }

    /// Whether its address space has a limit, which a fork can't put off.
    pub(super) fn is_capped(&self) -> bool {
        self.process().is_capped()
    }

    pub(super) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        // Nothing panics while this is held.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_gone(&self) -> bool {
        // It is told of once.
        let is_told = || self.process().launched.has_ended() || self.standing.keeper.is_gone();
        let is_gone = self.is_gone.load(Ordering::Relaxed) || is_told();
        self.is_gone.fetch_or(is_gone, Ordering::Relaxed);
        is_gone
    }

    /// Whether it has used more processor time since its last birth than a task may, or has more than one thread now. Asked
    /// between births only.
    fn is_restless(&self) -> bool {
        self.process().is_restless() || !self.threads.are_as_they_were()
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
        if self.is_restless() {
            self.end();
            let why = "the warm guest did what nobody asked of it";
            return Err(NotLaunched::KeeperGone(io::Error::other(why)));
        }
        // What the host itself lacks is no fault of the zygote, which has heard of nothing yet.
        let entrance = plan.group.as_deref().map(Group::entrance).transpose().map_err(|error| {
            NotLaunched::Step(wire::step::GROUP, error.raw_os_error().unwrap_or_default())
        })?;
        let presence = self.standing.keeper.gather(Some(&self.seat), &job);
        let (born, watched) = self.standing.keeper.expect_birth(self.pid, job);
        let sent = self.order(plan, entrance.flatten());
        let record = sent.and_then(|()| {
            let _stays = presence.as_ref().and_then(Presence::stay);
            self.record(channel, &done, &stop, deadline)
        });
        // Before anybody asks for it: one that is born later is no task.
        self.standing.keeper.expect_no_birth(self.pid);
        let pid = born.try_recv();
        let failure = match (record, pid) {
            (Ok(Record::Of(0, _) | Record::Ended), Ok(pid)) => {
                let mut process = self.process();
                let used = process.cpu();
                process.rest(used);
                drop((process, turn));
                return Ok(Launched { pid, traced: true, done, family, watched, presence });
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
        if !matches!(failure, NotLaunched::Step(..)) {
            self.end();
        }
        Err(failure)
    }

    /// Ends it, and waits until everybody can see that.
    fn end(&self) {
        self.process().family.kill(self.pid);
        let _ = ready([self.done.as_fd()], GRACE);
    }

    /// Sends the order for a task.
    fn order(&self, plan: &Plan, entrance: Option<OwnedFd>) -> io::Result<()> {
        let entrances = match &entrance {
            Some(entrance) => vec![entrance.as_fd()],
            None => plan.group.as_deref().map(Group::doors).unwrap_or_default(),
        };
        let Standing { rules, last_filter, .. } = &*self.standing;
        let (order, descriptors) = plan.birth(last_filter, rules.as_ref(), &entrances);
        let raw: Vec<i32> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
        let beside = [ControlMessage::ScmRights(&raw)];
        let parts = [IoSlice::new(&order)];
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

    /// Waits for what the child says first, or for its end. A task that is stopped meanwhile is so a moment later: to end
    /// its zygote would be the end of its siblings.
    fn record(
        &self,
        mut channel: &UnixStream,
        done: &Bell,
        stop: &StopHandle,
        deadline: Option<Instant>,
    ) -> io::Result<Record> {
        let mut bytes = [0; RECORD_BYTES];
        let (mut have, mut stopped) = (0, None);
        loop {
            let asked = [channel.as_fd(), done.as_fd(), self.done.as_fd()];
            let [_, ended, zygote_ended] = ready(asked, LOOK);
            match channel.read(&mut bytes[have..]) {
                Ok(count) if count > 0 => have += count,
                _ if ended => return Ok(Record::Ended),
                // Nothing will come any more, and to wait for it would be to turn in circles.
                Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(_) if zygote_ended => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(_) => {}
            }
            if have == RECORD_BYTES {
                let (step, errno) = bytes.split_at(4);
                let word = |four: &[u8]| four.try_into().map(u32::from_ne_bytes).unwrap_or(0);
                return Ok(Record::Of(word(step), word(errno).cast_signed()));
            }
            if is_over(stop, deadline) {
                let since: &mut Instant = stopped.get_or_insert_with(Instant::now);
                if since.elapsed() >= GRACE {
                    return Ok(Record::Stopped);
                }
            }
        }
    }

    /// Whether a task that says it is ready has given up what its zygote holds, and is the first of a namespace.
    pub(super) fn admits(&self, pid: i32) -> bool {
        status::State::of(pid).is_some_and(|state| {
            let is_filtered = state.filters > self.filters || self.filters == 0;
            let is_first = state.is_process && state.is_first && state.threads == 1;
            state.has_no_capabilities && is_first && is_filtered
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

//! The host's side of a keeper: starts it in its cage, hands it one order at a time, and says what became of it.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::isolation::StopHandle;

use super::bell::Bell;
use super::board::Board;
use super::cage::enter::CageStep;
use super::family::{Crowd, Family};
use super::filter::Terms;
use super::gate::Gate;
use super::group::Group;
use super::near::{Near, Presence, Seat};
use super::plan::Plan;
use super::prepared::{Cage, Prepared};
use super::sys;
use super::turns::{LOOK, Turns, is_over};
use super::watched::Watched;
use super::watchman::watch;
use super::wire;

/// How long a launch that was killed may take to end.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A task, which is executed.
    Task,
    /// A guest that is warmed up, to be forked.
    Zygote,
    /// A task that is a fork of such a one.
    Fork,
}

/// One task to start and watch.
pub(super) struct Job {
    pub(super) role: Role,
    pub(super) own_pids: bool,
    /// Whether somebody waits for it, beside whom it may be until it is let go.
    pub(super) is_waited_for: bool,
    /// What its filter was made by.
    pub(super) terms: Terms,
    /// Whether a process that dies is to be asked where it was.
    pub(super) backtrace: bool,
    /// Whether its address space has a limit, which it may have met when it dies.
    pub(super) caps_address_space: bool,
    pub(super) crowd: Crowd,
    pub(super) stop: StopHandle,
    pub(super) family: Arc<Family>,
    pub(super) group: Option<Arc<Group>>,
    /// What it is not to begin before.
    pub(super) gate: Option<Arc<Gate>>,
    /// Rung when the task has ended and `Launched::wait` will not block any more.
    pub(super) done: Arc<Bell>,
    pub(super) tell_end: SyncSender<Watched>,
}

/// A task that runs its program now, and is watched.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) pid: i32,
    pub(super) traced: bool,
    /// Rung when it has ended.
    pub(super) done: Arc<Bell>,
    pub(super) family: Arc<Family>,
    pub(super) watched: Receiver<Watched>,
    /// It is being waited for.
    pub(super) presence: Option<Presence>,
}

/// The task never reached its program.
#[derive(Debug)]
pub(super) enum NotLaunched {
    /// A step of its child failed; see `wire::step`.
    Step(u32, i32),
    /// It was stopped meanwhile.
    Stopped,
    /// The keeper is gone. Another one can be started.
    KeeperGone(io::Error),
}

/// A process in a finished cage, and the thread that watches it and its tasks. Ended when dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    socket: UnixStream,
    desk: Arc<Desk>,
    turn: Turns,
    /// Who can be put beside a caller, if there is any choice.
    near: Option<Arc<Near>>,
    thread: Option<JoinHandle<()>>,
}

/// What the launching and the watching thread share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) board: Board,
    gone: AtomicBool,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    /// The one that the keeper was told of last.
    launching: Option<Job>,
    /// Launched ones whose first news have not come yet.
    launched: Vec<(i32, bool, Job)>,
    /// Forks that were ordered: of whom, and who is told of the birth.
    expected: Vec<(i32, SyncSender<i32>, Job)>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("launched", &self.launched.len()).finish_non_exhaustive()
    }
}

impl Launched {
    /// What was seen. `None` if the watching thread broke, or if the process is gone without its knowledge: a host that
    /// ignores SIGCHLD, or waits for any child, takes ends that are not its own, where no tracer keeps them.
    pub(super) fn wait(&self, is_lost: bool) -> Option<Watched> {
        if is_lost { self.watched.try_recv().ok() } else { self.watched.recv().ok() }
    }

    /// Whether it has ended, for one who asks until it has: what was seen of it is thrown away then.
    pub(super) fn has_ended(&self) -> bool {
        !matches!(self.watched.try_recv(), Err(TryRecvError::Empty))
    }

    /// Whether it has ended, or is about to be told of.
    pub(super) fn is_over(&self) -> bool {
        self.family.is_gone(self.pid) || !self.family.has(self.pid)
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // Nobody serves it any more (an ear panicked, say), so it must not go on. After its end this
        // reaches nobody.
        self.family.kill(self.pid);
    }
}

impl Desk {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // Each change is one call on a std type, so a panic elsewhere leaves nothing half done.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job of a task that has its first news, and whether it is traced.
    pub(super) fn adopt(&self, pid: i32) -> Option<(Job, bool)> {
        let mut jobs = self.jobs();
        if let Some(place) = jobs.launched.iter().position(|(known, _, _)| *known == pid) {
            let (_, traced, job) = jobs.launched.swap_remove(place);
            return Some((job, traced));
        }
        let outcome = self.board.outcome();
        if outcome.pid != pid {
            return None;
        }
        if outcome.failure.is_some() {
            // It never became a task. Another one may have its group by now.
            jobs.launching = None;
            return None;
        }
        let job = jobs.launching.take()?;
        // Here and not later: whoever launched it must find it in the family, or gone for good.
        job.family.add(pid);
        Some((job, outcome.traced))
    }

    /// The job of a fork, if one of that zygote was ordered.
    pub(super) fn adopt_birth(&self, zygote: i32, born: i32) -> Option<Job> {
        let mut jobs = self.jobs();
        let place = jobs.expected.iter().position(|(whose, _, _)| *whose == zygote)?;
        let (_, tell_birth, job) = jobs.expected.swap_remove(place);
        // Here and not later: whoever ordered it must find it in the family, or gone for good.
        job.family.add(born);
        tell_birth.send(born).is_ok().then_some(job)
    }

    /// No fork of that zygote will come.
    pub(super) fn expect_no_birth(&self, zygote: i32) {
        self.jobs().expected.retain(|(whose, _, _)| *whose != zygote);
    }

    /// No more tasks will come.
    pub(super) fn keeper_ended(&self) {
        self.gone.store(true, Ordering::Release);
        // Whoever waits for them shall not wait for ever.
        let mut jobs = self.jobs();
        jobs.launching = None;
        jobs.expected.clear();
    }
}

impl Keeper {
    /// Builds the cage and starts a keeper in it.
    pub(super) fn start(cage: &Cage<'_>) -> Result<Self, (Option<CageStep>, io::Error)> {
        let outside = |error: io::Error| (None, error);
        let (socket, theirs) = UnixStream::pair().map_err(outside)?;
        let board = Board::new(cage.filter).map_err(outside)?;
        let desk = Arc::new(Desk { board, gone: AtomicBool::new(false), jobs: Mutex::default() });
        let prepared = Prepared::new(cage, theirs.as_fd(), desk.board.as_fd()).map_err(outside)?;
        drop(theirs);
        let (tell, told) = sync_channel(1);
        let watched_desk = Arc::clone(&desk);
        let watch = move || watch(prepared, &watched_desk, &tell);
        let thread = std::thread::Builder::new().name("sandtrap-watch".into()).spawn(watch);
        let thread = thread.map_err(outside)?;
        let broke = || Err((None, io::Error::other("the watching thread broke")));
        let near = told.recv().unwrap_or_else(|_| broke())?.map(Arc::new);
        Ok(Self { socket, desk, turn: Turns::default(), near, thread: Some(thread) })
    }

    /// Somebody, or the keeper itself, is about to make this.
    pub(super) fn gather(&self, maker: Option<&Seat>, job: &Job) -> Option<Presence> {
        let near = self.near.as_ref()?;
        if !job.is_waited_for {
            near.spread(maker);
        }
        job.is_waited_for.then(|| near.gather(maker, &job.family))
    }

    /// One that was made in advance is waited for from now on.
    pub(super) fn bring(&self, launched: &Launched) -> Option<Presence> {
        Some(self.near.as_ref()?.bring(launched.pid, &launched.family))
    }

    /// Whether it can't start anything any more.
    pub(super) fn is_gone(&self) -> bool {
        self.desk.gone.load(Ordering::Acquire)
    }

    /// Starts a task, and returns as soon as it runs its program, or as soon as that has failed.
    pub(super) fn launch(
        &self,
        plan: &Plan,
        flags: u32,
        mut job: Job,
        deadline: Option<Instant>,
    ) -> Result<Launched, NotLaunched> {
        let (order, descriptors) =
            plan.order(flags).ok_or(NotLaunched::Step(wire::step::EXEC, libc::E2BIG))?;
        let (tell_end, watched) = sync_channel(1);
        job.tell_end = tell_end;
        let (stop, family, done) =
            (job.stop.clone(), Arc::clone(&job.family), Arc::clone(&job.done));
        let Some(_turn) = self.turn.take(&stop, deadline) else {
            return Err(NotLaunched::Stopped);
        };
        let presence = self.gather(None, &job);
        self.desk.board.clear();
        self.desk.jobs().launching = Some(job);
        let sent = self.send(&order, &descriptors);
        let sent = sent.and_then(|()| self.answer(presence.as_ref(), &stop, deadline));
        let outcome = self.desk.board.outcome();
        let mut jobs = self.desk.jobs();
        match sent {
            Err(error) => {
                // It may have been born, and be watched, before the keeper was gone: nobody runs it twice.
                let was_told_of = jobs.launching.take().is_some();
                match watched.try_recv() {
                    Err(TryRecvError::Empty) if !was_told_of => {}
                    _ => return Err(NotLaunched::KeeperGone(error)),
                }
            }
            Ok(false) => {
                jobs.launching = None;
                self.give_up();
                return Err(NotLaunched::Stopped);
            }
            Ok(true) => {}
        }
        if let Some((step, errno)) = outcome.failure {
            jobs.launching = None;
            return Err(NotLaunched::Step(step, errno));
        }
        if let Some(job) = jobs.launching.take() {
            family.add(outcome.pid);
            jobs.launched.push((outcome.pid, outcome.traced, job));
        }
        drop(jobs);
        let (pid, traced) = (outcome.pid, outcome.traced);
        Ok(Launched { pid, traced, done, family, watched, presence })
    }

    /// A fork of that zygote is ordered next. Tells of its birth, and of what was seen of it.
    pub(super) fn expect_birth(
        &self,
        zygote: i32,
        mut job: Job,
    ) -> (Receiver<i32>, Receiver<Watched>) {
        let (tell_birth, born) = sync_channel(1);
        let (tell_end, watched) = sync_channel(1);
        job.tell_end = tell_end;
        self.desk.jobs().expected.push((zygote, tell_birth, job));
        (born, watched)
    }

    /// It is not to come any more.
    pub(super) fn expect_no_birth(&self, zygote: i32) {
        self.desk.expect_no_birth(zygote);
    }

    fn send(&self, order: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<i32> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
        let beside = [ControlMessage::ScmRights(&raw)];
        let flags = MsgFlags::MSG_NOSIGNAL;
        let sent = loop {
            let parts = [IoSlice::new(order)];
            match sendmsg::<()>(self.socket.as_raw_fd(), &parts, &beside, flags, None) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other?,
            }
        };
        (&self.socket).write_all(&order[sent..])
    }

    /// Waits until the child has left the keeper's memory. Says whether it has: or whether it was stopped, and
    /// doesn't end, which is a file system's doing.
    fn answer(
        &self,
        presence: Option<&Presence>,
        stop: &StopHandle,
        deadline: Option<Instant>,
    ) -> io::Result<bool> {
        let mut killed: Option<Instant> = None;
        let mut byte = [0];
        loop {
            let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::MAX);
            let _stays = presence.and_then(Presence::stay);
            // An interrupted wait is a wait that found nothing.
            if poll(&mut polled, timeout).is_ok_and(|count| count > 0) {
                return match (&self.socket).read(&mut byte)? {
                    0 => Err(io::ErrorKind::BrokenPipe.into()),
                    _ => Ok(true),
                };
            }
            match killed {
                None if is_over(stop, deadline) => {
                    killed = Some(Instant::now());
                    self.kill_launching();
                }
                Some(at) if at.elapsed() >= GRACE => return Ok(false),
                _ => {}
            }
        }
    }

    /// Kills the child that is not yet known to the watching thread: as long as it isn't, nobody has reaped it.
    fn kill_launching(&self) {
        let jobs = self.desk.jobs();
        let pid = self.desk.board.outcome().pid;
        match &jobs.launching {
            Some(_) if pid > 0 => sys::send(pid, libc::SIGKILL),
            _ => {}
        }
    }

    /// It hangs in the middle of a launch; nobody shall wait for it again.
    fn give_up(&self) {
        self.desk.gone.store(true, Ordering::Release);
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let hangs = self.is_gone();
        // The keeper sees the end of its socket, and the watching thread sees the end of the keeper.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let own = std::thread::current().id();
        // Whoever is told of a task's end by that thread may be the last one who held this.
        if let Some(thread) = self.thread.take().filter(|it| !hangs && it.thread().id() != own) {
            // It panicked: there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

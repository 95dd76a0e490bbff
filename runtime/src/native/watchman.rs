//! The thread that starts a keeper and watches everything that comes from it.
//!
//! The kernel ties tracing and waiting to one thread, and a wait for "any child" takes every child of that thread. So
//! each keeper has a thread of ours, which has no children but the keeper and its tasks (they are siblings): the
//! host's own are never reaped by us, and nobody has to wake a thread that waits. A task announces itself by its
//! first stop; whose it is stands on the board before it has run one instruction.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use libc::pid_t;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::bell::Bell;
use super::cage::enter::CageStep;
use super::keeper::{Desk, Job};
use super::near::Near;
use super::prepared::Prepared;
use super::status::relations;
use super::sys::{self, News, Waited};
use super::tracing::{self, Resume};
use super::watch::Watch;
use super::watched::Watched;

/// Serves the news of one keeper's tasks.
pub(super) struct Watchman {
    keeper: pid_t,
    desk: Arc<Desk>,
    keeper_is_gone: bool,
    tasks: HashMap<pid_t, Running>,
    /// Forks that were heard of before their zygote's word of them, and whose they are.
    early: HashMap<pid_t, pid_t>,
}

/// A task, and whoever waits for its end.
struct Running {
    watch: Watch,
    tell_end: SyncSender<Watched>,
    done: Arc<Bell>,
}

impl Watchman {
    pub(super) fn new(keeper: pid_t, desk: Arc<Desk>) -> Self {
        Self { keeper, desk, keeper_is_gone: false, tasks: HashMap::new(), early: HashMap::new() }
    }

    /// Blocks until the keeper and all its tasks are gone.
    pub(super) fn run(mut self) {
        while let Some((pid, news)) = sys::next_news() {
            let (main, ended) = (self.main_of(pid), matches!(news, News::Ended));
            if ended && let Some(running) = main.and_then(|main| self.tasks.get_mut(&main)) {
                running.watch.before_end(pid);
            }
            let waited = match news {
                // Whoever knows it lets it go on.
                News::Stands(waited) if main.is_some() => waited,
                _ => match sys::take_news(pid) {
                    Some(waited) => waited,
                    None => continue,
                },
            };
            if pid == self.keeper && ended {
                self.desk.keeper_ended();
            }
            if main.is_some_and(|main| self.takes_birth(main, &waited)) {
                continue;
            }
            match main.and_then(|main| self.tasks.get_mut(&main)) {
                Some(running) => running.watch.take(&waited),
                // Born so that nobody saw it, of parents that are gone: it belongs to no task, and to none of ours.
                None if !ended && pid != self.keeper => {
                    sys::send(pid, libc::SIGKILL);
                    // One that is ending already is deaf to that, and stands there.
                    tracing::resume(pid, Resume::Freely, 0);
                }
                None => {}
            }
            if let Some(main) = main {
                self.finish(main);
            }
            if pid == self.keeper && ended {
                self.keeper_is_gone = true;
            }
            if self.keeper_is_gone && self.tasks.is_empty() {
                // Whoever is still there belongs to no task: no tracer saw its birth.
                for stray in sys::children() {
                    sys::send(stray, libc::SIGKILL);
                }
            }
        }
        // Ends of these were taken by somebody else.
        self.desk.keeper_ended();
        for (_, running) in self.tasks.drain() {
            running.tell();
        }
    }

    /// The task that somebody belongs to, by the number of its main process.
    fn main_of(&mut self, pid: pid_t) -> Option<pid_t> {
        if self.tasks.contains_key(&pid) {
            return Some(pid);
        }
        if let Some((main, _)) = self.tasks.iter().find(|(_, running)| running.watch.knows(pid)) {
            return Some(*main);
        }
        if let Some((job, traced)) = self.desk.adopt(pid) {
            self.tasks.insert(pid, Running::new(pid, traced, job));
            return Some(pid);
        }
        let (process, parent) = relations(pid)?;
        let of = |known| self.tasks.iter().find(|(_, running)| running.watch.knows(known));
        // A thread of a fork belongs to the fork, and not to the zygote, which is that one's parent.
        let (main, running) = of(process).or_else(|| of(parent))?;
        let main = *main;
        // Whoever is a zygote's child is a task of its own, if that was ordered.
        if running.watch.is_zygote() && parent == main && self.adopt_birth(main, process) {
            self.early.insert(process, main);
            return Some(process);
        }
        Some(main)
    }

    /// Whether this is a fork of a zygote that was ordered: a task of its own, and nobody of the zygote's.
    fn takes_birth(&mut self, main: pid_t, news: &Waited) -> bool {
        let event = news.status >> 16;
        let is_birth = libc::WIFSTOPPED(news.status)
            && [libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_VFORK, libc::PTRACE_EVENT_CLONE]
                .contains(&event);
        if !is_birth || !self.tasks.get(&main).is_some_and(|running| running.watch.is_zygote()) {
            return false;
        }
        let born = tracing::event_message(news.pid) as pid_t;
        // One that was heard of is a task already, however it was born: the zygote must not have it, too.
        let is_fork = event == libc::PTRACE_EVENT_FORK && news.pid == main;
        let is_ordered =
            self.early.remove(&born).is_some() || is_fork && self.adopt_birth(main, born);
        if is_ordered && let Some(zygote) = self.tasks.get(&main) {
            zygote.watch.resume(news.pid, 0);
        }
        is_ordered
    }

    fn adopt_birth(&mut self, zygote: pid_t, born: pid_t) -> bool {
        let Some(job) = self.desk.adopt_birth(zygote, born) else { return false };
        self.tasks.insert(born, Running::new(born, true, job));
        true
    }

    fn finish(&mut self, main: pid_t) {
        if !self.tasks.get_mut(&main).is_some_and(|running| running.watch.is_over()) {
            return;
        }
        if let Some(running) = self.tasks.remove(&main) {
            if running.watch.is_zygote() {
                self.desk.expect_no_birth(main);
                // It will say nothing of them any more.
                self.early.retain(|_, zygote| *zygote != main);
            }
            running.tell();
        }
    }
}

impl Running {
    fn new(pid: pid_t, traced: bool, job: Job) -> Self {
        let watch = Watch::new(pid, traced, &job);
        let Job { tell_end, done, .. } = job;
        Self { watch, tell_end, done }
    }

    fn tell(self) {
        // If the caller is gone, nobody wants it.
        let _ = self.tell_end.send(self.watch.finish());
        self.done.ring();
    }
}

/// How the keeper was started: who can be put near whom then, or at which step it failed.
pub(super) type Started = Result<Option<Near>, (Option<CageStep>, io::Error)>;

/// The whole life of a watching thread.
pub(super) fn watch(prepared: Prepared, desk: &Arc<Desk>, tell: &SyncSender<Started>) {
    // No handler of the host's may run here: between clone and exec a child shares this thread's
    // memory. This fails only for an invalid set, and the full set is none.
    let inherited = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let will = sys::LastWill::make(desk.board.watcher());
    let started = match &will {
        Ok(_) => prepared.start(),
        Err(error) => Err((None, io::Error::new(error.kind(), error.to_string()))),
    };
    drop(prepared);
    hear_of_children(inherited.ok());
    let keeper = started.as_ref().ok().copied();
    // Both only pass on what others wait for.
    for thread in [Some(0), keeper].into_iter().flatten() {
        sys::run_shortly(thread);
    }
    // The caller waits for exactly this answer.
    let _ = tell.send(started.map(Near::new));
    if let Some(keeper) = keeper {
        Watchman::new(keeper, Arc::clone(desk)).run();
    }
}

/// What a process does is told by a signal, too. Where nobody handles it, it is nothing to a thread that doesn't block
/// it; if this one did, another thread of the host's would be woken to throw it away, at each stop of each task. A host
/// that blocks it in its own threads, to wait for it, blocks it here.
fn hear_of_children(inherited: Option<SigSet>) {
    let is_open = inherited.is_some_and(|mask| !mask.contains(Signal::SIGCHLD));
    if is_open {
        // The same as above.
        let _ = SigSet::from_iter([Signal::SIGCHLD]).thread_unblock();
    }
}

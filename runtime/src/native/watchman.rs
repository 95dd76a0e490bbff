//! The thread that starts a keeper and watches everything that comes from it.
//!
//! The kernel ties tracing and waiting to one thread, and a wait for "any child" takes every child of that thread. So
//! each keeper has a thread of ours, which has no children but the keeper and its tasks (they are siblings): the
//! host's own are never reaped by us, and nobody has to wake a thread that waits. A task announces itself by its
//! first stop; whose it is stands on the board before it has run one instruction.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use libc::pid_t;

use super::keeper::{Desk, Job};
use super::sys;
use super::watch::Watch;
use super::watched::Watched;

/// Serves the news of one keeper's tasks.
pub(super) struct Watchman {
    keeper: pid_t,
    desk: Arc<Desk>,
    keeper_is_gone: bool,
    tasks: HashMap<pid_t, Running>,
    /// Forks that were heard of before their zygote's word of them.
    early: HashSet<pid_t>,
}

/// A task, and whoever waits for its end.
struct Running {
    watch: Watch,
    tell_end: SyncSender<Watched>,
    done: Arc<nix::sys::eventfd::EventFd>,
}

impl Watchman {
    pub(super) fn new(keeper: pid_t, desk: Arc<Desk>) -> Self {
        Self { keeper, desk, keeper_is_gone: false, tasks: HashMap::new(), early: HashSet::new() }
    }

    /// Blocks until the keeper and all its tasks are gone.
    pub(super) fn run(mut self) {
        while let Some((pid, ended)) = sys::next_news() {
            let main = self.main_of(pid);
            if ended && let Some(running) = main.and_then(|main| self.tasks.get_mut(&main)) {
                running.watch.before_end(pid);
            }
            let Some(waited) = sys::take_news(pid) else { continue };
            if pid == self.keeper && ended {
                self.desk.keeper_ended();
            }
            match main.and_then(|main| self.tasks.get_mut(&main)) {
                Some(running) => running.watch.take(&waited),
                // Born so that nobody saw it, of parents that are gone: it belongs to no task, and to none of ours.
                None if !ended && pid != self.keeper => sys::send(pid, libc::SIGKILL),
                None => {}
            }
            if let Some(main) = main {
                self.take_births(main);
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
        let mut tasks = self.tasks.iter();
        let (main, running) = tasks
            .find(|(_, running)| running.watch.knows(process) || running.watch.knows(parent))?;
        if !running.watch.is_zygote() || process == *main {
            return Some(*main);
        }
        let zygote = *main;
        let is_adopted = self.adopt_birth(zygote, process);
        if is_adopted {
            self.early.insert(process);
        }
        is_adopted.then_some(process)
    }

    /// The forks of a zygote are tasks of their own.
    fn take_births(&mut self, zygote: pid_t) {
        let births = self.tasks.get_mut(&zygote).map(|running| running.watch.take_births());
        for born in births.unwrap_or_default() {
            if !self.early.remove(&born) && !self.adopt_birth(zygote, born) {
                // Nobody has ordered it.
                sys::send(born, libc::SIGKILL);
            }
        }
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
        // The counter of an eventfd can't overflow by one ring.
        let _ = self.done.write(1);
    }
}

/// The process that a thread belongs to, and that process's parent.
fn relations(tid: pid_t) -> Option<(pid_t, pid_t)> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let field = |name| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().parse().ok()
    };
    Some((field("Tgid:")?, field("PPid:")?))
}

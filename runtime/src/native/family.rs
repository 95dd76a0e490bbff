//! The processes of one task that are alive, as the watcher knows them and the pump asks about them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::evidence::StopReason;
use crate::limits::Limits;

use super::near::{Caller, place};

/// Of the clocks that the kernel keeps for a process, the one that counts all the time it ran.
const SCHEDULED: libc::clockid_t = 2;

/// How many may be alive at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    processes: u32,
    threads: u32,
}

impl Crowd {
    pub(super) fn allowed(limits: &Limits) -> Self {
        Self { processes: limits.processes, threads: limits.threads }
    }

    /// Whether there may be no process but the first.
    pub(super) fn is_single(self) -> bool {
        self.processes == 1
    }

    /// The limit that so many exceed.
    pub(super) fn excess(self, processes: usize, threads: usize) -> Option<StopReason> {
        if processes > self.processes as usize {
            Some(StopReason::Processes)
        } else if threads > self.threads as usize {
            Some(StopReason::Threads)
        } else {
            None
        }
    }
}

/// Shared between the thread that watches a task and the one that serves it.
#[derive(Debug, Default)]
pub(super) struct Family {
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// With what each had used when it was last looked at.
    alive: BTreeMap<i32, Duration>,
    /// What the dead had used.
    spent: Duration,
    /// Where those may run that are held at one processor.
    held: Option<Held>,
    /// Nobody is held any more: they are more than one, or have asked where they may run.
    is_free: bool,
}

#[derive(Debug)]
struct Held {
    /// Who may use what they may use otherwise.
    caller: Caller,
    /// Whether they were let go already. One that was being born meanwhile may still be where its parent was.
    is_over: bool,
}

impl Family {
    fn members(&self) -> MutexGuard<'_, Members> {
        // Each change is one call on a std type, so a panic elsewhere leaves nothing half done.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a new process. Says how many there are now.
    pub(super) fn add(&self, pid: i32) -> usize {
        let mut members = self.members();
        members.alive.insert(pid, Duration::ZERO);
        members.alive.len()
    }

    /// A thread of a process is about to end, perhaps its last one: what it used can still be read. (Of one that is
    /// alone, the kernel says it with its end.)
    pub(super) fn note(&self, pid: i32) {
        let mut members = self.members();
        let is_alone = members.alive.len() == 1 && members.spent == Duration::ZERO;
        if let Some(used) = members.alive.get_mut(&pid).filter(|_| !is_alone) {
            *used = used_by(pid);
        }
    }

    /// A process is gone; what it used is kept. Says whether it was one of them.
    pub(super) fn remove(&self, pid: i32) -> bool {
        let mut members = self.members();
        let used = members.alive.remove(&pid);
        members.spent += used.unwrap_or_default();
        used.is_some()
    }

    /// Kills one of them, if it is still there. Nobody else can have its number: it is taken from here before it is
    /// reaped.
    pub(super) fn kill(&self, pid: i32) {
        self.send(pid, libc::SIGKILL);
    }

    /// Sends one of them this signal.
    pub(super) fn send(&self, pid: i32, signal: libc::c_int) {
        let members = self.members();
        if members.alive.contains_key(&pid) {
            super::sys::send(pid, signal);
        }
    }

    /// Whether it is one of them, and was not seen to end.
    pub(super) fn has(&self, pid: i32) -> bool {
        self.members().alive.contains_key(&pid)
    }

    /// Whether it is there, and nobody beside it.
    pub(super) fn is_alone(&self, pid: i32) -> bool {
        let members = self.members();
        members.alive.len() == 1 && members.alive.contains_key(&pid)
    }

    /// Whether there is no process with this number, though none was seen to end.
    pub(super) fn is_gone(&self, pid: i32) -> bool {
        let members = self.members();
        members.alive.contains_key(&pid) && !std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    /// Its first process is at one processor from its birth on, or is put there now, until it is let go. Says whether it is.
    pub(super) fn hold(&self, first: Option<(i32, CpuSet)>, caller: Caller) -> bool {
        let mut members = self.members();
        if members.is_free {
            return false;
        }
        let is_there = first.is_none_or(|(pid, here)| {
            members.alive.contains_key(&pid) && place(Pid::from_raw(pid), &here)
        });
        if is_there {
            members.held = Some(Held { caller, is_over: false });
        }
        is_there
    }

    /// Lets go whoever is held.
    pub(super) fn let_go(&self) {
        let Members { alive, held, .. } = &mut *self.members();
        if let Some(Held { caller, is_over }) = held
            && !std::mem::replace(is_over, true)
        {
            let all = caller.may_use();
            for pid in alive.keys() {
                place(Pid::from_raw(*pid), &all);
            }
        }
    }

    /// One of them was born where somebody else may be, and is to be where this caller may.
    pub(super) fn follow(&self, pid: i32, all: &CpuSet) {
        let pid = Pid::from_raw(pid);
        let members = self.members();
        if members.alive.contains_key(&pid.as_raw()) && sched_getaffinity(pid).as_ref() != Ok(all) {
            place(pid, all);
        }
    }

    /// The same, said by their tracer, at which these threads stand: nobody of them is held, or will be born so, any more.
    pub(super) fn let_go_for_good(&self, standing: &[i32]) {
        let Members { alive, held, is_free, .. } = &mut *self.members();
        *is_free = true;
        if let Some(Held { caller, .. }) = held.take() {
            let all = caller.may_use();
            // Of one that is gone already its tracer is told no number.
            for pid in alive.keys().chain(standing).filter(|pid| **pid > 0) {
                place(Pid::from_raw(*pid), &all);
            }
        }
    }

    /// Processor time of all of them, the dead included.
    pub(super) fn cpu(&self) -> Duration {
        let members = self.members();
        let alive = members.alive.iter().map(|(pid, used)| used_by(*pid).max(*used));
        alive.sum::<Duration>() + members.spent
    }
}

/// Processor time of one process and all its threads; nothing for one that is gone.
fn used_by(pid: i32) -> Duration {
    // What `clock_getcpuclockid` gives, which asks the kernel first whether there is such a clock.
    let clock = ClockId::from_raw((!pid << 3) | SCHEDULED);
    clock.now().map_or(Duration::ZERO, Duration::from)
}

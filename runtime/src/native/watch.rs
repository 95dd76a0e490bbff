//! What one task's processes do, from the first instruction to the last zombie, as it is told by the `watchman`.
//!
//! ```text
//!            exec stop                 main process ends
//! (started) ----------> WATCHING ------------------------> CLEARING ----> nobody left: Watched
//!                        |  ^  births, signals, exits        |  ^
//!                        +--+                                +--+ exits of those we kill
//! ```
//!
//! Every descendant is a tracee from its birth on, stopped only at signals, births and its own exit; system
//! calls run freely (but see `tracee` for a thread that suffers from a fault). Whoever was born so that no
//! tracer sees it is killed with the task's group, or as a child of this thread. Where tracing is
//! refused there are no stops, and the ending is a number.

mod births;
mod clearing;
mod ending;
mod first;
mod forbidden;
mod gate;

use std::collections::HashMap;
use std::sync::Arc;

use libc::{c_int, pid_t};

use crate::isolation::StopHandle;

use super::autopsy;
use super::backtrace::Backtraces;
use super::family::{Crowd, Family};
use super::filter::Terms;
use super::gate::Gate;
use super::group::Group;
use super::keeper::{Job, Role};
use super::status::{self, process_of};
use super::sys::{self, Waited};
use super::tracee::{Met, Tracee, sender};
use super::tracing::{self, Origin, Registers, Resume};
use super::watched::Watched;

/// What the first process of a namespace is called inside.
const FIRST: pid_t = 1;

const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;

pub(super) struct Watch {
    main: pid_t,
    traced: bool,
    role: Role,
    terms: Terms,
    /// Whether the main process is the first of a namespace: then nobody survives it.
    own_pids: bool,
    caps_address_space: bool,
    crowd: Crowd,
    stop: StopHandle,
    family: Arc<Family>,
    group: Option<Arc<Group>>,
    tracees: HashMap<pid_t, Tracee>,
    signals_met: u64,
    /// How a thread of the main process met the signal that ended it.
    fatal: Option<Met>,
    /// The signal that would have ended any other process; the first of a namespace has to be killed for it.
    sentence: Option<Met>,
    killed_itself: bool,
    seen: Watched,
    main_ended: bool,
    /// Whether it was killed, and the kernel is about to end its namespace with it: those kills are nobody's.
    main_dies: bool,
    clearing: bool,
    /// How many more have to end before everybody is killed anew.
    ends_to_come: usize,
    /// Whether whoever is about to be reaped is a process, and no thread of one.
    process_ends: bool,
    backtraces: Backtraces,
    /// What it is not to begin before.
    gate: Option<Arc<Gate>>,
    /// The registers with which it is to begin, as long as it sleeps.
    asleep: Option<Origin>,
}

impl Watch {
    pub(super) fn new(main: pid_t, traced: bool, job: &Job) -> Self {
        job.family.add(main);
        let is_fork = job.role == Role::Fork;
        let seen = Watched::nothing(!traced || is_fork, traced || job.crowd.is_single());
        let inside = if job.own_pids { FIRST } else { main };
        let first = traced.then(|| (main, Tracee::of(main, inside, is_fork)));
        Self {
            main,
            traced,
            role: job.role,
            terms: job.terms,
            own_pids: job.own_pids,
            caps_address_space: job.caps_address_space,
            crowd: job.crowd,
            stop: job.stop.clone(),
            family: Arc::clone(&job.family),
            group: job.group.clone(),
            tracees: first.into_iter().collect(),
            signals_met: 0,
            fatal: None,
            sentence: None,
            killed_itself: false,
            seen,
            main_ended: false,
            main_dies: false,
            clearing: false,
            ends_to_come: 0,
            process_ends: false,
            backtraces: Backtraces::new(job.backtrace && traced),
            gate: job.gate.clone(),
            asleep: None,
        }
    }

    /// Whether a process or thread belongs to this task.
    pub(super) fn knows(&self, pid: pid_t) -> bool {
        pid == self.main || self.tracees.contains_key(&pid)
    }

    /// Somebody is about to be reaped: his number is his own for the last time.
    pub(super) fn before_end(&mut self, pid: pid_t) {
        if pid == self.main && !self.traced {
            // The rest of its process group, as far as it stayed in it.
            sys::send(-self.main, libc::SIGKILL);
        }
        self.process_ends = self.family.remove(pid);
    }

    /// Takes one piece of news.
    pub(super) fn take(&mut self, waited: &Waited) {
        if libc::WIFSTOPPED(waited.status) {
            self.stopped(waited.pid, waited.status);
        } else {
            self.ended(waited);
        }
    }

    /// Whether nobody of the task is left.
    pub(super) fn is_over(&mut self) -> bool {
        if !self.main_ended {
            return false;
        }
        if !self.own_pids {
            // A thread whose process executed something else is never heard of again.
            self.tracees.retain(|tid, _| process_of(*tid).is_some());
        }
        self.own_pids || self.tracees.is_empty()
    }

    /// What was seen of it.
    pub(super) fn finish(mut self) -> Watched {
        self.seen.cpu = self.seen.cpu.max(self.family.cpu());
        self.seen.has_begun = self.asleep.is_none();
        self.seen
    }

    fn stopped(&mut self, tid: pid_t, status: c_int) {
        if !self.traced {
            // It has stopped itself, or was stopped by others, and goes on when somebody wants it to, or has no more time.
            return;
        }
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            0 if !self.seen.executed && tid == self.main && signal == libc::SIGTRAP => {
                tracing::set_options(tid);
                self.seen.executed = true;
                self.begin(tid);
            }
            0 if signal == SYSCALL_STOP => {
                if let Some(tracee) = self.tracees.get_mut(&tid) {
                    tracee.call(tracing::registers(tid));
                }
                self.resume(tid, 0);
            }
            0 => self.at_signal(tid, signal),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                let born = tracing::event_message(tid) as pid_t;
                self.family.let_go_for_good(&[tid, born]);
                self.at_birth(tid, born);
                self.take_in(born);
                self.resume(tid, 0);
            }
            libc::PTRACE_EVENT_EXEC => {
                // Whichever thread called exec has the leader's number from now on.
                let former = tracing::event_message(tid) as pid_t;
                if former != tid {
                    self.tracees.remove(&former);
                }
                let inside = self.tracees.get(&tid).map_or(tid, |tracee| tracee.inside);
                self.tracees.insert(tid, Tracee::of(tid, inside, false));
                self.at_exec();
                self.resume(tid, 0);
            }
            libc::PTRACE_EVENT_SECCOMP => self.at_call(tid),
            libc::PTRACE_EVENT_EXIT => {
                self.at_exit(tid);
                tracing::resume(tid, Resume::Freely, 0);
            }
            _ => self.resume(tid, 0),
        }
    }

    /// Lets a tracee go on in the way that its state wants.
    pub(super) fn resume(&self, tid: pid_t, signal: c_int) {
        let gait = self.tracees.get(&tid).map_or(Resume::Freely, Tracee::gait);
        tracing::resume(tid, gait, signal);
    }

    fn at_signal(&mut self, tid: pid_t, signal: c_int) {
        if self.is_called(tid, signal) {
            return;
        }
        self.take_in(tid);
        let registers = tracing::registers(tid);
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            return tracing::resume(tid, Resume::Freely, signal);
        };
        if tracee.newborn && signal == libc::SIGSTOP {
            tracee.newborn = false;
            // Its parent's word of it may come later.
            self.family.let_go_for_good(&[tid]);
            return self.resume(tid, 0);
        }
        let Some(info) = tracing::signal_info(tid) else { return self.at_group_stop(tid, signal) };
        if tracee.enters_handler(signal, registers) {
            return self.resume(tid, 0);
        }
        tracee.look(registers);
        // The first one counts while it is open: nothing is found out about another.
        if tracee.fault().is_none() && autopsy::is_fault(signal, &info, registers) {
            let steps = self.backtraces.at_signal(tid, signal);
            let again = registers.and_then(|at| tracee.again(signal, &info, at)).cloned();
            let examine = || autopsy::examine(tid, signal, &info, registers);
            tracee.suffer(again.unwrap_or_else(examine), registers, steps);
        }
        self.meet(tid, signal, &info, registers);
        if self.own_pids && self.execute_sentence(tid, signal) {
            return;
        }
        self.resume(tid, signal);
    }

    /// Writes down the signal at which a thread stands.
    fn meet(
        &mut self,
        tid: pid_t,
        signal: c_int,
        info: &tracing::SignalInfo,
        registers: Option<Registers>,
    ) {
        let Some(tracee) = self.tracees.get(&tid) else { return };
        let (process, inside) = (tracee.process, tracee.inside);
        // A thread may abort on behalf of another one that suffers from a fault (crash reporters do).
        let fault = tracee.fault().or_else(|| {
            let siblings = self.tracees.values().filter(|other| other.process == process);
            siblings.filter_map(Tracee::fault).next()
        });
        let (fault, steps) = match fault {
            Some((fault, steps)) => (Some(fault.clone()), steps.clone()),
            None => (None, self.backtraces.at_signal(tid, signal)),
        };
        self.signals_met += 1;
        let met = Met {
            order: self.signals_met,
            signal,
            code: info.code,
            sender: sender(signal, info, registers, inside),
            fault,
            steps,
        };
        if process == self.main && info.code == autopsy::SI_KERNEL {
            self.seen.loading |= autopsy::is_loading(signal, registers);
        }
        let is_told = matches!(signal, libc::SIGABRT | libc::SIGSEGV) && self.caps_address_space;
        if process == self.main && is_told {
            self.seen.address_space = status::bytes(tid, "VmPeak:");
        }
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.met = Some(met);
        }
    }

    /// All threads of a process were told to stand still.
    fn at_group_stop(&mut self, tid: pid_t, signal: c_int) {
        // It reads from a terminal that is not its own, and would ask again and again: nothing will change.
        // Any other stop is not kept, or nothing could wake it again.
        if !matches!(signal, libc::SIGTTIN | libc::SIGTTOU) {
            self.resume(tid, 0);
        }
    }
}

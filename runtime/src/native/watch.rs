//! Watches one task's processes from the first instruction to the last zombie.
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

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use libc::{c_int, pid_t};

use crate::evidence::{Death, DeniedSyscall, Ending, Sender, StopReason};
use crate::isolation::StopHandle;
use crate::signals::Signal;

use super::autopsy;
use super::family::{Crowd, Family};
use super::filter::Terms;
use super::group::Group;
use super::sys::{self, Waited};
use super::tracee::{Met, Tracee, sender};
use super::tracing::{self, Registers, Resume};

const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;

/// What was seen of a task.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) ending: Ending,
    /// Whether the program itself was ever reached.
    pub(super) executed: bool,
    /// The system call that it was killed for.
    pub(super) denied: Option<DeniedSyscall>,
    pub(super) cpu: Duration,
    /// The most memory the main process held.
    pub(super) peak: u64,
    /// The most address space the main process had at its death.
    pub(super) address_space: u64,
}

pub(super) struct Watch<'a> {
    main: pid_t,
    traced: bool,
    terms: Terms,
    crowd: Crowd,
    stop: StopHandle,
    family: Arc<Family>,
    group: Option<&'a Group>,
    tracees: HashMap<pid_t, Tracee>,
    signals_met: u64,
    /// How a thread of the main process met the signal that ended it.
    fatal: Option<Met>,
    killed_itself: bool,
    seen: Watched,
    clearing: bool,
    /// How many more have to end before everybody is killed anew.
    ends_to_come: usize,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        main: pid_t,
        traced: bool,
        terms: Terms,
        crowd: Crowd,
        stop: StopHandle,
        family: Arc<Family>,
        group: Option<&'a Group>,
    ) -> Self {
        family.add(main);
        let seen = Watched {
            ending: Ending::Vanished,
            executed: !traced,
            denied: None,
            cpu: Duration::ZERO,
            peak: 0,
            address_space: 0,
        };
        let first = traced.then(|| (main, Tracee::of(main, false)));
        Self {
            main,
            traced,
            terms,
            crowd,
            stop,
            family,
            group,
            tracees: first.into_iter().collect(),
            signals_met: 0,
            fatal: None,
            killed_itself: false,
            seen,
            clearing: false,
            ends_to_come: 0,
        }
    }

    /// Blocks until nobody of the task is left.
    pub(super) fn run(mut self) -> Watched {
        while let Some(waited) = sys::wait_any() {
            if libc::WIFSTOPPED(waited.status) {
                self.stopped(waited.pid, waited.status);
            } else {
                self.ended(&waited);
            }
        }
        self.seen.cpu = self.seen.cpu.max(self.family.cpu());
        self.seen
    }

    fn stopped(&mut self, tid: pid_t, status: c_int) {
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            0 if !self.seen.executed && tid == self.main && signal == libc::SIGTRAP => {
                tracing::set_options(tid);
                self.seen.executed = true;
                tracing::resume(tid, Resume::Freely, 0);
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
                self.tracees.insert(tid, Tracee::of(tid, false));
                self.at_exec();
                self.resume(tid, 0);
            }
            libc::PTRACE_EVENT_EXIT => {
                self.at_exit(tid);
                tracing::resume(tid, Resume::Freely, 0);
            }
            _ => self.resume(tid, 0),
        }
    }

    /// Lets a tracee go on in the way that its state wants.
    fn resume(&self, tid: pid_t, signal: c_int) {
        let gait = self.tracees.get(&tid).map_or(Resume::Freely, Tracee::gait);
        tracing::resume(tid, gait, signal);
    }

    /// Knows a new thread or process from now on, whichever of its two announcements comes first.
    fn take_in(&mut self, tid: pid_t) {
        if self.tracees.contains_key(&tid) {
            return;
        }
        // One that is gone already was waited for before its birth was told.
        let Some(process) = process_of(tid) else { return };
        self.tracees.insert(tid, Tracee::of(process, true));
        let processes = if process == tid { self.family.add(tid) } else { 0 };
        if let Some(reason) = self.crowd.excess(processes, self.tracees.len()) {
            self.stop.stop(reason);
            self.clear();
        }
        if self.clearing {
            sys::send(process, libc::SIGKILL);
        }
    }

    fn at_signal(&mut self, tid: pid_t, signal: c_int) {
        self.take_in(tid);
        let registers = tracing::registers(tid);
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            return tracing::resume(tid, Resume::Freely, signal);
        };
        if tracee.newborn && signal == libc::SIGSTOP {
            tracee.newborn = false;
            return self.resume(tid, 0);
        }
        let Some(info) = tracing::signal_info(tid) else { return self.at_group_stop(tid, signal) };
        if tracee.enters_handler(signal, registers) {
            return self.resume(tid, 0);
        }
        tracee.look(registers);
        if autopsy::is_fault(signal, &info, registers) {
            tracee.suffer(autopsy::examine(tid, signal, &info, registers));
        }
        self.meet(tid, signal, &info, registers);
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
        let process = tracee.process;
        // A thread may abort on behalf of another one that suffers from a fault (crash reporters do).
        let fault = tracee.fault().or_else(|| {
            let siblings = self.tracees.values().filter(|other| other.process == process);
            siblings.filter_map(Tracee::fault).next()
        });
        self.signals_met += 1;
        let met = Met {
            order: self.signals_met,
            signal,
            code: info.code,
            sender: sender(signal, info, registers, process),
            fault: fault.cloned(),
        };
        if process == self.main && matches!(signal, libc::SIGABRT | libc::SIGSEGV) {
            self.seen.address_space = status_bytes(tid, "VmPeak:");
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

    /// A filter keeps most guests from having processes. Where there is none, or it has to let a launcher's births
    /// pass, it is seen here.
    fn at_birth(&mut self, parent: pid_t, born: pid_t) {
        let is_process = || process_of(born) == Some(born);
        if !self.terms.may_have_processes() && is_process() && self.stop.stop(StopReason::Denied) {
            let call = tracing::call_within(parent);
            self.seen.denied = call.map(|call| self.terms.denied(&call));
            self.clear();
        }
    }

    /// A program was executed after the first, and none of it has run. That may be forbidden, which a filter
    /// can't know: it sees no difference between the two.
    fn at_exec(&mut self) {
        if !self.terms.may_have_processes() && self.stop.stop(StopReason::Denied) {
            self.seen.denied = Some(self.terms.denied_exec());
            self.clear();
        }
    }

    /// A thread is about to end; its memory and registers are still there.
    fn at_exit(&mut self, tid: pid_t) {
        let signal = (tracing::event_message(tid) & 0x7f) as c_int;
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        self.family.note(tracee.process);
        if tracee.process != self.main {
            return;
        }
        if self.stop.reason().is_some() && !self.clearing {
            // Its children go with it, not only when all of its memory is given back.
            self.clear();
        }
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        if tid == self.main {
            self.seen.peak = self.seen.peak.max(status_bytes(tid, "VmHWM:"));
        }
        match tracee.met.take() {
            Some(met) if met.signal == signal => {
                let later = self.fatal.as_ref().is_none_or(|known| known.order < met.order);
                if later {
                    self.fatal = Some(met);
                }
            }
            _ if signal == libc::SIGSYS && self.seen.denied.is_none() => {
                // Other threads of the process end with the same signal, but in the middle of their calls.
                let denied =
                    tracing::call(tid).filter(|call| call.is_stopped || self.terms.kills(call));
                self.seen.denied = denied.map(|call| self.terms.denied(&call));
            }
            _ if signal == libc::SIGKILL => self.killed_itself |= is_killing(tid, self.main),
            _ => {}
        }
    }

    fn ended(&mut self, waited: &Waited) {
        let was_tracee = self.tracees.remove(&waited.pid).is_some();
        self.family.remove(waited.pid);
        self.ends_to_come = self.ends_to_come.saturating_sub(1);
        if waited.pid == self.main {
            self.seen.cpu = waited.cpu;
            self.seen.ending = if libc::WIFEXITED(waited.status) {
                Ending::Exited(libc::WEXITSTATUS(waited.status))
            } else {
                Ending::Signalled(self.death(libc::WTERMSIG(waited.status)))
            };
            return self.clear();
        }
        // Somebody may have outrun the kill. To ask for the survivors after each of a thousand ends would cost
        // more than the ends; after every half of them it costs little.
        let last_tracee = was_tracee && self.tracees.is_empty();
        if self.clearing && (self.ends_to_come == 0 || last_tracee) {
            self.clear();
        }
    }

    fn death(&mut self, signal: c_int) -> Death {
        let named = Signal::from_number(signal);
        let unseen = Death { signal: named, code: None, sender: Sender::Unseen, fault: None };
        if !self.traced {
            return unseen;
        }
        match self.fatal.take() {
            Some(met) if met.signal == signal => {
                Death { signal: named, code: Some(met.code), sender: met.sender, fault: met.fault }
            }
            _ if self.killed_itself => Death { sender: Sender::Itself, ..unseen },
            _ if self.seen.denied.is_some() => Death { sender: Sender::Kernel, ..unseen },
            _ => unseen,
        }
    }

    /// Kills everybody, also those whose birth no tracer saw.
    fn clear(&mut self) {
        self.clearing = true;
        for tracee in self.tracees.values() {
            sys::send(tracee.process, libc::SIGKILL);
        }
        let in_group = self.group.map_or(0, Group::kill_all);
        let children = sys::children();
        for child in &children {
            sys::send(*child, libc::SIGKILL);
        }
        self.ends_to_come = in_group.max(children.len()).max(self.tracees.len()) / 2;
        if !self.traced && !matches!(self.seen.ending, Ending::Vanished) {
            // The rest of its process group; the number is not given away while somebody is in it.
            sys::send(-self.main, libc::SIGKILL);
        }
    }
}

/// Whether a thread is in the middle of killing its own process.
fn is_killing(tid: pid_t, process: pid_t) -> bool {
    let Some(registers) = tracing::registers(tid) else { return false };
    let [first, second, third, ..] = registers.arguments.map(|argument| argument as c_int);
    match registers.syscall {
        // Its group and everybody are the process itself, too.
        libc::SYS_kill => (first == process || first <= 0) && second == libc::SIGKILL,
        libc::SYS_tgkill => first == process && third == libc::SIGKILL,
        libc::SYS_tkill => process_of(first) == Some(process) && second == libc::SIGKILL,
        _ => false,
    }
}

/// The process that a thread belongs to, while it is there.
fn process_of(tid: pid_t) -> Option<pid_t> {
    status_field(tid, "Tgid:")?.parse().ok()
}

fn status_bytes(tid: pid_t, field: &str) -> u64 {
    let kilobytes: Option<u64> = status_field(tid, field)
        .and_then(|text| text.split(' ').next().and_then(|number| number.parse().ok()));
    kilobytes.unwrap_or(0) * 1024
}

fn status_field(tid: pid_t, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().to_owned())
}

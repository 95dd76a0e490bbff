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
//! calls run freely. A fault stays *open* while its handler runs: until the handler returns, the thread
//! is also stopped at its system calls, so that a fault which was mended is told from one that led to death.
//! Where tracing is refused there are no stops, and the ending is a number.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use libc::{c_int, pid_t};

use crate::evidence::{Death, Ending, Fault, Sender, StopReason};
use crate::isolation::StopHandle;
use crate::signals::Signal;

use super::autopsy;
use super::family::Family;
use super::sys::{self, Resume, SignalInfo, Waited};

/// Threads and processes together. Beyond this it is a bomb of threads.
const MOST_TRACEES: usize = 1024;

/// System calls within a fault's handler after which it is no last gasp any more.
const MOST_HANDLER_CALLS: u32 = 4096;

const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;

/// What was seen of a task.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) ending: Ending,
    /// Whether the program itself was ever reached.
    pub(super) executed: bool,
    /// The system call that a filter killed it for.
    pub(super) denied: Option<i64>,
    pub(super) cpu: Duration,
    /// The most memory the main process held, where it was asked for.
    pub(super) peak: u64,
    /// The most address space the main process had at its death.
    pub(super) address_space: u64,
}

pub(super) struct Watch {
    main: pid_t,
    traced: bool,
    processes: u32,
    stop: StopHandle,
    family: Arc<Family>,
    tracees: HashMap<pid_t, Tracee>,
    /// How a thread of the main process met the signal that ended it.
    fatal: Option<Met>,
    killed_itself: bool,
    seen: Watched,
    clearing: bool,
}

struct Tracee {
    process: pid_t,
    /// Its first stop is the kernel's own and not a signal.
    newborn: bool,
    fault: Option<Fault>,
    /// System calls seen since the fault, while its handler runs.
    handler_calls: Option<u32>,
    met: Option<(c_int, SignalInfo)>,
}

struct Met {
    signal: c_int,
    info: SignalInfo,
    fault: Option<Fault>,
}

impl Watch {
    pub(super) fn new(
        main: pid_t,
        traced: bool,
        processes: u32,
        stop: StopHandle,
        family: Arc<Family>,
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
        let mut tracees = HashMap::new();
        if traced {
            tracees.insert(main, Tracee::of(main, false));
        }
        Self {
            main,
            traced,
            processes,
            stop,
            family,
            tracees,
            fatal: None,
            killed_itself: false,
            seen,
            clearing: false,
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
                sys::set_trace_options(tid);
                self.seen.executed = true;
                sys::resume(tid, Resume::Freely, 0);
            }
            0 if signal == SYSCALL_STOP => self.at_syscall(tid),
            0 => self.at_signal(tid, signal),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                self.take_in(sys::event_message(tid) as pid_t);
                self.resume(tid, 0);
            }
            libc::PTRACE_EVENT_EXEC => {
                // Whichever thread called exec has the leader's number from now on.
                let former = sys::event_message(tid) as pid_t;
                if former != tid {
                    self.tracees.remove(&former);
                }
                self.tracees.insert(tid, Tracee::of(tid, false));
                self.resume(tid, 0);
            }
            libc::PTRACE_EVENT_EXIT => {
                self.at_exit(tid);
                sys::resume(tid, Resume::Freely, 0);
            }
            _ => self.resume(tid, 0),
        }
    }

    /// Lets a tracee go on in the way that its state wants.
    fn resume(&self, tid: pid_t, signal: c_int) {
        let in_handler =
            self.tracees.get(&tid).is_some_and(|tracee| tracee.handler_calls.is_some());
        sys::resume(tid, if in_handler { Resume::ToSyscall } else { Resume::Freely }, signal);
    }

    /// Knows a new thread or process from now on, whichever of its two announcements comes first.
    fn take_in(&mut self, tid: pid_t) {
        if self.tracees.contains_key(&tid) {
            return;
        }
        let process = process_of(tid);
        self.tracees.insert(tid, Tracee::of(process, true));
        let too_many = process == tid && self.family.add(tid) > self.processes as usize;
        if too_many || self.tracees.len() > MOST_TRACEES + self.processes as usize {
            self.stop.stop(StopReason::Processes);
            self.kill_everybody();
        }
        if self.clearing {
            sys::send(process, libc::SIGKILL);
        }
    }

    fn at_signal(&mut self, tid: pid_t, signal: c_int) {
        self.take_in(tid);
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        if tracee.newborn && signal == libc::SIGSTOP {
            tracee.newborn = false;
            return self.resume(tid, 0);
        }
        let Some(info) = sys::signal_info(tid) else {
            // A group stop: a traced process is not left standing, or nothing could wake it again.
            return self.resume(tid, 0);
        };
        tracee.met = Some((signal, info));
        if autopsy::is_fault(signal, &info) {
            tracee.fault = Some(autopsy::examine(tid, signal, &info));
            tracee.handler_calls = Some(0);
        }
        if tracee.process == self.main && matches!(signal, libc::SIGABRT | libc::SIGSEGV) {
            self.seen.address_space = status_bytes(tid, "VmPeak:");
        }
        self.resume(tid, signal);
    }

    /// A thread within the handler of a fault makes a system call.
    fn at_syscall(&mut self, tid: pid_t) {
        let returns = sys::registers(tid)
            .is_some_and(|registers| registers.syscall == libc::SYS_rt_sigreturn);
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            let calls = tracee.handler_calls.unwrap_or(0) + 1;
            if returns || calls > MOST_HANDLER_CALLS {
                tracee.fault = None;
                tracee.handler_calls = None;
            } else {
                tracee.handler_calls = Some(calls);
            }
        }
        self.resume(tid, 0);
    }

    /// A thread is about to end; its memory and registers are still there.
    fn at_exit(&mut self, tid: pid_t) {
        let signal = (sys::event_message(tid) & 0x7f) as c_int;
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        if tracee.process == self.main {
            if tid == self.main {
                self.seen.peak = self.seen.peak.max(status_bytes(tid, "VmHWM:"));
            }
            match tracee.met {
                Some((met, info)) if met == signal => {
                    self.fatal = Some(Met { signal, info, fault: tracee.fault.take() });
                }
                _ if signal == libc::SIGSYS => {
                    self.seen.denied = sys::registers(tid).map(|registers| registers.syscall);
                }
                _ if signal == libc::SIGKILL => {
                    self.killed_itself |= is_killing(tid, self.main);
                }
                _ => {}
            }
        }
        if tracee.process == tid {
            self.family.remove(tid);
        }
    }

    fn ended(&mut self, waited: &Waited) {
        self.tracees.remove(&waited.pid);
        self.family.remove(waited.pid);
        if waited.pid == self.main {
            self.seen.cpu = waited.cpu;
            self.seen.ending = if libc::WIFEXITED(waited.status) {
                Ending::Exited(libc::WEXITSTATUS(waited.status))
            } else {
                Ending::Signalled(self.death(libc::WTERMSIG(waited.status)))
            };
            self.kill_everybody();
        }
    }

    fn death(&mut self, signal: c_int) -> Death {
        let named = Signal::from_number(signal);
        let unseen = Death { signal: named, code: None, sender: Sender::Unseen, fault: None };
        if !self.traced {
            return unseen;
        }
        match self.fatal.take() {
            Some(met) if met.signal == signal => Death {
                signal: named,
                code: Some(met.info.code),
                sender: sender(&met.info, self.main),
                fault: met.fault,
            },
            _ if self.killed_itself => Death { sender: Sender::Itself, ..unseen },
            _ if self.seen.denied.is_some() => Death { sender: Sender::Kernel, ..unseen },
            _ => unseen,
        }
    }

    fn kill_everybody(&mut self) {
        self.clearing = true;
        for tracee in self.tracees.values() {
            sys::send(tracee.process, libc::SIGKILL);
        }
    }
}

impl Tracee {
    fn of(process: pid_t, newborn: bool) -> Self {
        Self { process, newborn, fault: None, handler_calls: None, met: None }
    }
}

fn sender(info: &SignalInfo, process: pid_t) -> Sender {
    match info.code {
        1.. => Sender::Kernel,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL if info.sender == process => Sender::Itself,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => Sender::Process(info.sender),
        // Its own timers, its own input and output.
        _ => Sender::Itself,
    }
}

/// Whether a thread is in the middle of killing its own process.
fn is_killing(tid: pid_t, process: pid_t) -> bool {
    let Some(registers) = sys::registers(tid) else { return false };
    let [target, second] = registers.arguments;
    let target = target as i32;
    match registers.syscall {
        // Its group and everybody are the process itself, too.
        libc::SYS_kill => (target == process || target <= 0) && second as c_int == libc::SIGKILL,
        libc::SYS_tgkill => target == process,
        libc::SYS_tkill => process_of(target) == process,
        libc::SYS_pidfd_send_signal => second as c_int == libc::SIGKILL,
        _ => false,
    }
}

/// The process that a thread belongs to; the thread itself where it is gone already.
fn process_of(tid: pid_t) -> pid_t {
    status_field(tid, "Tgid:").and_then(|text| text.parse().ok()).unwrap_or(tid)
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

//! The system call filter: which calls a guest may make, by its profile.
//!
//! `table` is the law, as data: its parts are `launch`, `files`, `ordinary` (with `arguments`), `processes`, `sockets`
//! and `dangers`. `rules` reads it naively, `program` makes of it what the kernel runs, and a test compares both for every
//! number and the arguments at every border. `numbers` has the names.
//!
//! A call that is fatal ends its process without a signal that could be handled; the tracer reads it from the
//! registers. A filter can't count, so the second exec is the tracer's to see.

mod arguments;
mod dangers;
mod files;
mod launch;
mod numbers;
mod ordinary;
mod processes;
mod program;
mod rules;
mod sockets;
mod table;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use crate::evidence::{DeniedSyscall, Remedy};
use crate::permissions::{Network, Permissions, Profile};

use super::tracing::Call;
use numbers::Machine;
use rules::{Answer, Rulings, X32};

pub(super) use program::Program;
pub(super) use rules::{Launcher, Terms};

/// The kernel's number for programs of 32-bit x86, whose calls a 64-bit program can make, too.
const I386: u32 = 0x4000_0003;

impl Terms {
    /// The terms of a guest with these grants and perhaps a scratch, whose memory is counted by a group or not.
    pub(super) fn of(permissions: &Permissions, has_scratch: bool, is_counted: bool) -> Self {
        let (profile, net) = (permissions.profile, permissions.net);
        let launcher = Launcher::Inside { traced: false, forks: false };
        let has_files = has_scratch || !permissions.dirs.is_empty();
        Self { profile, net, launcher, is_counted, has_files }
    }

    /// The same, with SIGKILL left to a tracer, who hears of some questions, too, or not.
    pub(super) fn with_tracer(self, traced: bool) -> Self {
        Self { launcher: Launcher::Inside { traced, forks: false }, ..self }
    }

    /// The same for a guest that is warmed up and forked.
    pub(super) fn with_forks(self) -> Self {
        match self.launcher {
            Launcher::Inside { traced, .. } => {
                Self { launcher: Launcher::Inside { traced, forks: true }, ..self }
            }
            Launcher::Outside => self,
        }
    }

    /// What a fork of a warm guest puts on to be under these terms.
    pub(super) fn last_filter(self) -> Program {
        Program::over_another(&self.rulings().only_beyond(&self.with_forks().rulings()))
    }

    /// The filter. There are not many terms, and it is put together once for each: that takes longer than most steps of a cage.
    pub(super) fn program(self) -> Arc<Program> {
        static MADE: Mutex<Vec<(Terms, Arc<Program>)>> = Mutex::new(Vec::new());
        // Each change is one call on a std type, so a panic elsewhere leaves nothing half done.
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, program)) = made.iter().find(|(terms, _)| *terms == self) {
            return Arc::clone(program);
        }
        let program = Arc::new(Program::new(&self.rulings()));
        made.push((self, Arc::clone(&program)));
        program
    }

    /// Whether a guest may have other processes than its first, and execute other programs.
    pub(super) fn may_have_processes(self) -> bool {
        self.profile == Profile::Process
    }

    /// What a call was for which a process was killed, and what would have allowed it.
    pub(super) fn denied(self, call: &Call) -> DeniedSyscall {
        let arguments = Some(call.arguments);
        let number = u32::try_from(call.number).unwrap_or(u32::MAX);
        let foreign = match call.machine {
            Some(I386) => Some("i386"),
            _ if Machine::HERE.has_x32() && number >= X32 => Some("x32"),
            _ => None,
        };
        if let Some(abi) = foreign {
            let denied = DeniedSyscall::numbered(call.number);
            return DeniedSyscall { abi: Some(abi), arguments, ..denied };
        }
        let name = Machine::HERE.name(number);
        DeniedSyscall {
            number: call.number,
            name,
            abi: None,
            // These two have none.
            arguments: arguments.filter(|_| !matches!(name, Some("fork" | "vfork"))),
            remedy: self.remedy(number, &call.arguments),
        }
    }

    /// An exec after the first. What it was given is gone with the program that gave it.
    pub(super) fn denied_exec(self) -> DeniedSyscall {
        DeniedSyscall {
            name: Some("execve"),
            remedy: Some(Remedy::Profile(Profile::Process)),
            ..DeniedSyscall::numbered(libc::SYS_execve)
        }
    }

    /// Whether a call is one that its filter kills for.
    pub(super) fn kills(self, call: &Call) -> bool {
        let number = u32::try_from(call.number).unwrap_or(u32::MAX);
        self.denied(call).abi.is_some()
            || self.rulings().answer(number, &call.arguments) == Answer::Kill
    }

    /// The least change of the grants with which the call would have been made.
    fn remedy(self, number: u32, arguments: &[u64; 6]) -> Option<Remedy> {
        // A profile that is for one thing before the one that has most.
        const ORDER: [Profile; 5] =
            [Profile::Pure, Profile::Compute, Profile::Files, Profile::Jit, Profile::Process];
        let allows = |terms: Self| terms.rulings().answer(number, arguments) == Answer::Allow;
        let profile = ORDER.into_iter().find(|profile| allows(Self { profile: *profile, ..self }));
        let network = || allows(Self { net: Network::Host, ..self }).then_some(Remedy::Network);
        profile.map(Remedy::Profile).or_else(network)
    }

    fn rulings(self) -> Rulings {
        Rulings::new(Machine::HERE, self)
    }
}

//! Signals: the ones that mean something to the judge by name, and the names of all.

use std::fmt;

/// A signal of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGILL: bytes that are no instruction.
    Ill,
    /// SIGTRAP: a breakpoint.
    Trap,
    /// SIGABRT: the process aborts.
    Abrt,
    /// SIGBUS: memory that is mapped and not there.
    Bus,
    /// SIGFPE: arithmetic.
    Fpe,
    /// SIGKILL: the end, without a word.
    Kill,
    /// SIGSEGV: memory that is not mapped so.
    Segv,
    /// SIGXCPU: the processor-time limit of the kernel.
    Xcpu,
    /// SIGXFSZ: the file-size limit of the kernel.
    Xfsz,
    /// SIGSYS: a system call that a filter forbids.
    Sys,
    /// Any other, by number.
    Other(i32),
}

/// Every signal that has a variant, with its number on all architectures we build for.
const KNOWN: [(Signal, i32); 10] = [
    (Signal::Ill, 4),
    (Signal::Trap, 5),
    (Signal::Abrt, 6),
    (Signal::Bus, 7),
    (Signal::Fpe, 8),
    (Signal::Kill, 9),
    (Signal::Segv, 11),
    (Signal::Xcpu, 24),
    (Signal::Xfsz, 25),
    (Signal::Sys, 31),
];

impl Signal {
    /// The signal with this number.
    pub fn from_number(number: i32) -> Self {
        KNOWN
            .iter()
            .find(|(_, known)| *known == number)
            .map_or(Self::Other(number), |(signal, _)| *signal)
    }

    /// Its number.
    pub fn number(self) -> i32 {
        match self {
            Self::Other(number) => number,
            known => {
                KNOWN.iter().find(|(signal, _)| *signal == known).map_or(0, |(_, number)| *number)
            }
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number();
        match NAMES.iter().find(|(known, _)| *known == number) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "signal {number}"),
        }
    }
}

const NAMES: [(i32, &str); 31] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_signal_and_back() {
        for number in 1..=64 {
            assert_eq!(Signal::from_number(number).number(), number);
        }
        assert_eq!(Signal::Segv.to_string(), "SIGSEGV");
        assert_eq!(Signal::from_number(15).to_string(), "SIGTERM");
        assert_eq!(Signal::from_number(40).to_string(), "signal 40");
    }
}

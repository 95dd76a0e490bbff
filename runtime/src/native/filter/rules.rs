//! What a rule of the table is made of, and what the table says of one call, read naively.
//!
//! A call's cases are those of all rules that name it and hold for the terms, in the order of the table, up to the
//! first one without tests. The first case whose tests all pass answers; a call without any gets ENOSYS, which is
//! what an older kernel says, and what libraries have a second way for.

use std::collections::HashMap;

use crate::permissions::{Network, Profile};

use super::numbers::Machine;
use super::table::{ALLOW, TABLE};

/// What a system call gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Allow,
    /// This error.
    Fail(i32),
    /// Its process is killed. No handler sees it, and the tracer reads the call from the registers.
    Kill,
    /// The tracer decides. Where there is none, the call gets ENOSYS.
    Trace,
}

/// A test of one argument, by its number. Registers are wider than most arguments, and the kernel looks at the
/// lower half only, so we do, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Is(usize, u32),
    OneOf(usize, &'static [u32]),
    /// These bits of it, and their value.
    Bits(usize, u32, u32),
    /// All of it is zero: a pointer.
    Null(usize),
}

/// An answer, if all tests pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) tests: &'static [Test],
    pub(super) answer: Answer,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Rule {
    /// As it stands in the documentation.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for the test that writes the documentation")
    )]
    pub(super) title: &'static str,
    /// Names of calls.
    pub(super) calls: &'static str,
    pub(super) whom: Whom,
    pub(super) cases: &'static [Case],
}

/// For whom a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Everybody,
    These(&'static [Profile]),
    /// These, where the network was granted.
    Networked(&'static [Profile]),
    /// A launcher's child before its exec, and with it every guest: the filter can't tell them apart.
    Launched,
    /// These, where something was granted that they could lock.
    Locking(&'static [Profile]),
    /// These, where a group counts what they hold.
    Counted(&'static [Profile]),
    /// Where there is a tracer, who answers for kills.
    Traced,
    /// A guest that was warmed up, until a fork of it has put on the last filter.
    Warm,
}

/// Where a filter is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::native) enum Launcher {
    /// In the guest itself, right before its exec: the law without exceptions, as the documentation tells it.
    #[cfg_attr(not(test), expect(dead_code, reason = "every filter is put on in a launcher"))]
    Outside,
    /// In a launcher, whose children inherit it.
    Inside {
        /// Whether there is one, and SIGKILL is left to him: the first process of a namespace can't kill itself.
        traced: bool,
        /// Whether guests are warmed up and forked.
        forks: bool,
    },
}

/// All that a filter depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::native) struct Terms {
    pub(in crate::native) profile: Profile,
    pub(in crate::native) net: Network,
    pub(in crate::native) launcher: Launcher,
    /// Whether a group counts its memory: what is in no address space, too.
    pub(in crate::native) is_counted: bool,
    /// Whether it finds files that are not the system's.
    pub(in crate::native) has_files: bool,
}

/// The table for some terms on some machine: the cases of each call, by number.
pub(super) struct Rulings {
    machine: Machine,
    cases: Vec<Vec<&'static Case>>,
}

/// Numbers from here on are of the other ABI of x86-64, x32.
pub(super) const X32: u32 = 0x4000_0000;

/// What a call gets of which no case is true.
pub(super) const UNKNOWN: Answer = Answer::Fail(libc::ENOSYS);

impl Rulings {
    pub(super) fn new(machine: Machine, terms: Terms) -> Self {
        let known: HashMap<&str, u32> =
            machine.calls().map(|(number, name)| (name, number)).collect();
        let most = known.values().max().copied().unwrap_or_default();
        let mut cases: Vec<Vec<&'static Case>> = vec![Vec::new(); most as usize + 1];
        for rule in TABLE.iter().flat_map(|part| *part).filter(|rule| rule.whom.includes(terms)) {
            for number in rule.calls.split_whitespace().filter_map(|name| known.get(name)) {
                let found = &mut cases[*number as usize];
                if !found.iter().any(|case| case.tests.is_empty()) {
                    found.extend(rule.cases);
                }
            }
        }
        for found in cases.iter_mut() {
            if let Some(end) = found.iter().position(|case| case.tests.is_empty()) {
                found.truncate(end + 1);
            }
        }
        Self { machine, cases }
    }

    /// Only what another table answers otherwise; all else is allowed. Whoever has both answers as this one does.
    pub(super) fn only_beyond(mut self, other: &Self) -> Self {
        for (own, others) in self.cases.iter_mut().zip(&other.cases) {
            if own == others {
                *own = ALLOW.iter().collect();
            }
        }
        self
    }

    pub(super) fn machine(&self) -> Machine {
        self.machine
    }

    /// The cases of every call up to the last known one.
    pub(super) fn cases(&self) -> &[Vec<&'static Case>] {
        &self.cases
    }

    /// What a call gets.
    pub(super) fn answer(&self, number: u32, arguments: &[u64; 6]) -> Answer {
        if self.machine.has_x32() && number >= X32 && number != u32::MAX {
            return Answer::Kill;
        }
        let cases = self.cases.get(number as usize).map_or(&[][..], Vec::as_slice);
        let case = cases.iter().find(|case| case.tests.iter().all(|test| test.passes(arguments)));
        case.map_or(UNKNOWN, |case| case.answer)
    }
}

impl Test {
    fn passes(&self, arguments: &[u64; 6]) -> bool {
        let low = |argument: usize| arguments[argument] as u32;
        match *self {
            Self::Is(argument, value) => low(argument) == value,
            Self::OneOf(argument, values) => values.contains(&low(argument)),
            Self::Bits(argument, mask, value) => low(argument) & mask == value,
            Self::Null(argument) => arguments[argument] == 0,
        }
    }
}

impl Whom {
    fn includes(self, terms: Terms) -> bool {
        match self {
            Self::Everybody => true,
            Self::These(profiles) => profiles.contains(&terms.profile),
            Self::Networked(profiles) => {
                profiles.contains(&terms.profile) && terms.net == Network::Host
            }
            Self::Launched => matches!(terms.launcher, Launcher::Inside { .. }),
            Self::Locking(profiles) => profiles.contains(&terms.profile) && terms.has_files,
            Self::Counted(profiles) => profiles.contains(&terms.profile) && terms.is_counted,
            Self::Traced => {
                matches!(terms.launcher, Launcher::Inside { traced: true, .. })
            }
            Self::Warm => matches!(terms.launcher, Launcher::Inside { forks: true, .. }),
        }
    }
}

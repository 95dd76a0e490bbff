//! Other processes, and the signals that they send each other.

use super::arguments::FOREIGN_BIRTH;
use super::launch::ALL_PROCESSES;
use super::rules::{Answer, Case, Rule, Test, Whom};
use super::table::{ALLOW, EPERM, FORKING, KILL, always};

use Test::{Bits, Is};

/// Set in a group's number.
const NEGATIVE: u32 = 1 << 31;

const PARENTS_CHILD: u32 = libc::CLONE_PARENT as u32;

/// A child of its own, in the namespaces it is in, where its tracer sees it.
const FORK: &[Case] = &[
    Case { tests: &[Bits(0, FOREIGN_BIRTH | PARENTS_CHILD, 0)], answer: Answer::Allow },
    always(Answer::Kill),
];

/// Itself, by its number or as its group: `raise` and `abort`. Which numbers are its own a filter can't know that
/// is inherited, so strangers have to be out of reach by other walls; but groups and crowds are never itself.
const SIGNAL_ONE: &[Case] =
    &[Case { tests: &[Bits(0, NEGATIVE, 0)], answer: Answer::Allow }, always(Answer::Kill)];

/// The same, and groups.
const SIGNAL_GROUPS: &[Case] =
    &[Case { tests: &[Is(0, ALL_PROCESSES)], answer: Answer::Kill }, always(Answer::Allow)];

pub(super) const RULES: &[Rule] = &[
    Rule { title: "starting processes", calls: "fork vfork", whom: FORKING, cases: ALLOW },
    Rule { title: "starting processes", calls: "clone", whom: FORKING, cases: FORK },
    Rule {
        title: "starting processes",
        calls: "fork vfork clone",
        whom: Whom::Everybody,
        cases: KILL,
    },
    Rule {
        title: "executing a program (only the tracer can tell the first exec from a second one, \
                which it kills unless the profile is `process`)",
        calls: "execve execveat",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
    Rule {
        title: "waiting for processes",
        calls: "wait4 waitid",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
    Rule {
        title: "process groups and sessions",
        calls: "setpgid setsid",
        whom: FORKING,
        cases: ALLOW,
    },
    Rule {
        title: "process groups and sessions",
        calls: "setpgid setsid",
        whom: Whom::Everybody,
        cases: EPERM,
    },
    Rule {
        title: "descriptors of processes",
        calls: "pidfd_open pidfd_send_signal",
        whom: FORKING,
        cases: ALLOW,
    },
    Rule {
        title: "sending signals (to all processes: never)",
        calls: "kill",
        whom: FORKING,
        cases: SIGNAL_GROUPS,
    },
    Rule {
        title: "sending signals (to all processes: never)",
        calls: "kill",
        whom: Whom::Everybody,
        cases: SIGNAL_ONE,
    },
    Rule {
        title: "sending signals to threads",
        calls: "tgkill tkill rt_sigqueueinfo rt_tgsigqueueinfo",
        whom: Whom::Everybody,
        cases: ALLOW,
    },
];

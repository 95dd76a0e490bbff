//! Launch exceptions: what a launcher's child does between its birth and its exec.
//!
//! A filter that is installed once, in a launcher, holds for everything the launcher starts. A filter can't tell the
//! launcher from its guests, so each guest has these calls, too; each stands here in the form by which a guest
//! gains nothing. What every program has anyway (read, close, dup2, sigaction, exit) needs no exception.

use super::rules::{Answer, Case, Rule, Test, Whom};
use super::table::ALLOW;

use Test::{Is, OneOf};

/// A child that borrows the launcher's memory until its exec, and that the launcher's parent waits for.
const BIRTH: u32 = (libc::CLONE_VM
    | libc::CLONE_VFORK
    | libc::CLONE_PARENT
    | libc::CLONE_PARENT_SETTID
    | libc::SIGCHLD) as u32;

/// The kernel's number for asking to be traced. (C libraries differ in its type.)
const TRACE_ME: u32 = 0;

/// A fork as C libraries make it.
const FORK: u32 = (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD) as u32;

const SIGKILL: u32 = libc::SIGKILL as u32;

/// Everybody but itself.
pub(super) const ALL_PROCESSES: u32 = u32::MAX;

const fn allow(tests: &'static [Test]) -> Case {
    Case { tests, answer: Answer::Allow }
}

pub(super) const EXCEPTIONS: &[Rule] = &[
    Rule {
        title: "launching: SIGKILL, which the tracer answers for",
        calls: "kill tkill pidfd_send_signal rt_sigqueueinfo",
        whom: Whom::Traced,
        // The first process of a namespace is deaf to its own SIGKILL; the tracer kills it instead. But to all
        // processes nobody may send anything.
        cases: &[
            Case { tests: &[Is(0, ALL_PROCESSES)], answer: Answer::Kill },
            Case { tests: &[Is(1, SIGKILL)], answer: Answer::Trace },
        ],
    },
    Rule {
        title: "launching: SIGKILL for a thread",
        calls: "tgkill rt_tgsigqueueinfo",
        whom: Whom::Traced,
        cases: &[Case { tests: &[Is(2, SIGKILL)], answer: Answer::Trace }],
    },
    Rule {
        title: "launching: which processors, which the tracer hears of",
        calls: "sched_getaffinity",
        whom: Whom::Traced,
        // For a moment after its birth a guest is held at one, and it is let go before it hears of that.
        cases: &[Case { tests: &[], answer: Answer::Trace }],
    },
    Rule {
        title: "launching: orders",
        calls: "recvmsg sendmsg",
        whom: Whom::Launched,
        // How the launcher gets descriptors and orders. A guest has one socket, its channel, and its host takes no
        // descriptors from it.
        cases: ALLOW,
    },
    Rule {
        title: "launching: the birth",
        calls: "clone",
        whom: Whom::Launched,
        // A guest's child of this kind is a tracee like any other, and counted; the limit of processes holds.
        cases: &[allow(&[OneOf(0, &[BIRTH, BIRTH | libc::CLONE_NEWPID as u32])])],
    },
    Rule {
        title: "launching: limits",
        calls: "setrlimit",
        whom: Whom::Launched,
        // Hard limits can only be lowered, since the launcher has given up the capability to raise them.
        cases: ALLOW,
    },
    Rule {
        title: "launching: limits, the newer call",
        calls: "prlimit64",
        whom: Whom::Launched,
        // As before, and its own only.
        cases: &[allow(&[Is(0, 0)])],
    },
    Rule {
        title: "launching: a process group of its own",
        calls: "setpgid",
        whom: Whom::Launched,
        // A guest leads its group already.
        cases: &[allow(&[Is(0, 0), Is(1, 0)])],
    },
    Rule {
        title: "launching: privileges, to be given up",
        calls: "capset",
        whom: Whom::Launched,
        // Nobody gains a capability by it; there are none left to a guest.
        cases: ALLOW,
    },
    Rule {
        title: "launching: settings",
        calls: "prctl",
        whom: Whom::Launched,
        cases: &[
            // To die with the launcher's parent. Only SIGKILL: to ask for none would be the way to live on.
            allow(&[Is(0, libc::PR_SET_PDEATHSIG as u32), Is(1, SIGKILL)]),
            // A switch that can only be turned on.
            allow(&[Is(0, libc::PR_SET_NO_NEW_PRIVS as u32)]),
            // Clears what is empty in a guest.
            allow(&[
                Is(0, libc::PR_CAP_AMBIENT as u32),
                Is(1, libc::PR_CAP_AMBIENT_CLEAR_ALL as u32),
            ]),
        ],
    },
    Rule {
        title: "launching: asking to be traced",
        calls: "ptrace",
        whom: Whom::Launched,
        // A guest is traced already, and gets an error.
        cases: &[allow(&[Is(0, TRACE_ME)])],
    },
    Rule {
        title: "launching: the task's own view of files",
        calls: "landlock_restrict_self",
        whom: Whom::Launched,
        // It needs a set of rules, which a guest can't make, and rules only ever take away.
        cases: ALLOW,
    },
    Rule {
        title: "warm: forks, into a namespace for processes",
        calls: "fork",
        whom: Whom::Warm,
        // Each is seen by the tracer; one that was not ordered is killed.
        cases: ALLOW,
    },
    Rule {
        title: "warm: forks, into a namespace for processes",
        calls: "clone",
        whom: Whom::Warm,
        cases: &[allow(&[OneOf(0, &[FORK, libc::SIGCHLD as u32])])],
    },
    Rule {
        title: "warm: the namespace of a fork",
        calls: "unshare",
        whom: Whom::Warm,
        cases: &[allow(&[Is(0, libc::CLONE_NEWPID as u32)])],
    },
    Rule {
        title: "warm: back from the namespace of a fork",
        calls: "setns",
        whom: Whom::Warm,
        cases: &[allow(&[Is(1, libc::CLONE_NEWPID as u32)])],
    },
    Rule {
        title: "warm: where to go back to",
        calls: "pidfd_open",
        whom: Whom::Warm,
        cases: ALLOW,
    },
    Rule {
        title: "warm: the last filter",
        calls: "seccomp",
        whom: Whom::Warm,
        // Filters only ever take away.
        cases: &[allow(&[Is(0, libc::SECCOMP_SET_MODE_FILTER), Is(1, 0)])],
    },
];

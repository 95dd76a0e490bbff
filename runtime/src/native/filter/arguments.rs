//! Calls of which only some are ordinary: which arguments make them so.

use super::rules::{Answer, Case, Test};
use super::table::always;

use Test::{Bits, Is, Null, OneOf};

/// Of `mmap` and `mprotect`.
const WRITE: u32 = libc::PROT_WRITE as u32;
const EXECUTE: u32 = libc::PROT_EXEC as u32;
const ANONYMOUS: u32 = libc::MAP_ANONYMOUS as u32;

/// A mark for code that is jumped to in order, which loaders on aarch64 set on code that is mapped already. They
/// can do without.
const BTI: u32 = 0x10;

pub(super) const MAP: &[Case] = &[
    Case { tests: &[Bits(2, EXECUTE, 0)], answer: Answer::Allow },
    // Code of a file: how libraries are loaded.
    Case {
        tests: &[Bits(2, EXECUTE | WRITE, EXECUTE), Bits(3, ANONYMOUS, 0)],
        answer: Answer::Allow,
    },
    always(Answer::Kill),
];

pub(super) const PROTECT: &[Case] = &[
    Case { tests: &[Bits(2, EXECUTE, 0)], answer: Answer::Allow },
    Case { tests: &[Bits(2, BTI, BTI)], answer: Answer::Fail(libc::EACCES) },
    always(Answer::Kill),
];

/// What allocators and collectors say. The newest two make guards of stacks.
pub(super) const ADVICE: &[Case] = &[
    Case {
        tests: &[OneOf(
            2,
            &[0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 102, 103],
        )],
        answer: Answer::Allow,
    },
    // It tells the kernel that memory of this machine is broken.
    Case {
        tests: &[OneOf(2, &[libc::MADV_HWPOISON as u32, libc::MADV_SOFT_OFFLINE as u32])],
        answer: Answer::Kill,
    },
    always(Answer::Fail(libc::EINVAL)),
];

/// New namespaces, and births that no tracer sees.
pub(super) const FOREIGN_BIRTH: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_UNTRACED) as u32;

const THREAD: u32 = libc::CLONE_THREAD as u32;

pub(super) const THREADS_ONLY: &[Case] =
    &[Case { tests: &[Bits(0, FOREIGN_BIRTH | THREAD, THREAD)], answer: Answer::Allow }];

/// Its terminal's size and settings, how much there is to read, and two marks of a descriptor.
pub(super) const ASK_DEVICE: &[Case] = &[
    Case {
        tests: &[OneOf(
            1,
            &[
                libc::TCGETS as u32,
                libc::TCGETS2 as u32,
                libc::TIOCGWINSZ as u32,
                libc::TIOCGPGRP as u32,
                libc::FIONREAD as u32,
                libc::FIONBIO as u32,
                libc::FIOCLEX as u32,
                libc::FIONCLEX as u32,
            ],
        )],
        answer: Answer::Allow,
    },
    // Typing on somebody's terminal.
    Case {
        tests: &[OneOf(1, &[libc::TIOCSTI as u32, libc::TIOCLINUX as u32])],
        answer: Answer::Kill,
    },
    always(Answer::Fail(libc::ENOTTY)),
];

/// Commands of `fcntl`: advisory locks, of a process or of an open file.
const LOCK_COMMANDS: &[u32] = &[
    libc::F_GETLK as u32,
    libc::F_SETLK as u32,
    libc::F_SETLKW as u32,
    libc::F_OFD_GETLK as u32,
    libc::F_OFD_SETLK as u32,
    libc::F_OFD_SETLKW as u32,
];

/// Locks of files.
pub(super) const LOCKS: &[Case] =
    &[Case { tests: &[OneOf(1, LOCK_COMMANDS)], answer: Answer::Allow }];

/// Copies and marks of a descriptor. Who gets signals or leases for it is the host's business.
pub(super) const DESCRIPTOR: &[Case] = &[
    Case {
        tests: &[OneOf(
            1,
            &[
                libc::F_DUPFD as u32,
                libc::F_DUPFD_CLOEXEC as u32,
                libc::F_GETFD as u32,
                libc::F_SETFD as u32,
                libc::F_GETFL as u32,
                libc::F_SETFL as u32,
                libc::F_GETPIPE_SZ as u32,
                libc::F_ADD_SEALS as u32,
                libc::F_GET_SEALS as u32,
            ],
        )],
        answer: Answer::Allow,
    },
    // Locks of files that others have open, too; the profile `files` has them.
    Case { tests: &[OneOf(1, LOCK_COMMANDS)], answer: Answer::Fail(libc::ENOLCK) },
    always(Answer::Fail(libc::EINVAL)),
];

const GET_SPECULATION: u32 = 52;

/// What libraries on aarch64 ask at their start, and what resets a process's own keys.
const SVE_GET_VECTOR_LENGTH: u32 = 51;
const PAC_RESET_KEYS: u32 = 54;
const GET_TAGGED_ADDRESSES: u32 = 56;

/// Names of threads and of memory, and questions. Nothing that would hide it from its tracer or outlive its host.
pub(super) const SELF_SETTINGS: &[Case] = &[
    Case {
        tests: &[OneOf(
            0,
            &[
                libc::PR_SET_NAME as u32,
                libc::PR_SET_VMA as u32,
                libc::PR_SET_NO_NEW_PRIVS as u32,
                libc::PR_SET_MDWE as u32,
                libc::PR_SET_THP_DISABLE as u32,
                libc::PR_GET_NAME as u32,
                libc::PR_GET_PDEATHSIG as u32,
                libc::PR_GET_DUMPABLE as u32,
                libc::PR_GET_KEEPCAPS as u32,
                libc::PR_GET_SECCOMP as u32,
                libc::PR_GET_SECUREBITS as u32,
                libc::PR_GET_TIMERSLACK as u32,
                libc::PR_GET_NO_NEW_PRIVS as u32,
                libc::PR_GET_TID_ADDRESS as u32,
                libc::PR_GET_THP_DISABLE as u32,
                libc::PR_GET_MDWE as u32,
                GET_SPECULATION,
                libc::PR_CAPBSET_READ as u32,
                SVE_GET_VECTOR_LENGTH,
                PAC_RESET_KEYS,
                GET_TAGGED_ADDRESSES,
            ],
        )],
        answer: Answer::Allow,
    },
    Case {
        tests: &[Is(0, libc::PR_CAP_AMBIENT as u32), Is(1, libc::PR_CAP_AMBIENT_IS_SET as u32)],
        answer: Answer::Allow,
    },
    // A filter of its own could kill it in our name, or hide its calls behind stops of its own making.
    Case { tests: &[Is(0, libc::PR_SET_SECCOMP as u32)], answer: Answer::Kill },
    Case {
        tests: &[OneOf(
            0,
            &[
                libc::PR_SET_PDEATHSIG as u32,
                libc::PR_SET_DUMPABLE as u32,
                libc::PR_SET_PTRACER as u32,
                libc::PR_SET_MM as u32,
                libc::PR_SET_CHILD_SUBREAPER as u32,
                libc::PR_SET_SECUREBITS as u32,
                libc::PR_CAPBSET_DROP as u32,
            ],
        )],
        answer: Answer::Fail(libc::EPERM),
    },
    always(Answer::Fail(libc::EINVAL)),
];

/// Where thread-local memory begins, and the large registers of newer processors.
pub(super) const REGISTERS: &[Case] = &[
    Case {
        tests: &[OneOf(0, &[0x1001, 0x1002, 0x1003, 0x1004, 0x1021, 0x1022, 0x1023])],
        answer: Answer::Allow,
    },
    always(Answer::Fail(libc::EINVAL)),
];

/// The kernel's number for the limit of processor time. (C libraries differ in its type.)
const PROCESSOR_TIME: u32 = 0;

/// Its own limits, to be read. That of processor time may be set, too, as shells do: it is the host that keeps the
/// real one. Of all others root could make more than it was given.
pub(super) const READ_LIMITS: &[Case] = &[
    Case { tests: &[Is(0, 0), Null(2)], answer: Answer::Allow },
    Case { tests: &[Is(0, 0), Is(1, PROCESSOR_TIME)], answer: Answer::Allow },
    always(Answer::Fail(libc::EPERM)),
];

/// Asking for it, and the ordinary one. The others turn protections off.
pub(super) const ORDINARY_PERSONALITY: &[Case] =
    &[Case { tests: &[OneOf(0, &[0, u32::MAX])], answer: Answer::Allow }, always(Answer::Kill)];

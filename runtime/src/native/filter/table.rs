//! The table: which system call gets what, under which profile. The first part that speaks of a call counts.
//!
//! Four answers, for four kinds of calls. What a profile is for is allowed. What a program may well ask for without
//! needing it gets an error that it can live with, and that says what is the case. What only makes sense if it is
//! granted is fatal, and so is what nobody asks for by accident: its process is killed, and the report names the
//! call. What is in no line is unknown, newer than the table, or not needed by anybody here: ENOSYS, which is what
//! an older kernel says, so that libraries take another way.

use crate::permissions::Profile;

use super::rules::{Answer, Case, Rule, Whom};
use super::{dangers, files, launch, ordinary, processes, sockets};

/// All of it. Exceptions come first, and what is refused to all comes last.
pub(super) const TABLE: &[&[Rule]] = &[
    launch::EXCEPTIONS,
    files::RULES,
    ordinary::RULES,
    processes::RULES,
    sockets::RULES,
    dangers::RULES,
];

/// All profiles that may open files.
pub(super) const OPENING: Whom =
    Whom::These(&[Profile::Compute, Profile::Files, Profile::Process, Profile::Jit]);

/// The profiles that may change files.
pub(super) const CHANGING: Whom = Whom::These(&[Profile::Files, Profile::Process]);

/// The same, where they find files that are not the system's: who locks one of those makes programs outside wait.
pub(super) const LOCKING: Whom = Whom::Locking(&[Profile::Files, Profile::Process]);

/// The profiles that may say how large a file is: those, and who may make files that are in memory only.
pub(super) const SIZING: Whom = Whom::These(&[Profile::Files, Profile::Process, Profile::Jit]);

/// The profile that may have processes.
pub(super) const FORKING: Whom = Whom::These(&[Profile::Process]);

/// The profiles that may execute what they have written to memory. What may execute other programs may execute one
/// that does so; to refuse it the same would only break that one.
pub(super) const GENERATING: Whom = Whom::These(&[Profile::Process, Profile::Jit]);

pub(super) const ALLOW: &[Case] = &[always(Answer::Allow)];
pub(super) const KILL: &[Case] = &[always(Answer::Kill)];
pub(super) const EPERM: &[Case] = &[always(Answer::Fail(libc::EPERM))];
pub(super) const EACCES: &[Case] = &[always(Answer::Fail(libc::EACCES))];
pub(super) const ENOSYS: &[Case] = &[always(Answer::Fail(libc::ENOSYS))];

/// The answer where no earlier case gave one.
pub(super) const fn always(answer: Answer) -> Case {
    Case { tests: &[], answer }
}

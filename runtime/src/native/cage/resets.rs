//! What a process has from whoever started it, and how that is set back: the table of resets.
//!
//! What stands in [`RESETS`] is done by the child that builds a cage, first of all, and its tasks inherit it. Three more
//! can't be done so early, and each has its place: **descriptors** are put where they belong and the others closed, of the
//! keeper in `enter.rs` and of each task in `keeper/launch.rs`; the **environment** is none at the keeper's exec in
//! `enter.rs`, and what `plan.rs` was granted at a task's; each task begins a **process group** in `keeper/launch.rs`.
//! `tests/suite/resets.rs` has a test for each of all of them, with a host that has something to be set back.
//!
//! # Safety
//!
//! As in `enter.rs`: one system call after another, in a child that shares the host's memory.
#![expect(unsafe_code, reason = "system calls in a child that shares the host's memory")]

use libc::c_int;
use nix::errno::Errno;

use crate::finding::Probe;

use super::enter::checked;

/// One of them.
pub(in crate::native) struct Reset {
    /// What a probe of it is called.
    pub(in crate::native) probe: Probe,
    act: fn() -> Result<(), c_int>,
    /// Whether there is no process without it. Of the others, nothing a filter doesn't forbid anyway is left.
    is_needed: bool,
    holds: fn() -> bool,
}

/// In this order: signals are let in when no handler of the host's is left to take them.
pub(in crate::native) const RESETS: [Reset; 6] = [
    Reset {
        probe: Probe::SignalDispositions,
        act: take_default_actions,
        is_needed: false,
        holds: has_default_actions,
    },
    Reset { probe: Probe::SignalMask, act: block_nothing, is_needed: true, holds: blocks_nothing },
    Reset { probe: Probe::Umask, act: mask_files, is_needed: true, holds: masks_files },
    Reset { probe: Probe::Session, act: begin_session, is_needed: true, holds: leads_session },
    Reset {
        probe: Probe::Personality,
        act: take_ordinary_personality,
        is_needed: false,
        holds: has_ordinary_personality,
    },
    Reset { probe: Probe::Keyring, act: take_empty_keyring, is_needed: false, holds: has_no_keys },
];

const MASK: libc::mode_t = 0o022;

/// All of them.
pub(super) fn begin_anew() -> Result<(), c_int> {
    for reset in &RESETS {
        match (reset.act)() {
            Err(errno) if reset.is_needed => return Err(errno),
            _ => {}
        }
    }
    Ok(())
}

impl Reset {
    /// Does it, and looks whether it is done. Without a number it had no effect.
    pub(in crate::native) fn prove(&self) -> Result<(), Option<c_int>> {
        if self.probe == Probe::SignalMask {
            // What waits behind the mask must not find a handler of the host's.
            take_default_actions().map_err(Some)?;
        }
        (self.act)().map_err(Some)?;
        if (self.holds)() { Ok(()) } else { Err(None) }
    }
}

/// Those that a program can have any other action for.
fn signals() -> impl Iterator<Item = c_int> {
    (1..=64).filter(|signal| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP | 32 | 33))
}

fn take_default_actions() -> Result<(), c_int> {
    for signal in signals() {
        // SAFETY: sets the default action. The table of actions is a copy: clone was not told to share it.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(Errno::last_raw());
        }
    }
    Ok(())
}

fn has_default_actions() -> bool {
    signals().all(|signal| {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: fills the action, and changes none.
        let answer = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: it was filled, for the call succeeded.
        answer == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_DFL
    })
}

fn block_nothing() -> Result<(), c_int> {
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: fills the set it is given.
    checked(unsafe { libc::sigemptyset(none.as_mut_ptr()) })?;
    let null = std::ptr::null_mut();
    // SAFETY: the set is filled; the mask of this child alone changes.
    checked(unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), null) })
}

fn blocks_nothing() -> bool {
    let mut mask = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: fills the set, and changes nothing.
    let asked =
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr()) } == 0;
    // SAFETY: the set is filled, for the call succeeded; the signals are some.
    asked && signals().all(|signal| unsafe { libc::sigismember(mask.as_ptr(), signal) } == 0)
}

/// Files are made as their maker says, less what others may write.
fn mask_files() -> Result<(), c_int> {
    // SAFETY: a number; it never fails.
    unsafe { libc::umask(MASK) };
    Ok(())
}

fn masks_files() -> bool {
    // SAFETY: the same; it tells what it was before.
    unsafe { libc::umask(MASK) == MASK }
}

/// A session of its own has no terminal that input could be pushed into.
fn begin_session() -> Result<(), c_int> {
    // SAFETY: takes no arguments.
    checked(unsafe { libc::setsid() })
}

fn leads_session() -> bool {
    // SAFETY: asks for a number. The call itself, for a library may remember its parent's answer.
    let itself = unsafe { libc::syscall(libc::SYS_getpid) };
    // SAFETY: the same.
    let session = unsafe { libc::syscall(libc::SYS_getsid, 0) };
    session == itself
}

/// No compatibility switches.
fn take_ordinary_personality() -> Result<(), c_int> {
    // SAFETY: a number.
    checked(unsafe { libc::personality(0) })
}

fn has_ordinary_personality() -> bool {
    // SAFETY: the number that asks, and changes nothing.
    unsafe { libc::personality(0xffff_ffff) == 0 }
}

/// A new, nameless session keyring: what is in the host's can't be reached.
fn take_empty_keyring() -> Result<(), c_int> {
    const JOIN_SESSION: c_int = 1;
    // SAFETY: no name.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION, 0, 0, 0, 0) as c_int })
}

fn has_no_keys() -> bool {
    const READ: c_int = 11;
    const SESSION: c_int = -3;
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: no room for an answer: it tells only how many bytes of keys there are.
    unsafe { libc::syscall(libc::SYS_keyctl, READ, SESSION, null, 0, 0) == 0 }
}

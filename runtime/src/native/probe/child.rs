//! Runs one probe in a child that ends at once, and never forks the host for it.
//!
//! # Safety
//!
//! As in `confine.rs` of this wing: the child shares the host's memory while one thread, which is ours and takes no
//! signals, stands still. What a probe does there is a handful of system calls: nothing allocates, locks or panics.
//! A namespace is asked for when the child is made and not afterwards: a process that moves into one itself would
//! make the memory it shares undumpable, the host's.
#![expect(unsafe_code, reason = "raw clone; see the contract at each block")]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use libc::{c_int, c_void, pid_t};

use crate::finding::FailedStep;

use super::calls::{self, Material};

/// What a child does.
pub(super) type Act = fn(&Material) -> Result<(), FailedStep>;

/// One child's errand.
struct Errand<'a> {
    act: Act,
    material: &'a Material,
    has_user_namespace: bool,
    done: Option<Result<(), FailedStep>>,
}

/// A child that was started and may be there still.
pub(super) struct Child {
    pub(super) pid: pid_t,
    pub(super) pidfd: OwnedFd,
}

const STACK_BYTES: usize = 64 * 1024;

/// Does something in a child in new namespaces, and waits until that has ended.
pub(super) fn in_child(namespaces: c_int, material: &Material, act: Act) -> Result<(), FailedStep> {
    let (child, done) = start(namespaces, material, act)
        .map_err(|error| FailedStep { step: "making it", errno: error.raw_os_error() })?;
    calls::reap(child.pid);
    done.unwrap_or(Err(FailedStep { step: "waiting for it", errno: None }))
}

/// Starts a child that does something, and gives it back once it has executed another program or ended.
pub(super) fn start(
    namespaces: c_int,
    material: &Material,
    act: Act,
) -> io::Result<(Child, Option<Result<(), FailedStep>>)> {
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    let has_user_namespace = namespaces & libc::CLONE_NEWUSER != 0;
    let mut errand = Errand { act, material, has_user_namespace, done: None };
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | namespaces;
    // SAFETY: clone(2) wants the end of a stack that lives as long as the child uses it: CLONE_VFORK keeps this
    // thread, and with it `stack` and `errand`, in this call until the child has left our memory. The stack is
    // aligned to 16 by its element type. `pidfd` takes the descriptor. `enter` gets what it wants, a pointer
    // to an `Errand`.
    let pid = unsafe {
        libc::clone(
            enter,
            stack.as_mut_ptr_range().end.cast::<c_void>(),
            flags,
            std::ptr::from_mut(&mut errand).cast(),
            std::ptr::from_mut(&mut pidfd),
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: clone succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((Child { pid, pidfd }, errand.done))
}

extern "C" fn enter(errand: *mut c_void) -> c_int {
    // SAFETY: `start` passes a pointer to its `Errand`, and stands still while this child uses it.
    let errand = unsafe { &mut *errand.cast::<Errand<'_>>() };
    let ready = match errand.has_user_namespace {
        true => calls::map_users(errand.material),
        false => Ok(()),
    };
    let done = Some(ready.and_then(|()| (errand.act)(errand.material)));
    // SAFETY: the place is valid, and this child's alone. To a compiler nobody reads it any more: so it is told that somebody does.
    unsafe { (&raw mut errand.done).write_volatile(done) };
    // SAFETY: _exit(2) ends this process at once and runs nothing of the host's.
    unsafe { libc::_exit(0) }
}

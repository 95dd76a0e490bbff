//! Sees to it that somebody outlives this process and removes its groups, should it be killed: a program of a few pages that
//! sleeps until then (`runtime/keeper/heir.rs`). There is one for the whole process, from its first group on. It is no child
//! of this process, which may wait for all that it has.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::AtomicI32;
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::SigSet;

use super::cage::enter::{Will, bequeath};
use super::leftovers::own_prefix;
use super::prepared::{program, raised};
use super::sys::{self, ChildStack};

/// Appoints one, if there is none. Without it, what a killed host leaves behind is removed by the next one.
pub(super) fn appoint<'a>(folders: impl Iterator<Item = &'a Path>) {
    /// Whose heir there is: a fork of this process has none.
    static APPOINTED: Mutex<Option<u32>> = Mutex::new(None);
    let own = std::process::id();
    let mut appointed = APPOINTED.lock().unwrap_or_else(PoisonError::into_inner);
    if *appointed != Some(own) && start(folders).is_ok() {
        *appointed = Some(own);
    }
}

fn start<'a>(folders: impl Iterator<Item = &'a Path>) -> io::Result<()> {
    let texts = [c"sandtrap-heir".to_owned(), CString::new(own_prefix())?];
    let folders = folders.map(|folder| CString::new(folder.as_os_str().as_bytes()));
    let texts: Vec<CString> = texts.into_iter().map(Ok).chain(folders).collect::<Result<_, _>>()?;
    let addresses = texts.iter().map(|text| text.as_ptr());
    let arguments: Vec<_> = addresses.chain([std::ptr::null()]).collect();
    let host = raised(sys::whole_process(std::process::id().cast_signed())?.as_fd())?;
    let keeper = raised(program()?)?;
    let (host, keeper) = (host.as_raw_fd(), keeper.as_raw_fd());
    let mut stack = ChildStack::new();
    let failure = AtomicI32::new(libc::EINTR);
    let mut will =
        Will { host, keeper, arguments: &arguments, stack: &mut stack, failure: &failure };
    // No handler of the host's may run in a child that shares this thread's memory.
    let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
    let child = sys::start_child(&mut ChildStack::new(), bequeath, &mut will);
    // It is put back as it was, which can't fail.
    let _ = before.thread_set_mask();
    sys::reap(child?);
    match failure.into_inner() {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

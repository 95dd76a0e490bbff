//! The root of a cage, made by the child that enters it; see `enter`, whose contract holds here, too.
#![expect(unsafe_code, reason = "system calls in a child that shares the host's memory")]

use std::ffi::CStr;

use libc::{c_int, c_uint, c_ulong};

use super::enter::{CageStep, Orders, checked};
use super::{Deed, NEW_ROOT, Seen};

fn mounted(
    from: &CStr,
    at: &CStr,
    kind: &CStr,
    flags: c_ulong,
    options: &CStr,
) -> Result<(), c_int> {
    // SAFETY: texts that end with nulls; the kernel reads them and keeps nothing.
    checked(unsafe {
        libc::mount(from.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    })
}

/// A new file system becomes the root, and the old one a folder of it, from which things can be taken.
pub(super) fn leave_root(orders: &Orders<'_>) -> Result<(), c_int> {
    if !orders.namespaces.rest {
        return Ok(());
    }
    // What the host unmounts later goes away here, too; nothing of ours goes the other way.
    mounted(c"none", c"/", c"", libc::MS_REC | libc::MS_SLAVE, c"")?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mounted(c"tmpfs", orders.base, c"tmpfs", flags, c"mode=755,size=4m,nr_inodes=16k")?;
    // SAFETY: texts that end with nulls, in this and the next calls.
    checked(unsafe { libc::chdir(orders.base.as_ptr()) })?;
    // SAFETY: the same.
    checked(unsafe { libc::mkdir(c"newroot".as_ptr(), 0o755) })?;
    // SAFETY: the same.
    checked(unsafe { libc::mkdir(c"oldroot".as_ptr(), 0o755) })?;
    pivot(c".", c"oldroot")?;
    // SAFETY: the same.
    checked(unsafe { libc::chdir(c"/".as_ptr()) })?;
    mounted(c"/newroot", c"/newroot", c"", libc::MS_BIND | libc::MS_REC, c"")
}

fn pivot(new: &CStr, old: &CStr) -> Result<(), c_int> {
    // SAFETY: two texts that end with nulls.
    checked(unsafe { libc::syscall(libc::SYS_pivot_root, new.as_ptr(), old.as_ptr()) as c_int })
}

pub(super) fn do_deeds(deeds: &[Deed]) -> Result<(), (CageStep, c_int)> {
    for (index, deed) in deeds.iter().enumerate() {
        let done = match deed {
            Deed::Folder(at) => made(at),
            Deed::File(at) => touched(at),
            // SAFETY: two texts that end with nulls.
            Deed::Link { to, at } => checked(unsafe { libc::symlink(to.as_ptr(), at.as_ptr()) }),
            Deed::Bind { from, at, access } => bound(from, at, *access),
            Deed::Proc { at } => shown_nobody(at),
        };
        done.map_err(|errno| (CageStep::Deed(index), errno))?;
    }
    Ok(())
}

fn made(at: &CStr) -> Result<(), c_int> {
    // SAFETY: a text that ends with a null.
    match checked(unsafe { libc::mkdir(at.as_ptr(), 0o755) }) {
        Err(libc::EEXIST) => Ok(()),
        other => other,
    }
}

fn touched(at: &CStr) -> Result<(), c_int> {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: a text that ends with a null.
    let file = unsafe { libc::open(at.as_ptr(), flags, 0o444 as c_uint) };
    checked(file)?;
    // SAFETY: closes what was opened here.
    checked(unsafe { libc::close(file) })
}

/// What a child in a namespace of its own mounts, for the time after its end.
struct Errand<'a> {
    at: &'a CStr,
    done: Result<(), c_int>,
}

/// Has the list of processes of a namespace mounted in which there is nobody any more.
fn shown_nobody(at: &CStr) -> Result<(), c_int> {
    // More than one call needs, and little of what this child has itself.
    let mut stack = [0_u128; 512];
    let mut errand = Errand { at, done: Err(libc::EINTR) };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_NEWPID | libc::SIGCHLD;
    let (top, argument) = (stack.as_mut_ptr_range().end, std::ptr::from_mut(&mut errand));
    // SAFETY: the end of a stack, and an errand, which both live in this frame: this child stands still until the
    // other one has ended.
    let child = unsafe { libc::clone(mount_and_leave, top.cast(), flags, argument.cast()) };
    checked(child)?;
    // SAFETY: a null status is allowed. Nobody else waits for it, and it has ended.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::__WALL) };
    errand.done
}

extern "C" fn mount_and_leave(errand: *mut libc::c_void) -> c_int {
    // SAFETY: it is what `shown_nobody` gave, which stands still and touches nothing of it meanwhile.
    let errand = unsafe { &mut *errand.cast::<Errand<'_>>() };
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let done = mounted(c"proc", errand.at, c"proc", flags, c"subset=pid,hidepid=2");
    // SAFETY: the place is valid, and this child's alone. To a compiler nobody reads it any more: so it is told that somebody does.
    unsafe { (&raw mut errand.done).write_volatile(done) };
    // SAFETY: ends this child and runs nothing of the host's.
    unsafe { libc::_exit(0) }
}

fn bound(from: &CStr, at: &CStr, access: Seen) -> Result<(), c_int> {
    mounted(from, at, c"", libc::MS_BIND | libc::MS_REC, c"")?;
    let flags = match access {
        Seen::ToRead => libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        Seen::ToWrite => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        Seen::AsDevice => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC,
    };
    // With all that is mounted below: a flag that is there already stays.
    changed(at, libc::AT_RECURSIVE, flags)
}

fn changed(at: &CStr, how: c_int, flags: u64) -> Result<(), c_int> {
    let attributes = libc::mount_attr {
        attr_set: flags,
        attr_clr: 0,
        // What the host mounts below it later does not come in.
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    // SAFETY: a text that ends with a null, and a struct of the size that is said.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            at.as_ptr(),
            how,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        ) as c_int
    })
}

/// The old root is let go, and the new one can't be changed any more.
pub(super) fn enter_root(orders: &Orders<'_>) -> Result<(), c_int> {
    if !orders.namespaces.rest {
        return Ok(());
    }
    mounted(c"none", c"/oldroot", c"", libc::MS_REC | libc::MS_PRIVATE, c"")?;
    // SAFETY: texts that end with nulls, in this and the next calls.
    checked(unsafe { libc::umount2(c"/oldroot".as_ptr(), libc::MNT_DETACH) })?;
    let Ok(new_root) = CStr::from_bytes_with_nul(NEW_ROOT_TEXT) else { return Err(libc::EINVAL) };
    // SAFETY: the same.
    checked(unsafe { libc::chdir(new_root.as_ptr()) })?;
    // The small root that we came from lands upon the new one, and is let go.
    pivot(c".", c".")?;
    // SAFETY: the same.
    checked(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })?;
    // SAFETY: the same.
    checked(unsafe { libc::chdir(c"/".as_ptr()) })?;
    let flags = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    changed(c"/", 0, flags)
}

const NEW_ROOT_TEXT: &[u8] = b"/newroot\0";
const _: () = assert!(NEW_ROOT_TEXT.len() == NEW_ROOT.len() + 1);

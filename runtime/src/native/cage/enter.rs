//! The child that builds the cage around itself, and becomes the keeper; and the one that becomes the heir, in no cage.
//!
//! # Safety
//!
//! The child shares the host's memory while one of the host's threads stands still. Nothing below allocates, locks,
//! panics or calls into the standard library's state: every text was made before, every call is one system call,
//! and a failure is written to the orders and ends the child.
#![expect(unsafe_code, reason = "system calls in a child that shares the host's memory")]

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_char, c_int, c_uint};
use nix::errno::Errno;

use super::Deed;
use super::resets::begin_anew;
use super::root::{do_deeds, enter_root, leave_root};
use crate::native::sys::{self, ChildStack};
use crate::native::wire::{BOARD, FIRST, PROGRAM, RULES, SOCKET};

/// Where the keeper's own program is until it is executed.
const KEEPER: RawFd = FIRST;

/// Descriptors that come from the host have numbers above those that they get.
pub(in crate::native) const ABOVE: RawFd = FIRST + 1;

/// The capabilities that a keeper needs for making namespaces, as bits.
const SYS_ADMIN: u32 = 1 << 21;

/// Which of its own a cage has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) struct Namespaces {
    pub(in crate::native) user: bool,
    /// Mounts, IPC, names, groups.
    pub(in crate::native) rest: bool,
    pub(in crate::native) net: bool,
}

/// Everything the child needs, made ready by the host.
#[derive(Debug)]
pub(in crate::native) struct Orders<'a> {
    pub(in crate::native) namespaces: Namespaces,
    /// What maps the caller's own number to itself.
    pub(in crate::native) user_map: &'a CStr,
    pub(in crate::native) group_map: &'a CStr,
    /// A folder of the host to make the new root upon, in this child's own namespace.
    pub(in crate::native) base: &'a CStr,
    pub(in crate::native) deeds: &'a [Deed],
    pub(in crate::native) folder: &'a CStr,
    /// The filter that every task inherits, if it is inherited.
    pub(in crate::native) filter: Option<&'a [libc::sock_filter]>,
    /// Becomes 0, 1 and 2 of the keeper.
    pub(in crate::native) null: RawFd,
    pub(in crate::native) socket: RawFd,
    pub(in crate::native) board: RawFd,
    pub(in crate::native) rules: Option<RawFd>,
    pub(in crate::native) program: Option<RawFd>,
    pub(in crate::native) keeper: RawFd,
    /// Written by the child: the step that failed, and why.
    pub(in crate::native) failure: Option<(CageStep, c_int)>,
}

/// The steps, for naming the one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) enum CageStep {
    Session,
    UserNamespace,
    Namespaces,
    Root,
    /// The deed with this number.
    Deed(usize),
    NewRoot,
    Folder,
    Capabilities,
    Descriptors,
    Filter,
    Exec,
}

/// The child's whole life. The order is the security argument.
pub(in crate::native) extern "C" fn enter(orders: &mut Orders<'_>) -> c_int {
    let failure = run_steps(orders);
    // SAFETY: the place is valid, and this child's alone. To a compiler nobody reads it any more: so it is told that somebody does.
    unsafe { (&raw mut orders.failure).write_volatile(Some(failure)) };
    // SAFETY: _exit(2) ends this process at once and runs nothing of the host's.
    unsafe { libc::_exit(127) }
}

/// Returns only with the step that failed.
fn run_steps(orders: &Orders<'_>) -> (CageStep, c_int) {
    type Act = fn(&Orders<'_>) -> Result<(), c_int>;
    let steps: [(CageStep, Act); 8] = [
        (CageStep::Session, |_| begin_anew().and_then(|()| die_with_host())),
        (CageStep::UserNamespace, own_user_namespace),
        (CageStep::Namespaces, own_namespaces),
        (CageStep::Root, leave_root),
        (CageStep::NewRoot, enter_root),
        (CageStep::Folder, go_to_folder),
        (CageStep::Capabilities, |_| drop_capabilities()),
        (CageStep::Descriptors, place_descriptors),
    ];
    for (step, act) in steps {
        if step == CageStep::NewRoot
            && orders.namespaces.rest
            && let Err(failure) = do_deeds(orders.deeds)
        {
            return failure;
        }
        if let Err(errno) = act(orders) {
            return (step, errno);
        }
    }
    if let Err(errno) = put_on_filter(orders) {
        return (CageStep::Filter, errno);
    }
    (CageStep::Exec, become_keeper())
}

pub(super) fn checked(answer: c_int) -> Result<(), c_int> {
    if answer == -1 { Err(Errno::last_raw()) } else { Ok(()) }
}

/// A call whose failure changes nothing for the better or the worse.
fn tried(_: c_int) {}

fn die_with_host() -> Result<(), c_int> {
    // SAFETY: asks for SIGKILL when the thread that started us ends. That thread stands still now, so it can't be
    // gone already.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

fn own_user_namespace(orders: &Orders<'_>) -> Result<(), c_int> {
    if !orders.namespaces.user {
        return Ok(());
    }
    // SAFETY: a number. This child is a process of its own, so it may.
    checked(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
    write_all(c"/proc/self/setgroups", c"deny")?;
    write_all(c"/proc/self/uid_map", orders.user_map)?;
    write_all(c"/proc/self/gid_map", orders.group_map)
}

fn write_all(path: &CStr, text: &CStr) -> Result<(), c_int> {
    // SAFETY: a path that ends with a null.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    checked(file)?;
    // SAFETY: the text is as long as it says.
    let written = unsafe { libc::write(file, text.as_ptr().cast(), text.count_bytes()) };
    let result = if written == -1 { Err(Errno::last_raw()) } else { Ok(()) };
    // SAFETY: closes what was opened here.
    tried(unsafe { libc::close(file) });
    result
}

fn own_namespaces(orders: &Orders<'_>) -> Result<(), c_int> {
    let mut flags = 0;
    if orders.namespaces.rest {
        flags |=
            libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;
    }
    if orders.namespaces.net {
        flags |= libc::CLONE_NEWNET;
    }
    if flags == 0 {
        return Ok(());
    }
    // SAFETY: a number.
    checked(unsafe { libc::unshare(flags) })?;
    if orders.namespaces.rest {
        // SAFETY: a name of seven bytes, in a namespace of its own.
        tried(unsafe { libc::sethostname(c"sandbox".as_ptr(), 7) });
    }
    Ok(())
}

fn go_to_folder(orders: &Orders<'_>) -> Result<(), c_int> {
    if !orders.namespaces.rest {
        return Ok(());
    }
    // SAFETY: a text that ends with a null.
    checked(unsafe { libc::chdir(orders.folder.as_ptr()) })
}

/// Nothing can be gained by executing anything any more; and the keeper keeps what it needs, if it has it.
fn drop_capabilities() -> Result<(), c_int> {
    // SAFETY: a switch that can only be turned on.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let mut sets = capabilities()?;
    let kept = sets[1] & SYS_ADMIN;
    // What an exec shall keep has to be said before nothing can be gained any more.
    sets[2] |= kept;
    set_capabilities(&sets)?;
    for capability in 0..=63 {
        // SAFETY: a number. Beyond the last one, and for those who have none, it fails and takes nothing.
        tried(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) });
    }
    set_capabilities(&[kept, kept, kept, 0, 0, 0])?;
    if kept != 0 {
        const RAISE: c_int = 2;
        // SAFETY: numbers. An exec by anybody but root keeps only this.
        checked(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, RAISE, 21, 0, 0) })?;
    }
    Ok(())
}

const CAPABILITIES_HEADER: [u32; 2] = [0x2008_0522, 0];

/// Effective, permitted and inheritable ones, in two halves.
fn capabilities() -> Result<[u32; 6], c_int> {
    let mut sets = [0_u32; 6];
    let header = CAPABILITIES_HEADER;
    // SAFETY: a header for this process, and room for two sets of three words, as version 3 wants them.
    checked(unsafe { libc::syscall(libc::SYS_capget, &raw const header, &raw mut sets) as c_int })?;
    Ok(sets)
}

fn set_capabilities(sets: &[u32; 6]) -> Result<(), c_int> {
    let header = CAPABILITIES_HEADER;
    // SAFETY: the same; sets of three words that are read.
    checked(unsafe {
        libc::syscall(libc::SYS_capset, &raw const header, std::ptr::from_ref(sets)) as c_int
    })
}

/// The keeper's descriptors are known by their numbers, and there are no others.
fn place_descriptors(orders: &Orders<'_>) -> Result<(), c_int> {
    let places = [
        (orders.null, 0),
        (orders.null, 1),
        (orders.null, 2),
        (orders.socket, SOCKET),
        (orders.board, BOARD),
        // A place that nobody needs is taken, too: what comes with an order takes the lowest free numbers.
        (orders.rules.unwrap_or(orders.null), RULES),
        (orders.program.unwrap_or(orders.null), PROGRAM),
    ];
    for (from, place) in places {
        // SAFETY: duplicates onto a low number of this child's own table. No source is that low, and the copy is
        // not closed by exec.
        checked(unsafe { libc::dup2(from, place) })?;
    }
    place_program(orders.keeper)
}

/// Puts it where it is executed from. Behind it there is nothing.
fn place_program(keeper: RawFd) -> Result<(), c_int> {
    // SAFETY: the same as above; but this one is closed by the exec that uses it.
    checked(unsafe { libc::dup3(keeper, KEEPER, libc::O_CLOEXEC) })?;
    close_range((KEEPER + 1) as c_uint, c_uint::MAX)
}

fn close_range(first: c_uint, last: c_uint) -> Result<(), c_int> {
    // SAFETY: closes part of this child's own table.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } as c_int)
}

fn put_on_filter(orders: &Orders<'_>) -> Result<(), c_int> {
    let Some(filter) = orders.filter else { return Ok(()) };
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program names as many instructions as there are; the kernel checks and copies them.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    checked(answer as c_int)
}

fn become_keeper() -> c_int {
    execute(&[c"sandtrap-keeper".as_ptr(), std::ptr::null()])
}

/// Becomes the program of the keeper. The list ends with a null.
fn execute(arguments: &[*const c_char]) -> c_int {
    let variables: [*const c_char; 1] = [std::ptr::null()];
    // SAFETY: an empty path, and two lists of texts that end with nulls, as the callers' do.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            KEEPER,
            c"".as_ptr(),
            arguments.as_ptr(),
            variables.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    Errno::last_raw()
}

/// What an heir is given.
pub(in crate::native) struct Will<'a> {
    /// Tells when the host has ended. It and the program have numbers above those that they get.
    pub(in crate::native) host: RawFd,
    pub(in crate::native) keeper: RawFd,
    /// Its arguments, and a null.
    pub(in crate::native) arguments: &'a [*const c_char],
    /// What it stands on until it executes its program.
    pub(in crate::native) stack: &'a mut ChildStack,
    /// Written by the child: why there is no heir, or 0. Not in here: of what only this child can reach, nobody sees it before it
    /// has returned, so a compiler may leave it off, and no child here returns.
    pub(in crate::native) failure: &'a AtomicI32,
}

/// The whole life of the child between host and heir, which ends at once: so the heir is somebody else's to wait for.
pub(in crate::native) extern "C" fn bequeath(will: &mut Will<'_>) -> c_int {
    let Will { host, keeper, arguments, ref mut stack, failure } = *will;
    let mut heir = Heir { host, keeper, arguments, failure };
    if sys::start_child(stack, inherit, &mut heir).is_err() {
        failure.store(libc::EAGAIN, Ordering::Relaxed);
    }
    // SAFETY: _exit(2) ends this process at once and runs nothing of the host's.
    unsafe { libc::_exit(0) }
}

struct Heir<'a> {
    host: RawFd,
    keeper: RawFd,
    arguments: &'a [*const c_char],
    failure: &'a AtomicI32,
}

/// The child's whole life: it has nothing of the host's and no cage, for it is to remove what the host made.
extern "C" fn inherit(will: &mut Heir<'_>) -> c_int {
    let place = || {
        begin_anew()?;
        // SAFETY: a text that ends with a null. No file system is kept in use by it.
        checked(unsafe { libc::chdir(c"/".as_ptr()) })?;
        // SAFETY: duplicates onto a low number of this child's own table, which an exec doesn't close.
        checked(unsafe { libc::dup2(will.host, 0) })?;
        close_range(1, (KEEPER - 1) as c_uint)?;
        place_program(will.keeper)
    };
    let placed = place();
    // An exec does not come back to say so.
    will.failure.store(0, Ordering::Relaxed);
    let errno = match placed {
        Ok(()) => execute(will.arguments),
        Err(errno) => errno,
    };
    will.failure.store(errno, Ordering::Relaxed);
    // SAFETY: _exit(2) ends this process at once and runs nothing of the host's.
    unsafe { libc::_exit(127) }
}

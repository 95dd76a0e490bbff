//! The system calls of the probes, each of which runs in a child of its own.
//!
//! # Safety
//!
//! Everything here but `reap` and `kill` runs in a child that shares the host's memory. Every function is a handful of
//! system calls on arguments that live in its own frame, in constants or in the material made before.
#![expect(unsafe_code, reason = "raw system calls; see the contract at each block")]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use libc::{c_int, c_long, c_ulong, c_void, pid_t};
use nix::errno::Errno;

use crate::finding::FailedStep;
use crate::native::cage::RESETS;

/// What children need, made ready before there is one.
pub(super) struct Material {
    pub(super) user_map: CString,
    pub(super) group_map: CString,
    /// A program that exits with [`TINY_EXIT`](super::tiny::EXIT).
    pub(super) program: Option<OwnedFd>,
}

type Done = Result<(), FailedStep>;

fn failed(step: &'static str) -> FailedStep {
    FailedStep { step, errno: Some(Errno::last_raw()) }
}

fn without_effect(step: &'static str) -> Done {
    Err(FailedStep { step, errno: None })
}

fn done(answer: c_long, step: &'static str) -> Done {
    if answer == -1 { Err(failed(step)) } else { Ok(()) }
}

/// Becomes root of its new user namespace.
pub(super) fn map_users(material: &Material) -> Done {
    const STEP: &str = "mapping users";
    write_to(c"/proc/self/setgroups", c"deny", STEP)?;
    write_to(c"/proc/self/uid_map", &material.user_map, STEP)?;
    write_to(c"/proc/self/gid_map", &material.group_map, STEP)
}

fn write_to(file: &CStr, text: &CStr, step: &'static str) -> Done {
    // SAFETY: opens a file by a null-terminated name.
    let descriptor = unsafe { libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    done(descriptor.into(), step)?;
    let bytes = text.to_bytes();
    // SAFETY: writes from a slice of that length. The descriptor goes with this child.
    let written = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
    done(written as c_long, step)
}

/// It is the first process of its namespace.
pub(super) fn is_first_process(_: &Material) -> Done {
    // SAFETY: takes no arguments. The call itself, for a library may remember its parent's answer.
    let pid = unsafe { libc::syscall(libc::SYS_getpid) };
    if pid == 1 { Ok(()) } else { without_effect("having number 1") }
}

/// Sets its own host name.
pub(super) fn set_host_name(_: &Material) -> Done {
    // SAFETY: reads one byte of a constant. This child has a namespace of host names of its own.
    let answer = unsafe { libc::sethostname(c"x".as_ptr(), 1) };
    done(answer.into(), "setting its own host name")
}

/// Finds no way to any network.
pub(super) fn reaches_no_network(_: &Material) -> Done {
    const STEP: &str = "finding no network";
    // SAFETY: takes three integers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    done(socket.into(), STEP)?;
    // An address that is kept for examples: nothing is sent to it, only a way is looked for.
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 9_u16.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_be_bytes([192, 0, 2, 1]).to_be() },
        sin_zero: [0; 8],
    };
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: reads an address of that size from this frame.
    let answer = unsafe { libc::connect(socket, std::ptr::from_ref(&address).cast(), size) };
    if answer == 0 { without_effect(STEP) } else { Ok(()) }
}

/// Nothing it mounts is seen outside.
pub(super) fn private_mounts(_: &Material) -> Done {
    let null = std::ptr::null::<libc::c_char>();
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: changes how mounts spread, in this child's own namespace; reads one constant name.
    let answer = unsafe { libc::mount(null, c"/".as_ptr(), null, flags, std::ptr::null()) };
    done(answer.into(), "keeping its mounts to itself")
}

/// Makes an empty memory file system its root, and lets go of the old one.
pub(super) fn change_root(material: &Material) -> Done {
    private_mounts(material)?;
    // A directory that is there, and that nobody in this namespace needs any more.
    let place = c"/proc".as_ptr();
    let (kind, flags) = (c"tmpfs".as_ptr(), libc::MS_NOSUID | libc::MS_NODEV);
    // SAFETY: mounts in this child's own namespace; reads constant names.
    let mounted = unsafe { libc::mount(kind, place, kind, flags, std::ptr::null()) };
    done(mounted.into(), "mounting a memory file system")?;
    // SAFETY: reads a constant name.
    done(unsafe { libc::chdir(place) }.into(), "entering it")?;
    let here = c".".as_ptr();
    // SAFETY: reads two constant names; changes the root of this child's own namespace.
    let changed = unsafe { libc::syscall(libc::SYS_pivot_root, here, here) };
    done(changed, "changing the root")?;
    // SAFETY: reads a constant name; the old root lies on top of the new one now.
    let left = unsafe { libc::umount2(here, libc::MNT_DETACH) };
    done(left.into(), "leaving the old root")?;
    // SAFETY: reads a constant name.
    if unsafe { libc::access(c"/etc".as_ptr(), libc::F_OK) } == 0 {
        return without_effect("leaving the old root");
    }
    Ok(())
}

/// Sets the switch, and finds it set.
pub(super) fn forbid_privileges(_: &Material) -> Done {
    // SAFETY: a switch that can only be turned on, for this child.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    done(set.into(), "setting it")?;
    // SAFETY: asks for the switch.
    match unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } {
        1 => Ok(()),
        _ => without_effect("finding it set"),
    }
}

/// Installs a filter that answers one call with an error of its own, and makes that call.
pub(super) fn filter_a_call(material: &Material) -> Done {
    forbid_privileges(material)?;
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut lines = [
        line(LOAD, 0, 0, 0),
        line(EQUAL, 0, 1, libc::SYS_getppid as u32),
        line(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EXDEV as u32),
        line(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: lines.len() as u16, filter: lines.as_mut_ptr() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: reads the program from this frame; the filter holds for this child alone, for nobody asked to
    // have it for all threads.
    let installed = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &program) };
    done(installed, "installing a filter")?;
    // SAFETY: takes no arguments.
    let answer = unsafe { libc::syscall(libc::SYS_getppid) };
    if answer == -1 && Errno::last_raw() == libc::EXDEV {
        return Ok(());
    }
    without_effect("refusing a call")
}

/// The version of Landlock here.
pub(super) fn landlock_version() -> Result<u32, c_int> {
    const VERSION: c_ulong = 1;
    let null = std::ptr::null::<c_void>();
    // SAFETY: with this flag the call takes no rules and gives a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null, 0, VERSION) };
    u32::try_from(version).map_err(|_| Errno::last_raw())
}

/// What the kernel takes as the beginning of rules: files, network, scopes. Older kernels take less of it.
#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scopes: u64,
}

fn restrict(ruleset: &Ruleset, size: usize) -> Done {
    // SAFETY: reads `size` bytes of the struct, which is as long or longer.
    let rules = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ruleset, size, 0) };
    done(rules, "making rules")?;
    // SAFETY: takes the descriptor that was just made; holds for this child alone.
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules, 0) };
    done(restricted, "restricting itself")
}

/// Forbids itself to list directories, and tries it.
pub(super) fn forbid_listing(material: &Material) -> Done {
    const READ_DIR: u64 = 1 << 3;
    forbid_privileges(material)?;
    restrict(&Ruleset { files: READ_DIR, network: 0, scopes: 0 }, size_of::<u64>())?;
    expect_refusal_of_root(libc::EACCES, "refusing to list the root")
}

/// Forbids itself to send signals beyond the task, and tries it.
pub(super) fn forbid_signals(material: &Material) -> Done {
    const SIGNALS: u64 = 1 << 1;
    forbid_privileges(material)?;
    restrict(&Ruleset { files: 0, network: 0, scopes: SIGNALS }, size_of::<Ruleset>())?;
    // SAFETY: takes no arguments.
    let parent = unsafe { libc::getppid() };
    // SAFETY: signal 0 is none: it is only asked whether one could be sent.
    let answer = unsafe { libc::kill(parent, 0) };
    if answer == -1 && Errno::last_raw() == libc::EPERM {
        return Ok(());
    }
    without_effect("refusing a signal to its parent")
}

fn expect_refusal_of_root(errno: c_int, step: &'static str) -> Done {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: opens by a constant name. A descriptor that was opened after all goes with this child.
    let root = unsafe { libc::open(c"/".as_ptr(), flags) };
    if root == -1 && Errno::last_raw() == errno { Ok(()) } else { without_effect(step) }
}

/// Gives up what it may have, and finds it gone.
pub(super) fn drop_capabilities(_: &Material) -> Done {
    /// The third version, and this process.
    const HEADER: [u32; 2] = [0x2008_0522, 0];
    let none = [0_u32; 6];
    // SAFETY: reads a header and two sets of three words each, as this version has them.
    done(unsafe { libc::syscall(libc::SYS_capset, &HEADER, &none) }, "giving them up")?;
    let mut left = [1_u32; 6];
    // SAFETY: reads the header and fills two sets of three words each.
    done(unsafe { libc::syscall(libc::SYS_capget, &HEADER, &mut left) }, "looking at them")?;
    if left == none { Ok(()) } else { without_effect("finding none") }
}

/// Allows itself no descriptor, and opens one.
pub(super) fn forbid_descriptors(_: &Material) -> Done {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads one limit from this frame. This child has limits of its own.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) };
    done(set.into(), "lowering a limit")?;
    expect_refusal_of_root(libc::EMFILE, "refusing a descriptor")
}

/// Does one of the resets of a cage, and looks whether it is done.
pub(super) fn reset<const ROW: usize>(_: &Material) -> Done {
    let done = const { &RESETS[ROW] }.prove();
    done.map_err(|errno| FailedStep { step: "setting it back", errno })
}

/// Begins a group, and leads it.
pub(super) fn begin_process_group(_: &Material) -> Done {
    // SAFETY: numbers: this child itself.
    done(unsafe { libc::setpgid(0, 0) }.into(), "beginning a group")?;
    // SAFETY: asks for a number. The call itself, for a library may remember its parent's answer.
    let itself = unsafe { libc::syscall(libc::SYS_getpid) };
    // SAFETY: the same.
    let group = unsafe { libc::syscall(libc::SYS_getpgid, 0) };
    if group == itself { Ok(()) } else { without_effect("leading a group") }
}

/// Closes all but three, and finds one closed that its host has open.
pub(super) fn close_descriptors(material: &Material) -> Done {
    // SAFETY: closes part of this child's own table, which is a copy: clone was not told to share it.
    done(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, "closing them")?;
    let Some(known) = &material.program else {
        return without_effect("having one to close");
    };
    // SAFETY: asks about a number.
    let answer = unsafe { libc::fcntl(known.as_raw_fd(), libc::F_GETFD) };
    if answer == -1 && Errno::last_raw() == libc::EBADF {
        return Ok(());
    }
    without_effect("finding one closed")
}

/// Asks to be traced, and executes the tiny program, which stops it before its first instruction.
pub(super) fn become_tracee(material: &Material) -> Done {
    // SAFETY: takes no arguments.
    let answer = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    done(answer, "asking to be traced")?;
    unblock_trap()?;
    execute(material)
}

/// The stop is a signal, and this child was born with all of them blocked. This one nobody else sends.
fn unblock_trap() -> Done {
    let mut trap = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: fills the set it is given.
    let emptied = unsafe { libc::sigemptyset(trap.as_mut_ptr()) };
    done(emptied.into(), "unblocking a signal")?;
    // SAFETY: the set is filled, and the signal is one.
    let added = unsafe { libc::sigaddset(trap.as_mut_ptr(), libc::SIGTRAP) };
    done(added.into(), "unblocking a signal")?;
    // SAFETY: reads the set; the mask of this child alone changes.
    let set = unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, trap.as_ptr(), std::ptr::null_mut()) };
    done(set.into(), "unblocking a signal")
}

/// Executes the tiny program. Comes back only if that is refused.
pub(super) fn execute(material: &Material) -> Done {
    const STEP: &str = "executing from memory";
    let Some(program) = &material.program else {
        return without_effect("having memory to execute");
    };
    let nobody = [std::ptr::null::<libc::c_char>()];
    let (name, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: reads a constant name and two lists that end at once.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            name,
            nobody.as_ptr(),
            nobody.as_ptr(),
            flags,
        );
    }
    Err(failed(STEP))
}

/// Waits for a stop or the end of one child of this thread, and gives its status.
pub(super) fn reap(pid: pid_t) -> Option<c_int> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes to the place given, which outlives the call.
        let answer = unsafe { libc::waitpid(pid, &mut status, libc::__WALL) };
        if answer == pid {
            return Some(status);
        }
        if Errno::last_raw() != libc::EINTR {
            return None;
        }
    }
}

/// Kills exactly the process behind the descriptor.
pub(super) fn kill(pidfd: BorrowedFd<'_>) -> Done {
    let null = std::ptr::null_mut::<c_void>();
    // SAFETY: takes a descriptor, a signal, no siginfo and no flags.
    let answer = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, null, 0)
    };
    done(answer, "killing by a descriptor")
}

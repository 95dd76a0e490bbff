//! Everything a child needs, as data, made ready before there is a child.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use libc::{c_char, c_uint};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use sandtrap_protocol::CHANNEL_VARIABLE;

use crate::limits::{Limits, OnMemoryLimit};
use crate::permissions::Permissions;
use crate::quantity::ByteSize;

use super::confine::Orders;
use super::filter::Program as Filter;
use super::group::Group;

/// The guest's number for its end of the channel.
const CHANNEL_DESCRIPTOR: u8 = 3;

/// The child puts its descriptors to 0, 1, 2 and 3, so none of them may be one of these now.
const ABOVE_PLACES: i32 = 10;

/// What is to be started, and under what.
#[derive(Debug)]
pub(super) struct Plan {
    path: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    descriptors: [OwnedFd; 4],
    rlimits: Vec<(c_uint, libc::rlimit)>,
    filter: Arc<Filter>,
    pub(super) group: Option<Group>,
}

/// The host's ends of what the guest writes to.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) stdout: File,
    pub(super) stderr: File,
    pub(super) channel: File,
}

impl Plan {
    /// Makes the plan and the pipes that belong to it.
    pub(super) fn new(
        program: &Path,
        arguments: &[std::ffi::OsString],
        permissions: &Permissions,
        stdin: OwnedFd,
        limits: &Limits,
        filter: Arc<Filter>,
        group: Option<Group>,
    ) -> io::Result<(Self, Ends)> {
        let path = c_string(program.as_os_str())?;
        let mut argv = vec![path.clone()];
        for argument in arguments {
            argv.push(c_string(argument)?);
        }
        let mut envp = vec![CString::new(format!("{CHANNEL_VARIABLE}={CHANNEL_DESCRIPTOR}"))?];
        // The channel's variable is the host's: a grant of the same name would give the guest two.
        let granted = permissions.env.iter().filter(|(key, _)| key != CHANNEL_VARIABLE);
        for (key, value) in granted {
            let pair = [key.as_bytes(), b"=", value.as_bytes()].concat();
            envp.push(CString::new(pair)?);
        }
        let (stdout, guest_stdout) = pipe()?;
        let (stderr, guest_stderr) = pipe()?;
        let (channel, guest_channel) = pipe()?;
        let descriptors =
            [raised(stdin)?, raised(guest_stdout)?, raised(guest_stderr)?, raised(guest_channel)?];
        let may_cope = limits.on_memory_limit == OnMemoryLimit::Refuse;
        let rlimits = rlimits(limits, group.is_none() || may_cope);
        let plan = Self { path, argv, envp, descriptors, rlimits, filter, group };
        Ok((plan, Ends { stdout, stderr, channel }))
    }

    /// Calls `act` with the orders for the child.
    pub(super) fn with_orders<T>(
        &self,
        less_is_fine: bool,
        act: impl FnOnce(&mut Orders<'_>) -> T,
    ) -> T {
        let argv = pointers(&self.argv);
        let envp = pointers(&self.envp);
        let join = self.group.as_ref().map(Group::entrances).unwrap_or_default();
        let mut orders = Orders {
            path: &self.path,
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            descriptors: self.descriptors.each_ref().map(|descriptor| descriptor.as_raw_fd()),
            rlimits: &self.rlimits,
            join: &join,
            filter: libc::sock_fprog {
                len: self.filter.instructions().len() as u16,
                // The kernel only reads it.
                filter: self.filter.instructions().as_ptr().cast_mut(),
            },
            less_is_fine,
            traced: false,
            unfiltered: None,
            failure: None,
        };
        act(&mut orders)
    }
}

/// A text without a null byte, which no system call could take.
fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        let words = format!("{text:?} contains a null byte, which no program can be given");
        io::Error::new(io::ErrorKind::InvalidInput, words)
    })
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| CStr::as_ptr(text)).chain([std::ptr::null()]).collect()
}

/// A pipe whose reading end never makes us wait.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read.into(), write))
}

fn raised(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() >= ABOVE_PLACES {
        return Ok(descriptor);
    }
    let raw = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(ABOVE_PLACES))?;
    Ok(super::sys::adopt(raw))
}

/// What the host itself may not have, its guest can't have either.
pub(super) fn grantable(limits: Limits) -> Limits {
    let most =
        |resource, wanted: u64| super::sys::hard_limit(resource).unwrap_or(wanted).min(wanted);
    let size = |resource, wanted: ByteSize| ByteSize::bytes(most(resource, wanted.as_u64()));
    let open_files = most(libc::RLIMIT_NOFILE, limits.open_files.into());
    Limits {
        stack: size(libc::RLIMIT_STACK, limits.stack),
        file_bytes: size(libc::RLIMIT_FSIZE, limits.file_bytes),
        open_files: u32::try_from(open_files).unwrap_or(limits.open_files),
        ..limits
    }
}

/// The limits of a process.
fn rlimits(limits: &Limits, cap_address_space: bool) -> Vec<(c_uint, libc::rlimit)> {
    let mut wanted = vec![
        (libc::RLIMIT_FSIZE, limits.file_bytes.as_u64()),
        (libc::RLIMIT_NOFILE, u64::from(limits.open_files)),
        (libc::RLIMIT_STACK, limits.stack.as_u64()),
        (libc::RLIMIT_MEMLOCK, 0),
        // One byte and not none: a `core_pattern` that is a pipe takes none for "no limit".
        (libc::RLIMIT_CORE, 1),
    ];
    if cap_address_space {
        wanted.push((libc::RLIMIT_AS, limits.memory.as_u64()));
    }
    // A backstop: the exact limit is kept by the host, which also says so. The soft limit comes first, for
    // the signal of the hard one is SIGKILL, which says nothing.
    let seconds = limits.cpu.as_secs().saturating_add(2);
    let cpu = (libc::RLIMIT_CPU, bounded(libc::RLIMIT_CPU, seconds, seconds.saturating_add(1)));
    let same = |(resource, value)| (resource, bounded(resource, value, value));
    [cpu].into_iter().chain(wanted.into_iter().map(same)).collect()
}

fn bounded(resource: c_uint, soft: u64, hard: u64) -> libc::rlimit {
    let most = super::sys::hard_limit(resource).unwrap_or(libc::RLIM_INFINITY);
    libc::rlimit { rlim_cur: soft.min(most), rlim_max: hard.min(most) }
}

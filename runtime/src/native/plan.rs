//! Everything a task is started with, as one order for its keeper, made ready before there is a process.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use sandtrap_protocol::{
    ARENA_VARIABLE, BACKTRACE_VARIABLE, Birth, CHANNEL_VARIABLE, LANE_VARIABLE, START_FORK,
    START_VARIABLE,
};

use crate::limits::{Limits, OnMemoryLimit};
use crate::permissions::Permissions;
use crate::quantity::ByteSize;

use super::arena::Arena;
use super::group::Group;
use super::sys::{Number, hard_limit, number_of};
use super::view::View;
use super::wire::{self, Head, Rlimit};

/// The guest's number for its end of the channel.
const CHANNEL_DESCRIPTOR: u8 = 3;

/// And for its arena; behind that comes its lane.
const ARENA_DESCRIPTOR: u8 = 4;

/// What is to be started, and under what.
#[derive(Debug)]
pub(super) struct Plan {
    rlimits: Vec<Rlimit>,
    arguments: u32,
    variables: u32,
    /// The program, its arguments, its environment.
    texts: Vec<u8>,
    descriptors: [OwnedFd; wire::PLACES],
    arena: Option<OwnedFd>,
    lane: Option<OwnedFd>,
    pub(super) group: Option<Arc<Group>>,
    pub(super) caps_address_space: bool,
    /// What it has of its own in the cage in which it will be.
    pub(super) view: Option<View>,
}

/// The host's ends of what the guest writes to. The channel goes both ways.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) stdout: File,
    pub(super) stderr: File,
    pub(super) channel: UnixStream,
}

/// What is started, and as what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    /// Where the program is, inside.
    pub(super) program: &'a Path,
    /// What it is told that it was called.
    pub(super) name: &'a OsStr,
    pub(super) arguments: &'a [OsString],
    pub(super) permissions: &'a Permissions,
    /// Whether it is to warm up, and to be forked.
    pub(super) warms_up: bool,
    /// Whether it is to say where it stood when it panics.
    pub(super) tells_stack: bool,
}

impl Plan {
    /// Makes the plan and the pipes that belong to it.
    pub(super) fn new(
        start: Start<'_>,
        stdin: OwnedFd,
        limits: &Limits,
        group: Option<Arc<Group>>,
        arena: Option<&Arena>,
        lane: Option<BorrowedFd<'_>>,
    ) -> io::Result<(Self, Ends)> {
        let mut texts = Vec::with_capacity(1024);
        add(&mut texts, start.program.as_os_str())?;
        add(&mut texts, start.name)?;
        for argument in start.arguments {
            add(&mut texts, argument)?;
        }
        add(&mut texts, OsStr::new(&format!("{CHANNEL_VARIABLE}={CHANNEL_DESCRIPTOR}")))?;
        let mut variables = 1;
        if arena.is_some() {
            add(&mut texts, OsStr::new(&format!("{ARENA_VARIABLE}={ARENA_DESCRIPTOR}")))?;
            variables += 1;
        }
        if lane.is_some() {
            let number = ARENA_DESCRIPTOR + u8::from(arena.is_some());
            add(&mut texts, OsStr::new(&format!("{LANE_VARIABLE}={number}")))?;
            variables += 1;
        }
        if start.warms_up {
            add(&mut texts, OsStr::new(&format!("{START_VARIABLE}={START_FORK}")))?;
            variables += 1;
        }
        if start.tells_stack {
            add(&mut texts, OsStr::new(&format!("{BACKTRACE_VARIABLE}=1")))?;
            variables += 1;
        }
        // These variables are the host's: a grant of the same name would give the guest two.
        let ours =
            [CHANNEL_VARIABLE, ARENA_VARIABLE, LANE_VARIABLE, START_VARIABLE, BACKTRACE_VARIABLE];
        let is_own = |key: &OsString| ours.iter().any(|name| key == name);
        let granted = start.permissions.env.iter().filter(|(key, _)| !is_own(key));
        for (key, value) in granted {
            let mut pair = key.clone();
            pair.push("=");
            pair.push(value);
            add(&mut texts, &pair)?;
            variables += 1;
        }
        let (stdout, guest_stdout) = pipe()?;
        let (stderr, guest_stderr) = pipe()?;
        let (channel, guest_channel) = UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let descriptors = [stdin, guest_stdout, guest_stderr, guest_channel.into()];
        let caps_address_space = caps_address_space(limits, group.is_some());
        let rlimits = rlimits(limits, caps_address_space);
        let arguments = start.arguments.len() as u32 + 1;
        let arena = arena.map(|it| it.descriptor().try_clone_to_owned());
        let plan = Self {
            rlimits,
            arguments,
            variables,
            texts,
            descriptors,
            arena: arena.transpose()?,
            lane: lane.map(|it| it.try_clone_to_owned()).transpose()?,
            group,
            caps_address_space,
            view: None,
        };
        Ok((plan, Ends { stdout, stderr, channel }))
    }

    /// The order for a zygote, with its group's entrances and its rules, and what travels beside it.
    pub(super) fn birth<'a>(
        &'a self,
        last_filter: &[libc::sock_filter],
        rules: Option<&'a OwnedFd>,
        entrances: &'a [BorrowedFd<'a>],
    ) -> (Vec<u8>, Vec<BorrowedFd<'a>>) {
        let own = self.descriptors.iter().chain(&self.arena).chain(rules);
        let descriptors = own.map(|descriptor| descriptor.as_fd()).chain(entrances.iter().copied());
        let descriptors: Vec<_> = descriptors.collect();
        let birth = Birth {
            instructions: last_filter.len() as u32,
            descriptors: descriptors.len() as u32,
            has_arena: self.arena.is_some(),
            has_rules: rules.is_some(),
        };
        let mut order = birth.to_bytes().to_vec();
        for instruction in last_filter {
            order.extend(super::board::packed(instruction).to_ne_bytes());
        }
        (order, descriptors)
    }

    /// Whether its words alone take more memory than it may have. They are copied for it while it shares its starter's
    /// memory, and the kernel ends all who share memory that is too much.
    pub(super) fn outgrows(&self, memory: ByteSize) -> bool {
        self.texts.len() as u64 + BESIDE_TEXTS > memory.as_u64()
    }

    /// What a task is limited to by its kernel.
    pub(super) fn rlimits(&self) -> &[Rlimit] {
        &self.rlimits
    }

    /// The guest's ends of what it writes to, when it has been started.
    pub(super) fn guests_ends(self) -> Vec<OwnedFd> {
        // Whoever writes to its stdin is to hear that nobody reads it any more.
        self.descriptors.into_iter().skip(1).collect()
    }

    /// The order, and what travels beside it. `None` if it is larger than any exec could take.
    pub(super) fn order(&self, flags: u32) -> Option<(Vec<u8>, Vec<BorrowedFd<'_>>)> {
        let doors = self.group.as_ref().map(|group| group.doors()).unwrap_or_default();
        let birth = self.group.as_ref().is_some_and(|group| group.is_born_into());
        let limits_bytes = self.rlimits.len() * size_of::<Rlimit>();
        let own = self.view.as_ref();
        let options = own.and_then(|view| view.options.as_deref()).map(|text| format!("{text}\0"));
        let options = options.unwrap_or_default();
        let bytes = size_of::<Head>() + limits_bytes + self.texts.len() + options.len();
        if bytes > wire::MOST_BYTES || doors.len() > wire::MOST_DOORS {
            return None;
        }
        let head = Head {
            bytes: bytes as u32,
            flags: flags
                | if birth { wire::BORN_INTO } else { 0 }
                | if self.arena.is_some() { wire::ARENA } else { 0 }
                | if self.lane.is_some() { wire::LANE } else { 0 }
                | own.map_or(0, |it| it.flags),
            rlimits: self.rlimits.len() as u32,
            arguments: self.arguments,
            variables: self.variables,
            doors: doors.len() as u32,
        };
        let mut order = Vec::with_capacity(bytes);
        let Head { bytes, flags, rlimits, arguments, variables, doors: door_count } = head;
        for word in [bytes, flags, rlimits, arguments, variables, door_count] {
            order.extend(word.to_ne_bytes());
        }
        for limit in &self.rlimits {
            for word in [limit.resource, limit.soft, limit.hard] {
                order.extend(word.to_ne_bytes());
            }
        }
        order.extend(&self.texts);
        order.extend(options.as_bytes());
        let places = self.descriptors.iter().chain(&self.arena).chain(&self.lane);
        let descriptors = places.map(|descriptor| descriptor.as_fd()).chain(doors);
        Some((order, descriptors.chain(own.into_iter().flat_map(View::descriptors)).collect()))
    }
}

fn add(texts: &mut Vec<u8>, text: &OsStr) -> io::Result<()> {
    texts.extend(c_string(text)?.as_bytes_with_nul());
    Ok(())
}

/// Pages that are there before the words are.
const BESIDE_TEXTS: u64 = 16 * 1024;

/// A text without a null byte, which no system call could take.
fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        let words = format!("{text:?} contains a null byte, which no program can be given");
        io::Error::new(io::ErrorKind::InvalidInput, words)
    })
}

/// A pipe whose reading end never makes us wait.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read.into(), write))
}

/// Whether an address space is limited: where no group counts the memory, and where a guest is to cope with its limit.
pub(super) fn caps_address_space(limits: &Limits, has_group: bool) -> bool {
    !has_group || limits.on_memory_limit == OnMemoryLimit::Refuse
}

/// What the host itself may have at most: its guest can't have more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ceilings {
    stack: Option<u64>,
    file_bytes: Option<u64>,
    open_files: Option<u64>,
}

impl Ceilings {
    pub(super) fn now() -> Self {
        let [stack, file_bytes, open_files] =
            [libc::RLIMIT_STACK, libc::RLIMIT_FSIZE, libc::RLIMIT_NOFILE].map(hard_limit);
        Self { stack, file_bytes, open_files }
    }

    pub(super) fn below(self, limits: Limits) -> Limits {
        let most = |limit: Option<u64>, wanted: u64| limit.unwrap_or(wanted).min(wanted);
        let size = |limit, wanted: ByteSize| ByteSize::bytes(most(limit, wanted.as_u64()));
        let open_files = most(self.open_files, limits.open_files.into());
        Limits {
            stack: size(self.stack, limits.stack),
            file_bytes: size(self.file_bytes, limits.file_bytes),
            open_files: u32::try_from(open_files).unwrap_or(limits.open_files),
            ..limits
        }
    }
}

/// The limits of a process.
fn rlimits(limits: &Limits, cap_address_space: bool) -> Vec<Rlimit> {
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
    let cpu = bounded(libc::RLIMIT_CPU, seconds, seconds.saturating_add(1));
    let same = |(resource, value)| bounded(resource, value, value);
    [cpu].into_iter().chain(wanted.into_iter().map(same)).collect()
}

fn bounded(resource: Number, soft: u64, hard: u64) -> Rlimit {
    let most = hard_limit(resource).unwrap_or(libc::RLIM_INFINITY);
    Rlimit { resource: number_of(resource), soft: soft.min(most), hard: hard.min(most) }
}

//! A guest that was warmed up once, and of which every task is a fork.
//!
//! It holds what a task holds, and one right more, which its host looks after: to make a namespace for processes and
//! to fork into it. A child gives that up, with everything else that is not a task's own, before it reads any input;
//! the host gives it none before it has seen that.
#![expect(unsafe_code, reason = "system calls between a fork and the first word of the child")]

use std::ffi::{c_int, c_long, c_uint, c_ulong, c_void};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use sandtrap_protocol::{
    BIRTH_BYTES, Birth, MOST_DESCRIPTORS, READY, START_FORK, START_VARIABLE, birth_step,
};

use crate::wire;

const CLONE_NEWPID: c_int = 0x2000_0000;
const LANDLOCK_RESTRICT_SELF: c_long = 446;
const PIDFD_OPEN: c_long = 434;
const SIGCHLD: c_int = 17;
const IGNORE: usize = 1;

#[cfg(target_arch = "x86_64")]
const SECCOMP: c_long = 317;
#[cfg(target_arch = "aarch64")]
const SECCOMP: c_long = 277;

/// A task's own descriptors: 0 to 3.
const PLACES: usize = 4;

// As every C library on Linux has them.
unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn fork() -> c_int;
    fn unshare(flags: c_int) -> c_int;
    fn setns(descriptor: c_int, kind: c_int) -> c_int;
    fn getpid() -> c_int;
    fn setpgid(process: c_int, group: c_int) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int;
    fn recvmsg(socket: c_int, message: *mut Message, flags: c_int) -> isize;
    fn capset(header: *const [u32; 2], sets: *const [u32; 6]) -> c_int;
    fn signal(number: c_int, action: usize) -> usize;
    fn _exit(code: c_int) -> !;
}

/// `msghdr`, which two C libraries lay out in different words, but to the same bytes.
#[repr(C)]
struct Message {
    name: *mut c_void,
    name_length: c_uint,
    parts: *mut Part,
    count: usize,
    control: *mut c_void,
    control_length: usize,
    flags: c_int,
}

#[repr(C)]
struct Part {
    base: *mut c_void,
    length: usize,
}

/// One order, with its descriptors as files that are closed with it.
struct Order {
    birth: Birth,
    instructions: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// A step that failed, and why.
type Failure = (u32, i32);

/// Whether this guest is to be forked. Takes the word from the environment: it is not passed on.
pub(crate) fn is_wanted() -> bool {
    let is_wanted = std::env::var(START_VARIABLE).is_ok_and(|how| how == START_FORK);
    if is_wanted {
        // SAFETY: this runs first in `main`, before there is a second thread that could read it.
        unsafe { std::env::remove_var(START_VARIABLE) };
    }
    is_wanted
}

/// Forks for every order. Returns in each child, which is to serve what comes over its own channel, and never in the
/// guest that was warmed up, which ends with its host.
pub(crate) fn fork_on_order() {
    let Some(mut control) = wire::control() else { return };
    // What was written meanwhile belongs to no task.
    let _ = std::io::stdout().flush();
    // SAFETY: children that nobody waits for vanish; the guest had no say in this before, and a child sets it back.
    let before = unsafe { signal(SIGCHLD, IGNORE) };
    // SAFETY: takes nothing and cannot fail.
    let own = unsafe { getpid() };
    // SAFETY: takes two integers, and gives a descriptor that nobody else owns.
    let own = unsafe { syscall(PIDFD_OPEN, own, 0_u32) } as RawFd;
    if own < 0 || control.write_all(&[READY]).is_err() {
        // SAFETY: ends this process, and runs nothing more of the guest's.
        unsafe { _exit(71) }
    }
    while let Some(order) = receive(&mut control) {
        let Ok(channel) = order.descriptors[PLACES - 1].try_clone() else { break };
        let mut channel = File::from(channel);
        match order.fork(own) {
            Ok(true) => {
                // SAFETY: what was there before; it may be a handler of the guest's own.
                unsafe { signal(SIGCHLD, before) };
                drop(adopt(own));
                if let Err(failure) = order.become_task() {
                    say(&mut channel, failure);
                    // SAFETY: ends this process; a child must not run what its parent has registered for its end.
                    unsafe { _exit(71) }
                }
                say(&mut channel, (0, 0));
                return wire::open_here();
            }
            Ok(false) => {}
            Err(failure) => say(&mut channel, failure),
        }
    }
    // SAFETY: the host is gone, and nothing of the guest's is left to be done.
    unsafe { _exit(0) }
}

/// Says what failed, or that nothing did. A host that doesn't hear it has gone.
fn say(channel: &mut File, (step, errno): Failure) {
    let mut record = [0; 8];
    record[..4].copy_from_slice(&step.to_ne_bytes());
    record[4..].copy_from_slice(&errno.to_ne_bytes());
    let _ = channel.write_all(&record);
}

/// Takes over a descriptor that the kernel has just made for us.
fn adopt(raw: RawFd) -> OwnedFd {
    // SAFETY: callers pass what nobody else owns.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

fn checked(step: u32, answer: c_int) -> Result<(), Failure> {
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or_default();
    if answer < 0 { Err((step, errno())) } else { Ok(()) }
}

impl Order {
    /// Says whether this is the child, which is the first process of a namespace of its own.
    fn fork(&self, own: RawFd) -> Result<bool, Failure> {
        // SAFETY: a number: the next child, and no other, is in a new namespace.
        checked(birth_step::NAMESPACE, unsafe { unshare(CLONE_NEWPID) })?;
        // SAFETY: this process has one thread (its host has counted), so no lock is held by another one.
        let child = unsafe { fork() };
        checked(birth_step::FORK, child)?;
        if child != 0 {
            // SAFETY: a descriptor of this process itself: back to where it is, or it could make no other namespace.
            let back = unsafe { setns(own, CLONE_NEWPID) };
            if back < 0 {
                // SAFETY: ends this process: it could not make another task. Its host starts it anew.
                unsafe { _exit(71) }
            }
        }
        Ok(child == 0)
    }

    /// The order is the security argument.
    fn become_task(self) -> Result<(), Failure> {
        // SAFETY: makes this child the leader of a new group.
        checked(birth_step::PROCESS_GROUP, unsafe { setpgid(0, 0) })?;
        let rules = self.birth.has_rules.then(|| self.descriptors[PLACES].as_raw_fd());
        let doors = PLACES + usize::from(self.birth.has_rules);
        for door in &self.descriptors[doors..] {
            // "0" is the kernel's word for the writer itself.
            let written = door.try_clone().map(File::from).and_then(|mut it| it.write_all(b"0"));
            written.map_err(|error| (birth_step::GROUP, error.raw_os_error().unwrap_or(0)))?;
        }
        if let Some(rules) = rules {
            // SAFETY: takes a descriptor and no flags.
            let answer = unsafe { syscall(LANDLOCK_RESTRICT_SELF, rules, 0_u32) };
            checked(birth_step::RULES, answer as c_int)?;
        }
        for (place, from) in self.descriptors[..PLACES].iter().enumerate() {
            // SAFETY: duplicates onto the number that a task's descriptor has. No source is that low: those numbers
            // were taken when the order came.
            let answer = unsafe { dup3(from.as_raw_fd(), place as c_int, 0) };
            checked(birth_step::DESCRIPTORS, answer)?;
        }
        drop(self.descriptors);
        drop_capabilities()?;
        put_on(&self.instructions)
    }
}

fn drop_capabilities() -> Result<(), Failure> {
    const AMBIENT: c_int = 47;
    const CLEAR_ALL: c_ulong = 4;
    const VERSION_3: u32 = 0x2008_0522;
    const NOTHING: c_ulong = 0;
    // SAFETY: a switch. Where there are no ambient capabilities it has nothing to do.
    let _ = unsafe { prctl(AMBIENT, CLEAR_ALL, NOTHING, NOTHING, NOTHING) };
    // SAFETY: a header for this process and two sets of three words, as version 3 wants them.
    checked(birth_step::CAPABILITIES, unsafe { capset(&[VERSION_3, 0], &[0; 6]) })
}

fn put_on(instructions: &[u8]) -> Result<(), Failure> {
    const SET_FILTER: c_uint = 1;
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const u8,
    }
    if instructions.is_empty() {
        return Ok(());
    }
    let length = (instructions.len() / 8) as u16;
    let program = Program { length, instructions: instructions.as_ptr() };
    // SAFETY: the program names as many instructions of eight bytes as there are; the kernel checks and copies them.
    let answer = unsafe { syscall(SECCOMP, SET_FILTER, 0_u32, &raw const program) };
    checked(birth_step::FILTER, answer as c_int)
}

/// Waits for an order. `None` when there will be no more.
fn receive(control: &mut File) -> Option<Order> {
    let mut head = [0; BIRTH_BYTES];
    let (mut have, descriptors) = first_part(control, &mut head)?;
    while have < BIRTH_BYTES {
        have += Some(control.read(&mut head[have..]).ok()?).filter(|count| *count > 0)?;
    }
    let birth = Birth::from_bytes(&head)?;
    let mut instructions = vec![0; birth.instructions as usize * 8];
    control.read_exact(&mut instructions).ok()?;
    let is_whole = birth.descriptors as usize == descriptors.len();
    is_whole.then_some(Order { birth, instructions, descriptors })
}

/// The first bytes of an order, and its descriptors.
fn first_part(control: &File, head: &mut [u8]) -> Option<(usize, Vec<OwnedFd>)> {
    /// A length, a level and a kind come before the descriptors.
    const HEADER: usize = 2;
    let mut beside = [0_u64; HEADER + MOST_DESCRIPTORS.div_ceil(2)];
    let mut part = Part { base: head.as_mut_ptr().cast(), length: head.len() };
    let mut message = Message {
        name: std::ptr::null_mut(),
        name_length: 0,
        parts: &raw mut part,
        count: 1,
        control: (&raw mut beside).cast(),
        control_length: size_of_val(&beside),
        flags: 0,
    };
    let count = loop {
        // SAFETY: the message names a buffer of this length, and room for the descriptors' numbers.
        let count = unsafe { recvmsg(control.as_raw_fd(), &raw mut message, 0) };
        let interrupted = std::io::ErrorKind::Interrupted;
        if count >= 0 || std::io::Error::last_os_error().kind() != interrupted {
            break count;
        }
    };
    let count = usize::try_from(count).ok().filter(|count| *count > 0)?;
    let there = usize::try_from(beside[0]).ok()?.checked_sub(HEADER * 8)? / 4;
    let numbers = beside[HEADER..].iter().flat_map(|two| [*two as u32, (*two >> 32) as u32]);
    let descriptors = numbers.take(there).map(|number| adopt(number as RawFd)).collect();
    Some((count, descriptors))
}

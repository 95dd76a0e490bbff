//! A guest that was warmed up once, and of which every task is a fork.
//!
//! It holds what a task holds, and one right more, which its host looks after: to make a namespace for processes and
//! to fork into it. A child gives that up, with everything else that is not a task's own, before it reads any input;
//! the host gives it none before it has seen that.
#![expect(unsafe_code, reason = "system calls between a fork and the first word of the child")]

use std::ffi::{c_int, c_long, c_uint, c_ulong};
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use sandtrap_protocol::{
    BIRTH_BYTES, BIRTH_PLACES, Birth, FromGuest, MOST_DESCRIPTORS, MOST_INSTRUCTIONS, RECORD_BYTES,
    START_FORK, START_VARIABLE, birth_step,
};

use crate::{arena, testify, wire};

const LANDLOCK_RESTRICT_SELF: c_long = 446;

/// The bytes of one instruction of a filter.
const INSTRUCTION: usize = 8;

/// How this process ends where nothing more of the guest's may run: without what it has registered for its end.
const BROKEN: c_int = 71;

static IS_FORK: AtomicBool = AtomicBool::new(false);

/// One order.
struct Order<'a> {
    birth: Birth,
    instructions: &'a [u8],
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

/// Forks for every order. Returns in each child, which has greeted its host and is to serve what comes over its own channel,
/// and never in the guest that was warmed up, which ends with its host.
pub(crate) fn fork_on_order(greeting: &[u8]) {
    let Some(control) = wire::descriptor() else { end(BROKEN) };
    // What was written meanwhile belongs to no task.
    flush();
    // SAFETY: children that nobody waits for vanish; the guest had no say in this before, and a child sets it back.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let Ok(own) = own_namespace() else { end(BROKEN) };
    testify::say(&FromGuest::Warm);
    // What a child says first, all at once: the host is woken for each message.
    let ready = [&[0; RECORD_BYTES][..], greeting].concat();
    let mut room = vec![0; BIRTH_BYTES + MOST_INSTRUCTIONS * INSTRUCTION];
    while let Some(order) = receive(control, &mut room) {
        match order.fork(own.as_fd()) {
            Ok(true) => {
                drop(own);
                // SAFETY: what was there before; it may be a handler of the guest's own.
                unsafe { libc::signal(libc::SIGCHLD, before) };
                IS_FORK.store(true, Ordering::Relaxed);
                return order.become_task(control, &ready);
            }
            Ok(false) => close(order.descriptors),
            Err(failure) => say(order.channel(), failure),
        }
    }
    // The host is gone, and nothing of the guest's is left to be done.
    end(0)
}

/// Whether this is a fork, of which nothing more is done when its host has its answer.
pub(crate) fn is_fork() -> bool {
    IS_FORK.load(Ordering::Relaxed)
}

/// Ends a fork whose calls are over.
pub(crate) fn end_fork() -> ! {
    flush();
    end(0)
}

/// Has written what was not written yet.
pub(crate) fn flush() {
    let _ = std::io::stdout().flush();
    // SAFETY: no stream in particular means all of the C library's; one that can't be written to keeps what it has.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

fn end(code: c_int) -> ! {
    // SAFETY: ends this process at once.
    unsafe { libc::_exit(code) }
}

/// The namespace that this process counts its own children in, for coming back to it.
fn own_namespace() -> Result<OwnedFd, Failure> {
    let own = std::process::id();
    // SAFETY: takes two integers, of which the first is this process.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, own, 0_u32) } as RawFd;
    checked(birth_step::NAMESPACE, raw)?;
    Ok(adopt(raw))
}

/// Says what failed. A host that doesn't hear it has gone.
fn say(channel: BorrowedFd<'_>, (step, errno): Failure) {
    let mut record = [0; RECORD_BYTES];
    record[..4].copy_from_slice(&step.to_ne_bytes());
    record[4..].copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: the bytes are there during the call.
    unsafe { libc::write(channel.as_raw_fd(), record.as_ptr().cast(), record.len()) };
}

/// Takes over a descriptor that the kernel has just made for us.
fn adopt(raw: RawFd) -> OwnedFd {
    // SAFETY: callers pass what nobody else owns.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// Closes them all, in one call where their numbers are in a row, as they mostly are.
fn close(descriptors: Vec<OwnedFd>) {
    let number = |one: Option<&OwnedFd>| one.map_or(0, |one| one.as_raw_fd() as c_uint);
    let (first, last) = (number(descriptors.first()), number(descriptors.last()));
    let is_next = |(at, one): (c_uint, &OwnedFd)| at == one.as_raw_fd() as c_uint;
    let is_row = !descriptors.is_empty() && (first..).zip(&descriptors).all(is_next);
    // SAFETY: all of them are ours, and nobody uses them any more: they are forgotten if this closes them.
    if is_row && unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) } == 0 {
        descriptors.into_iter().for_each(std::mem::forget);
    }
}

fn checked(step: u32, answer: c_int) -> Result<(), Failure> {
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or_default();
    if answer < 0 { Err((step, errno())) } else { Ok(()) }
}

impl Order<'_> {
    fn channel(&self) -> BorrowedFd<'_> {
        self.descriptors[BIRTH_PLACES - 1].as_fd()
    }

    /// Says whether this is the child, which is the first process of a namespace of its own.
    fn fork(&self, own: BorrowedFd<'_>) -> Result<bool, Failure> {
        // SAFETY: a number: the next child, and no other, is in a new namespace.
        checked(birth_step::NAMESPACE, unsafe { libc::unshare(libc::CLONE_NEWPID) })?;
        // SAFETY: this process has one thread (its host has counted), so no lock is held by another one.
        let child = unsafe { libc::fork() };
        let born = checked(birth_step::FORK, child);
        if child != 0 {
            // SAFETY: a descriptor of this process itself: back to where it is, or it could make no other namespace.
            let back = unsafe { libc::setns(own.as_raw_fd(), libc::CLONE_NEWPID) };
            if back < 0 {
                // It could not make another task. Its host starts it anew.
                end(BROKEN)
            }
        }
        born.map(|()| child == 0)
    }

    /// What it says of itself is the last that it has of its order: nothing of the guest's own has run by then.
    fn become_task(self, control: BorrowedFd<'_>, ready: &[u8]) {
        if let Err(failure) = self.put_on(control) {
            say(self.channel(), failure);
            end(BROKEN)
        }
        // The task's channel is where the orders came from.
        wire::send(ready, &[]);
        if !self.birth.has_arena {
            close(self.descriptors);
        } else if let Some(arena) = self.descriptors.into_iter().nth(BIRTH_PLACES) {
            arena::adopt(arena);
        }
    }

    /// The order is the security argument.
    fn put_on(&self, control: BorrowedFd<'_>) -> Result<(), Failure> {
        // SAFETY: makes this child the leader of a new group.
        checked(birth_step::PROCESS_GROUP, unsafe { libc::setpgid(0, 0) })?;
        let doors = self.birth.doors();
        for door in &self.descriptors[doors..] {
            // SAFETY: one byte of a constant: "0" is the kernel's word for the writer itself.
            let written = unsafe { libc::write(door.as_raw_fd(), c"0".as_ptr().cast(), 1) };
            checked(birth_step::GROUP, written as c_int)?;
        }
        if self.birth.has_rules {
            let rules = self.descriptors[doors - 1].as_raw_fd();
            // SAFETY: takes a descriptor and no flags.
            let answer = unsafe { libc::syscall(LANDLOCK_RESTRICT_SELF, rules, 0_u32) };
            checked(birth_step::RULES, answer as c_int)?;
        }
        // The task's channel takes the place of the socket for orders, which no task holds.
        let places = [(0, 0), (1, 0), (2, 0), (control.as_raw_fd(), libc::O_CLOEXEC)];
        for ((place, flags), from) in places.into_iter().zip(&self.descriptors) {
            // SAFETY: duplicates onto a number that is this process's own to give: a task's descriptor, or our channel.
            let answer = unsafe { libc::dup3(from.as_raw_fd(), place, flags) };
            checked(birth_step::DESCRIPTORS, answer)?;
        }
        drop_capabilities()?;
        put_on_filter(self.instructions)
    }
}

fn drop_capabilities() -> Result<(), Failure> {
    const CLEAR_ALL: c_ulong = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    const NOTHING: c_ulong = 0;
    let header = [0x2008_0522_u32, 0];
    let none = [0_u32; 6];
    // SAFETY: a switch. Where there are no ambient capabilities it has nothing to do.
    let _ = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, CLEAR_ALL, NOTHING, NOTHING, NOTHING) };
    // SAFETY: a header for this process and two sets of three words, as version 3 wants them.
    let answer = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    checked(birth_step::CAPABILITIES, answer as c_int)
}

fn put_on_filter(instructions: &[u8]) -> Result<(), Failure> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const u8,
    }
    if instructions.is_empty() {
        return Ok(());
    }
    let length = (instructions.len() / INSTRUCTION) as u16;
    let program = Program { length, instructions: instructions.as_ptr() };
    let mode = libc::SECCOMP_SET_MODE_FILTER as c_uint;
    // SAFETY: the program names as many instructions of eight bytes as there are; the kernel checks and copies them.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0_u32, &raw const program) };
    checked(birth_step::FILTER, answer as c_int)
}

/// Waits for an order. `None` when there will be no more.
fn receive<'a>(control: BorrowedFd<'_>, room: &'a mut [u8]) -> Option<Order<'a>> {
    let (mut have, mut descriptors) = (0, Vec::new());
    loop {
        have += part(control, &mut room[have..], &mut descriptors)?;
        let Some(head) = room[..have].first_chunk() else { continue };
        let birth = Birth::from_bytes(head)?;
        let total = BIRTH_BYTES + birth.instructions as usize * INSTRUCTION;
        if have > total {
            return None;
        }
        if have == total {
            let is_whole = birth.descriptors as usize == descriptors.len();
            let instructions = &room[BIRTH_BYTES..total];
            return is_whole.then_some(Order { birth, instructions, descriptors });
        }
    }
}

/// The next bytes of an order, and what came beside them.
fn part(control: BorrowedFd<'_>, room: &mut [u8], beside: &mut Vec<OwnedFd>) -> Option<usize> {
    /// A length, a level and a kind come before the descriptors.
    const HEADER: usize = 2;
    let mut numbers = [0_u64; HEADER + MOST_DESCRIPTORS.div_ceil(2)];
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: a struct of integers and pointers; all zeroes is a value of it.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut numbers).cast();
    message.msg_controllen = size_of_val(&numbers) as _;
    let count = loop {
        // SAFETY: the message names a buffer of this length, and room for the descriptors' numbers.
        let count =
            unsafe { libc::recvmsg(control.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        let interrupted = std::io::ErrorKind::Interrupted;
        if count >= 0 || std::io::Error::last_os_error().kind() != interrupted {
            break count;
        }
    };
    let bytes = usize::try_from(numbers[0]).unwrap_or(0).saturating_sub(HEADER * 8);
    let pairs = numbers[HEADER..].iter().flat_map(|two| [*two as u32, (*two >> 32) as u32]);
    beside.extend(pairs.take(bytes / 4).map(|number| adopt(number as RawFd)));
    usize::try_from(count).ok().filter(|count| *count > 0)
}

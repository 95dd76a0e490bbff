//! The heir: outlives its host, and removes the groups that a host could not remove because it was killed.
//!
//! It is the keeper's program under another order: it stands in no cage, holds nothing of the host's but a descriptor that
//! says when the host has ended, and looks for the host's groups by their name. Whoever is in one of them is killed; a
//! guest dies with its host anyway, so that is somebody whom nobody traced.
//!
//! # Safety
//!
//! One thread, static buffers, each of which is used by one function; texts come from the stack that the kernel made.

use crate::call::{call, exit, number};

/// Readable when the host has ended.
const HOST: usize = 0;

/// So often, and so many nanoseconds apart, it is tried: the kernel lets go of the dead a little later.
const ROUNDS: u32 = 2000;
const PAUSE: u64 = 1_000_000;

const BUSY: i32 = 16;
const AT_FDCWD: usize = -100_isize as usize;
const REMOVE_FOLDER: usize = 0x200;
/// A folder, closed by an exec.
#[cfg(target_arch = "x86_64")]
const FOLDER: usize = 0o20_0000 | 0o200_0000;
#[cfg(target_arch = "aarch64")]
const FOLDER: usize = 0o4_0000 | 0o200_0000;

/// Where the name is in what the kernel says of an entry, and where the length of that.
const NAME: usize = 19;
const LENGTH: usize = 16;

const LIST_BYTES: usize = 8192;

#[repr(C, align(8))]
struct List([u8; LIST_BYTES]);

static mut FOLDERS: List = List([0; LIST_BYTES]);
static mut MEMBERS: List = List([0; LIST_BYTES]);

/// `texts` are what the names of the host's groups begin with, and the folders in which they are.
pub(crate) fn inherit(texts: *const *const u8, count: usize) -> ! {
    wait_for(HOST, None);
    // SAFETY: the kernel put so many addresses of texts there.
    let text = |at: usize| unsafe { *texts.wrapping_add(at) };
    for _ in 0..ROUNDS {
        let mut are_all_gone = true;
        for at in 1..count {
            are_all_gone &= clear(text(at), text(0));
        }
        if are_all_gone {
            exit(0);
        }
        wait_for(usize::MAX, Some(PAUSE));
    }
    exit(1)
}

/// Waits until there is something to read, or for so many nanoseconds.
fn wait_for(descriptor: usize, nanoseconds: Option<u64>) {
    const READABLE: u64 = 1 << 32;
    let time = [0_u64, nanoseconds.unwrap_or(0)];
    let mut asked = descriptor as u64 & 0xffff_ffff | READABLE;
    let (list, count) = ((&raw mut asked) as usize, usize::from(nanoseconds.is_none()));
    let timeout = if nanoseconds.is_some() { (&raw const time) as usize } else { 0 };
    loop {
        // SAFETY: one entry as poll wants it, or none, and a time or none.
        match unsafe { call(number::PPOLL, [list, count, timeout, 0, 0, 0]) } {
            Ok(_) => return,
            Err(4) => {}
            // Of a host that may live nothing is removed.
            Err(_) => exit(1),
        }
    }
}

fn open(folder: usize, path: *const u8, flags: usize) -> Option<usize> {
    // SAFETY: the callers' texts end with a null.
    unsafe { call(number::OPENAT, [folder, path as usize, flags, 0, 0, 0]) }.ok()
}

fn close(descriptor: usize) {
    // SAFETY: closes what was opened here.
    let _ = unsafe { call(number::CLOSE_RANGE, [descriptor, descriptor, 0, 0, 0, 0]) };
}

/// Removes what is named so in a folder. Says whether nothing of it is left.
fn clear(path: *const u8, prefix: *const u8) -> bool {
    let Some(folder) = open(AT_FDCWD, path, FOLDER) else { return true };
    let list = (&raw mut FOLDERS).cast::<u8>();
    let mut are_all_gone = true;
    loop {
        // SAFETY: the buffer is as long as is said.
        let read = unsafe {
            call(number::GETDENTS64, [folder, list as usize, LIST_BYTES, 0, 0, 0])
        };
        let Ok(count @ 1..) = read else { break };
        let mut at = 0;
        while at + NAME < count {
            let entry = list.wrapping_add(at);
            // SAFETY: the kernel has written whole entries, each of which says how long it is.
            let length = unsafe { entry.wrapping_add(LENGTH).cast::<u16>().read_unaligned() };
            if length == 0 {
                break;
            }
            at += length as usize;
            let name = entry.wrapping_add(NAME);
            if begins_with(name, prefix) {
                are_all_gone &= remove(folder, name);
            }
        }
    }
    close(folder);
    are_all_gone
}

fn begins_with(mut text: *const u8, mut prefix: *const u8) -> bool {
    loop {
        // SAFETY: both end with a null, which ends the comparison at the latest.
        let (one, other) = unsafe { (*text, *prefix) };
        if other == 0 || one != other {
            return other == 0;
        }
        (text, prefix) = (text.wrapping_add(1), prefix.wrapping_add(1));
    }
}

fn remove(folder: usize, name: *const u8) -> bool {
    // SAFETY: the name ends with a null.
    match unsafe { call(number::UNLINKAT, [folder, name as usize, REMOVE_FOLDER, 0, 0, 0]) } {
        Err(BUSY) => {
            if let Some(group) = open(folder, name, FOLDER) {
                kill_all_in(group);
                close(group);
            }
            false
        }
        // What can't be removed now can't be removed later.
        _ => true,
    }
}

/// Kills whoever is in a group, as far as the list is read at once.
fn kill_all_in(group: usize) {
    const KILL: usize = 9;
    let Some(file) = open(group, c"cgroup.procs".as_ptr().cast(), 0) else { return };
    let list = (&raw mut MEMBERS).cast::<u8>();
    // SAFETY: the buffer is as long as is said.
    let read = unsafe { call(number::READ, [file, list as usize, LIST_BYTES, 0, 0, 0]) };
    let mut pid = 0;
    for at in 0..read.unwrap_or(0) {
        // SAFETY: so many bytes were read.
        match unsafe { *list.wrapping_add(at) } {
            digit @ b'0'..=b'9' => pid = pid * 10 + (digit - b'0') as usize,
            _ => {
                // Nobody whose number is not known here, and not the first process of all.
                if pid > 1 {
                    // SAFETY: numbers.
                    let _ = unsafe { call(number::KILL, [pid, KILL, 0, 0, 0, 0]) };
                }
                pid = 0;
            }
        }
    }
    close(file);
}

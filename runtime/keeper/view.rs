//! What a task sees that no other does: a `/tmp` of its own (and `/dev/shm`), and a `/proc` of its own processes. Both are mounted by
//! its child, in a namespace of mounts that it was born into, and are gone with its last process.
//!
//! # Safety
//!
//! As in `launch`: the child shares the keeper's memory, allocates nothing and returns to nobody.

use crate::call::{call, number};

/// Rights of Landlock, as bits.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
/// From removing a folder to controlling a device: all that is done to files and folders, as far as it is known here.
/// Listing (bit 3) is not among them: in a root of its own that is nobody's secret.
const CHANGE: u64 = 0xfff0;
/// The newest of them, which an older kernel doesn't know.
const NEWEST: [u64; 3] = [1 << 15, 1 << 14, 1 << 13];

const READ_ONLY: usize = 1;
const NO_SUID: usize = 2;
const NO_DEVICES: usize = 4;
const NO_EXEC: usize = 8;
const BIND: usize = 4096;

/// A private `/tmp`, which is seen as `/dev/shm`, too: one folder, with one size, which is in `options`. Gives it open,
/// for the host to look how full it is.
pub(crate) fn scratch(
    options: *const u8,
    rules: Option<usize>,
    may_execute: bool,
) -> Result<usize, i32> {
    let flags = NO_SUID | NO_DEVICES;
    let (kind, place) = (c"tmpfs".as_ptr(), c"/tmp".as_ptr());
    let arguments =
        [kind as usize, place as usize, kind as usize, flags, options as usize, 0];
    // SAFETY: texts that end with nulls; the mount is in this child's own namespace.
    unsafe { call(number::MOUNT, arguments) }?;
    let shared = c"/dev/shm".as_ptr() as usize;
    // SAFETY: the same.
    unsafe { call(number::MOUNT, [place as usize, shared, 0, BIND, 0, 0]) }?;
    let opened = open(c"/tmp")?;
    let execute = if may_execute { EXECUTE } else { 0 };
    permit(rules, opened, CHANGE | WRITE_FILE | READ_FILE | execute)?;
    Ok(opened)
}

/// A `/proc` that has this child's processes, to be read, and nothing else.
pub(crate) fn processes(rules: Option<usize>) -> Result<(), i32> {
    let flags = READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC;
    let (kind, place) = (c"proc".as_ptr() as usize, c"/proc".as_ptr() as usize);
    let options = c"subset=pid,hidepid=2".as_ptr() as usize;
    // SAFETY: the same.
    unsafe { call(number::MOUNT, [kind, place, kind, flags, options, 0]) }?;
    let opened = open(c"/proc")?;
    permit(rules, opened, READ_FILE)
}

/// A descriptor of a folder, for naming it.
fn open(folder: &core::ffi::CStr) -> Result<usize, i32> {
    const AT_FDCWD: usize = -100_isize as usize;
    const PATH_AND_CLOSE: usize = 0o12000000;
    // SAFETY: a text that ends with a null.
    unsafe { call(number::OPENAT, [AT_FDCWD, folder.as_ptr() as usize, PATH_AND_CLOSE, 0, 0, 0]) }
}

/// Adds a folder to this task's own rules.
fn permit(rules: Option<usize>, folder: usize, access: u64) -> Result<(), i32> {
    const PATH_BENEATH: usize = 1;
    const INVALID: i32 = 22;
    let Some(rules) = rules else { return Ok(()) };
    let mut access = access;
    let mut newest = NEWEST.iter();
    loop {
        // The kernel reads twelve bytes: the rights, and the descriptor.
        let rule = [access, folder as u64];
        let arguments = [rules, PATH_BENEATH, (&raw const rule) as usize, 0, 0, 0];
        // SAFETY: a rule of this kind, in this frame.
        match unsafe { call(number::LANDLOCK_ADD_RULE, arguments) } {
            Err(INVALID) => match newest.next() {
                Some(right) => access &= !right,
                None => return Err(INVALID),
            },
            other => return other.map(|_| ()),
        }
    }
}

/// Sends a descriptor to the host.
pub(crate) fn hand_over(socket: usize, descriptor: usize) -> Result<(), i32> {
    #[repr(C)]
    struct Part {
        base: *const u8,
        length: usize,
    }
    #[repr(C)]
    struct Control {
        length: usize,
        level: i32,
        kind: i32,
        descriptor: i32,
        padding: i32,
    }
    #[repr(C)]
    struct Message {
        name: usize,
        name_length: u32,
        parts: *const Part,
        count: usize,
        control: *const Control,
        control_length: usize,
        flags: i32,
    }
    const SOCKET_LEVEL: i32 = 1;
    const RIGHTS: i32 = 1;
    let part = Part { base: c".".as_ptr().cast(), length: 1 };
    // A head of sixteen bytes, and one descriptor.
    let control = Control {
        length: 20,
        level: SOCKET_LEVEL,
        kind: RIGHTS,
        descriptor: descriptor as i32,
        padding: 0,
    };
    let message = Message {
        name: 0,
        name_length: 0,
        parts: &raw const part,
        count: 1,
        control: &raw const control,
        control_length: size_of::<Control>(),
        flags: 0,
    };
    // SAFETY: the message names one byte of a constant and one descriptor, both in this frame.
    unsafe { call(number::SENDMSG, [socket, (&raw const message) as usize, 0, 0, 0, 0]) }?;
    Ok(())
}

//! Dies of: whatever it is told to say over its channel, byte for byte.
//!
//! It knows no rules: the input of the first call is a script, and each of its steps is done as it stands. A step is a
//! letter and its fields: `s` length bytes: say; `r` count length bytes: say again and again; `z` length: try to change
//! the size of the memory that is shared, and go on; `m` count place length bytes: write there into its lane, again and
//! again; `w` length: wait for so many bytes of the host; `o` length path: open that file until it is refused, and close
//! none; `p` count length bytes: say, with descriptors of its own beside the words, again and again; `v` number length
//! bytes: write to that descriptor, whatever comes of it; `c` number: close it; `x` code: exit; `h`: hang. Lengths, counts,
//! places, numbers and codes have four bytes, little-endian; that of `z` has eight.
#![cfg_attr(
    not(target_env = "p2"),
    expect(unsafe_code, reason = "an inherited descriptor, and imported functions")
)]

use std::fs::File;
use std::io::Write as _;
use std::mem::ManuallyDrop;
#[cfg(unix)]
use std::os::fd::{FromRawFd as _, RawFd};
#[cfg(target_os = "wasi")]
use std::os::wasi::io::{FromRawFd as _, RawFd};

/// The kind of frame that is a call.
const CALL: u8 = 1;

fn main() {
    let mut heard = Vec::new();
    let script = loop {
        assert!(raw::receive(&mut heard), "there is no script");
        if let Some(script) = script(&heard) {
            break script.to_vec();
        }
    };
    let mut rest = &script[..];
    while let Some((step, fields)) = rest.split_first() {
        rest = fields;
        act(*step, &mut rest);
    }
}

fn act(step: u8, rest: &mut &[u8]) {
    match step {
        b's' => raw::send(words(rest)),
        b'r' => {
            let (count, bytes) = (number(rest), words(rest));
            (0..count).for_each(|_| raw::send(bytes));
        }
        b'z' => raw::resize(take(rest, 8)),
        b'm' => {
            let (count, at, bytes) = (number(rest), number(rest), words(rest));
            (0..count).for_each(|_| raw::share(at, bytes));
        }
        b'w' => {
            let (wanted, mut heard) = (number(rest), Vec::new());
            while heard.len() < wanted && raw::receive(&mut heard) {}
        }
        b'o' => {
            let path = String::from_utf8_lossy(words(rest));
            let hoarded = std::iter::from_fn(|| File::open(&*path).ok()).map(std::mem::forget);
            assert!(hoarded.count() > 0, "there is no {path}");
        }
        b'p' => {
            let (count, bytes) = (number(rest), words(rest));
            (0..count).for_each(|_| raw::pass(bytes));
        }
        b'v' => {
            let (descriptor, bytes) = (number(rest), words(rest));
            let _ = file(descriptor).write_all(bytes);
        }
        b'c' => drop(ManuallyDrop::into_inner(file(number(rest)))),
        b'x' => std::process::exit(number(rest) as i32),
        _ => loop {
            std::hint::black_box(0);
        },
    }
}

fn words<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = number(rest);
    take(rest, length)
}

/// The descriptor of this number, whoever left it.
fn file(number: usize) -> ManuallyDrop<File> {
    // SAFETY: the number is all there is to know: nothing else in this guest uses what it names, and it is not closed by this.
    ManuallyDrop::new(unsafe { File::from_raw_fd(number as RawFd) })
}

/// The tail of the call, if it has come whole. What the host says before it is passed over.
fn script(heard: &[u8]) -> Option<&[u8]> {
    let mut rest = heard;
    let call = loop {
        let (length, frames) = rest.split_first_chunk()?;
        let frame = frames.get(..u32::from_le_bytes(*length) as usize)?;
        if frame[0] == CALL {
            break frame;
        }
        rest = &frames[frame.len()..];
    };
    // Its kind, its number and its codec have a byte each; the time and the length of the name vary.
    let time = call[3..].iter().position(|byte| *byte < 0x80)? + 1;
    let name = 3 + time;
    Some(&call[name + 1 + call[name] as usize..])
}

fn number(rest: &mut &[u8]) -> usize {
    let bytes = take(rest, 4);
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

#[cfg(unix)]
mod raw {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::FileExt as _;

    use super::file;

    /// The number of the channel.
    const CHANNEL: usize = 3;

    const FLAGS: i32 = libc::MSG_NOSIGNAL;

    /// So many descriptors go with one message.
    const PASSED: usize = 50;

    pub(super) fn receive(heard: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 4096];
        let count = file(CHANNEL).read(&mut buffer).unwrap_or(0);
        heard.extend_from_slice(&buffer[..count]);
        count > 0
    }

    pub(super) fn resize(length: &[u8]) {
        let length = length.try_into().map(u64::from_le_bytes).unwrap_or_default();
        assert!(file(4).set_len(length).is_err(), "its size is not fixed");
    }

    pub(super) fn share(at: usize, bytes: &[u8]) {
        let number = std::env::var("SANDTRAP_LANE").ok().and_then(|number| number.parse().ok());
        let lane = number.map(file);
        assert!(lane.is_some_and(|lane| lane.write_all_at(bytes, at as u64).is_ok()), "no lane");
    }

    pub(super) fn send(bytes: &[u8]) {
        // The host hangs up when it has had enough.
        let _ = file(CHANNEL).write_all(bytes);
    }

    /// What goes beside a message.
    #[repr(C)]
    struct Beside {
        head: libc::cmsghdr,
        descriptors: [libc::c_int; PASSED],
    }

    /// Says these words with many copies of stdin beside them.
    pub(super) fn pass(bytes: &[u8]) {
        let head = libc::cmsghdr {
            cmsg_len: size_of::<Beside>() as _,
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        };
        let mut beside = Beside { head, descriptors: [0; PASSED] };
        let mut part =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: it is made of numbers and of pointers that may be null.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = (&raw mut beside).cast();
        message.msg_controllen = size_of::<Beside>() as _;
        loop {
            // SAFETY: the message, its part and what is beside it live until this returns, and are as long as it says.
            let sent = unsafe { libc::sendmsg(CHANNEL as i32, &raw const message, FLAGS) };
            // Refused while too many are on their way; the host hangs up when it has had enough.
            let error = std::io::Error::last_os_error().raw_os_error();
            if sent >= 0 || error != Some(libc::ETOOMANYREFS) {
                return;
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(target_family = "wasm")]
mod raw {
    mod host {
        #[link(wasm_import_module = "sandtrap")]
        unsafe extern "C" {
            pub(super) fn send(pointer: *const u8, length: usize);
            pub(super) fn receive(pointer: *mut u8, length: usize) -> usize;
        }
    }

    pub(super) fn receive(heard: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 4096];
        // SAFETY: the host writes into exactly these bytes, and only during this call.
        let count = unsafe { host::receive(buffer.as_mut_ptr(), buffer.len()) };
        heard.extend_from_slice(&buffer[..count]);
        count > 0
    }

    pub(super) fn resize(_: &[u8]) {}

    pub(super) fn share(_: usize, _: &[u8]) {}

    /// Here nothing goes beside the words.
    pub(super) fn pass(bytes: &[u8]) {
        send(bytes);
    }

    pub(super) fn send(bytes: &[u8]) {
        // SAFETY: the host reads exactly these bytes, and only during this call.
        unsafe { host::send(bytes.as_ptr(), bytes.len()) }
    }
}

//! Dies of: whatever it is told to say over its channel, byte for byte.
//!
//! It knows no rules: the input of the first call is a script, and each of its steps is done as it stands. A step is a
//! letter and its fields: `s` length bytes: say; `r` count length bytes: say again and again; `z` length: try to change
//! the size of the memory that is shared, and go on; `m` count place length bytes: write there into its lane, again and
//! again; `w` length: wait for so many bytes of the host; `x` code: exit; `h`: hang. Lengths, counts, places and codes have
//! four bytes, little-endian; that of `z` has eight.
#![cfg_attr(
    not(target_env = "p2"),
    expect(unsafe_code, reason = "an inherited descriptor, and imported functions")
)]

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
        match step {
            b's' => {
                let length = number(&mut rest);
                raw::send(take(&mut rest, length));
            }
            b'r' => {
                let (count, length) = (number(&mut rest), number(&mut rest));
                let bytes = take(&mut rest, length);
                for _ in 0..count {
                    raw::send(bytes);
                }
            }
            b'z' => raw::resize(take(&mut rest, 8)),
            b'm' => {
                let (count, at) = (number(&mut rest), number(&mut rest));
                let length = number(&mut rest);
                let bytes = take(&mut rest, length);
                for _ in 0..count {
                    raw::share(at, bytes);
                }
            }
            b'w' => {
                let (wanted, mut heard) = (number(&mut rest), Vec::new());
                while heard.len() < wanted && raw::receive(&mut heard) {}
            }
            b'x' => std::process::exit(number(&mut rest) as i32),
            _ => loop {
                std::hint::black_box(0);
            },
        }
    }
}

/// The tail of the call, if it has come whole. Before it is a greeting of six bytes.
fn script(heard: &[u8]) -> Option<&[u8]> {
    let frame = heard.get(6..)?;
    let length = u32::from_le_bytes(*frame.first_chunk()?) as usize;
    let call = frame.get(4..4 + length)?;
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
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::mem::ManuallyDrop;
    use std::os::fd::FromRawFd as _;
    use std::os::unix::fs::FileExt as _;

    fn channel() -> ManuallyDrop<File> {
        // SAFETY: the host left this descriptor, and it is never closed here.
        ManuallyDrop::new(unsafe { File::from_raw_fd(3) })
    }

    pub(super) fn receive(heard: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 4096];
        let count = channel().read(&mut buffer).unwrap_or(0);
        heard.extend_from_slice(&buffer[..count]);
        count > 0
    }

    pub(super) fn resize(length: &[u8]) {
        let length = length.try_into().map(u64::from_le_bytes).unwrap_or_default();
        // SAFETY: the host left this descriptor, and it is never closed here.
        let arena = ManuallyDrop::new(unsafe { File::from_raw_fd(4) });
        assert!(arena.set_len(length).is_err(), "its size is not fixed");
    }

    pub(super) fn share(at: usize, bytes: &[u8]) {
        let number = std::env::var("SANDTRAP_LANE").ok().and_then(|number| number.parse().ok());
        // SAFETY: the host left this descriptor, and it is never closed here.
        let lane = number.map(|number| ManuallyDrop::new(unsafe { File::from_raw_fd(number) }));
        assert!(lane.is_some_and(|lane| lane.write_all_at(bytes, at as u64).is_ok()), "no lane");
    }

    pub(super) fn send(bytes: &[u8]) {
        // The host hangs up when it has had enough.
        let _ = channel().write_all(bytes);
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

    pub(super) fn send(bytes: &[u8]) {
        // SAFETY: the host reads exactly these bytes, and only during this call.
        unsafe { host::send(bytes.as_ptr(), bytes.len()) }
    }
}

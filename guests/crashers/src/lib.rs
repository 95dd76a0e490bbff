//! What the misbehaving speakers among the crashers share: bytes straight onto the channel.
#![cfg_attr(
    not(target_env = "p2"),
    expect(unsafe_code, reason = "an imported function, or a descriptor that was inherited")
)]

/// Writes raw bytes to the host's channel, whatever they are.
#[cfg(unix)]
pub fn send_raw(bytes: &[u8]) {
    use std::io::Write as _;
    use std::os::fd::FromRawFd as _;
    // SAFETY: the host gives every guest this descriptor, and nothing else here owns or closes it.
    let channel = unsafe { std::fs::File::from_raw_fd(3) };
    // The host hangs up when it has had enough.
    let _ = std::mem::ManuallyDrop::new(channel).write_all(bytes);
}

/// Writes raw bytes to the host's channel, whatever they are.
#[cfg(all(target_family = "wasm", not(target_env = "p2")))]
pub fn send_raw(bytes: &[u8]) {
    #[link(wasm_import_module = "sandtrap")]
    unsafe extern "C" {
        fn send(pointer: *const u8, length: usize);
    }
    // SAFETY: the host reads exactly these bytes, and only during this call.
    unsafe { send(bytes.as_ptr(), bytes.len()) }
}

/// A component has no channel.
#[cfg(target_env = "p2")]
pub fn send_raw(_: &[u8]) {}

//! What the misbehaving speakers among the crashers share: bytes straight onto the channel.
#![cfg_attr(
    all(target_family = "wasm", not(target_env = "p2")),
    expect(unsafe_code, reason = "an imported function")
)]

/// Writes raw bytes to the host's channel, whatever they are.
#[cfg(unix)]
pub fn send_raw(bytes: &[u8]) {
    use std::io::Write as _;
    let channel = std::fs::File::options().write(true).open("/proc/self/fd/3");
    if let Ok(mut channel) = channel {
        // The host hangs up when it has had enough.
        let _ = channel.write_all(bytes);
    }
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

//! The guest's end of the channel: a descriptor in a process, an import in a module. A component has none.
#![cfg_attr(
    not(target_env = "p2"),
    expect(unsafe_code, reason = "an inherited descriptor, and an imported function")
)]

#[cfg(unix)]
pub(crate) use process::{open, send};

#[cfg(all(target_family = "wasm", not(target_env = "p2")))]
pub(crate) use module::{open, send};

#[cfg(target_env = "p2")]
pub(crate) use nowhere::{open, send};

#[cfg(unix)]
mod process {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::{FromRawFd as _, OwnedFd};
    use std::sync::OnceLock;

    use sandtrap_protocol::CHANNEL_VARIABLE;

    static CHANNEL: OnceLock<Option<File>> = OnceLock::new();

    /// Takes the descriptor that the host left for us, if we have a host.
    pub(crate) fn open() {
        CHANNEL.get_or_init(|| {
            let number = std::env::var(CHANNEL_VARIABLE).ok()?.parse().ok()?;
            // SAFETY: the variable is set by the host alone, which made this descriptor for us; nobody
            // else in this process knows of it.
            let inherited = unsafe { OwnedFd::from_raw_fd(number) };
            // SAFETY: this runs first in `main`, before there is a second thread that could read it.
            unsafe { std::env::remove_var(CHANNEL_VARIABLE) };
            // Neither the variable nor the copy is passed on to programs that this one starts.
            inherited.try_clone().ok().map(File::from)
        });
    }

    pub(crate) fn send(bytes: &[u8]) {
        if let Some(Some(mut channel)) = CHANNEL.get().map(Option::as_ref) {
            // The host may have hung up; that is no reason to die of something else.
            let _ = channel.write_all(bytes);
        }
    }
}

#[cfg(all(target_family = "wasm", not(target_env = "p2")))]
mod module {
    mod host {
        // The names are `sandtrap_protocol::IMPORT_MODULE` and `IMPORT_SEND`.
        #[link(wasm_import_module = "sandtrap")]
        unsafe extern "C" {
            pub(super) fn send(pointer: *const u8, length: usize);
        }
    }

    /// A module has its channel from the beginning.
    pub(crate) fn open() {}

    pub(crate) fn send(bytes: &[u8]) {
        // SAFETY: the host reads exactly these bytes, and only during this call.
        unsafe { host::send(bytes.as_ptr(), bytes.len()) }
    }
}

/// A component imports interfaces, and no bare functions: its host hears of its exit and its output only.
#[cfg(target_env = "p2")]
mod nowhere {
    pub(crate) fn open() {}

    pub(crate) fn send(_: &[u8]) {}
}

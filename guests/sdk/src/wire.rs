//! The guest's end of the channel: a descriptor in a process, imports in a module. A component has none.
#![cfg_attr(
    not(any(target_env = "p2", windows)),
    expect(unsafe_code, reason = "an inherited descriptor, and imported functions")
)]

#[cfg(target_os = "linux")]
pub(crate) use process::descriptor;
#[cfg(unix)]
pub(crate) use process::{
    open, receive, receive_all, receive_call, send, send_last, send_pieces, try_receive,
};

#[cfg(all(target_family = "wasm", not(target_env = "p2")))]
pub(crate) use module::{
    open, receive, receive_all, receive_call, send, send as send_last, send_pieces, try_receive,
};

#[cfg(any(target_env = "p2", windows))]
pub(crate) use nowhere::{
    open, receive, receive_all, receive_call, send, send as send_last, send_pieces, try_receive,
};

#[cfg(unix)]
mod process {
    use std::fs::File;
    use std::io::{ErrorKind, Read as _, Write as _};
    #[cfg(target_os = "linux")]
    use std::os::fd::BorrowedFd;
    use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

    use sandtrap_protocol::{CHANNEL_VARIABLE, Hope};

    #[cfg(target_os = "linux")]
    use crate::lane;
    #[cfg(not(target_os = "linux"))]
    use no_lane as lane;

    /// Elsewhere there is no host that would offer one.
    #[cfg(not(target_os = "linux"))]
    mod no_lane {
        pub(super) fn open() {}

        pub(super) fn heard(_: usize) {}

        pub(super) fn said_elsewhere(_: usize) {}

        pub(super) fn answer(_: &[u8], _: &[u8]) -> bool {
            false
        }

        pub(super) fn receive(_: &mut [u8], _: &mut sandtrap_protocol::Hope) -> Option<usize> {
            None
        }
    }

    /// A frame of so many bytes is sent in one call of the system, head and tail together.
    const SMALL: usize = 1024;

    static CHANNEL: OnceLock<Option<File>> = OnceLock::new();

    /// Whose turn it is to send: a frame has two parts, and a thread may panic between those of another one.
    static TURN: Mutex<()> = Mutex::new(());

    fn turn() -> MutexGuard<'static, ()> {
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channel() -> Option<&'static File> {
        CHANNEL.get()?.as_ref()
    }

    /// Takes the descriptor that the host left for us, if we have a host.
    pub(crate) fn open() {
        crate::arena::open();
        lane::open();
        CHANNEL.get_or_init(|| {
            let number = std::env::var(CHANNEL_VARIABLE).ok()?.parse().ok()?;
            // SAFETY: the variable is set by the host alone, which made this descriptor for us; nobody
            // else in this process knows of it.
            let inherited = unsafe { OwnedFd::from_raw_fd(number) };
            // SAFETY: this runs first in `main`, before there is a second thread that could read it; or in the one
            // test of a harness whose other thread does nothing but wait for it.
            unsafe { std::env::remove_var(CHANNEL_VARIABLE) };
            // Neither the variable nor the copy is passed on to programs that this one starts.
            inherited.try_clone().ok().map(File::from)
        });
    }

    /// The number of the channel. What is put there is the channel.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptor() -> Option<BorrowedFd<'static>> {
        channel().map(AsFd::as_fd)
    }

    /// Sends a frame. The host may have hung up; that is no reason to die of something else.
    pub(crate) fn send(head: &[u8], tail: &[u8]) {
        send_pieces(&[head, tail]);
    }

    /// The same of one that lies in pieces.
    pub(crate) fn send_pieces(pieces: &[&[u8]]) {
        let Some(channel) = channel() else { return };
        let _turn = turn();
        write(channel, pieces);
    }

    /// Sends the last word about a call, in the lane if the host looks there.
    pub(crate) fn send_last(head: &[u8], tail: &[u8]) {
        let Some(channel) = channel() else { return };
        let _turn = turn();
        if !lane::answer(head, tail) {
            write(channel, &[head, tail]);
        }
    }

    fn write(mut channel: &File, pieces: &[&[u8]]) {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        if length <= SMALL {
            let (mut buffer, mut end) = ([0; SMALL], 0);
            for piece in pieces {
                buffer[end..end + piece.len()].copy_from_slice(piece);
                end += piece.len();
            }
            let _ = channel.write_all(&buffer[..end]);
        } else {
            let _ = pieces.iter().try_for_each(|piece| channel.write_all(piece));
        }
        lane::said_elsewhere(length);
    }

    /// Waits for what the host sends next, where it sends calls, too.
    pub(crate) fn receive_call(buffer: &mut [u8], hope: &mut Hope) -> usize {
        lane::receive(buffer, hope).unwrap_or_else(|| receive(buffer))
    }

    /// Waits for what the host sends next. Gives 0 where nothing more will come.
    pub(crate) fn receive(buffer: &mut [u8]) -> usize {
        let Some(mut channel) = channel() else { return 0 };
        loop {
            match channel.read(buffer) {
                Ok(count) => {
                    lane::heard(count);
                    return count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return 0,
            }
        }
    }

    /// What has come already. `None` if there is nothing yet.
    pub(crate) fn try_receive(buffer: &mut [u8]) -> Option<usize> {
        let Some(mut channel) = channel() else { return Some(0) };
        // Who sends meanwhile would not be let wait either, and lose what has no room.
        let _turn = turn();
        let socket = UnixStream::from(channel.as_fd().try_clone_to_owned().ok()?);
        socket.set_nonblocking(true).ok()?;
        let count = channel.read(buffer).ok();
        lane::heard(count.unwrap_or(0));
        // It worked a moment ago.
        let _ = socket.set_nonblocking(false);
        count
    }

    /// Waits until so many bytes are there. Says whether they all came.
    pub(crate) fn receive_all(into: &mut Vec<u8>, missing: usize) -> bool {
        into.reserve_exact(missing);
        let channel = channel();
        let read = channel.map(|channel| channel.take(missing as u64).read_to_end(into));
        lane::heard(missing);
        matches!(read, Some(Ok(count)) if count == missing)
    }
}

#[cfg(all(target_family = "wasm", not(target_env = "p2")))]
mod module {
    mod host {
        // The names are `sandtrap_protocol::IMPORT_MODULE`, `IMPORT_SEND` and `IMPORT_RECEIVE`.
        #[link(wasm_import_module = "sandtrap")]
        unsafe extern "C" {
            pub(super) fn send(pointer: *const u8, length: usize);
            pub(super) fn receive(pointer: *mut u8, length: usize) -> usize;
        }
    }

    /// A module has its channel from the beginning.
    pub(crate) fn open() {}

    pub(crate) fn send(head: &[u8], tail: &[u8]) {
        send_pieces(&[head, tail]);
    }

    pub(crate) fn send_pieces(pieces: &[&[u8]]) {
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            // SAFETY: the host reads exactly these bytes, and only during this call.
            unsafe { host::send(piece.as_ptr(), piece.len()) }
        }
    }

    /// What the host sends next. Gives 0 where there is nothing.
    pub(crate) fn receive(buffer: &mut [u8]) -> usize {
        // SAFETY: the host writes into exactly these bytes, and only during this call.
        let count = unsafe { host::receive(buffer.as_mut_ptr(), buffer.len()) };
        count.min(buffer.len())
    }

    /// The same: a module has no lane.
    pub(crate) fn receive_call(buffer: &mut [u8], _: &mut sandtrap_protocol::Hope) -> usize {
        receive(buffer)
    }

    /// The same: here nothing has to be waited for.
    pub(crate) fn try_receive(buffer: &mut [u8]) -> Option<usize> {
        Some(receive(buffer)).filter(|count| *count > 0)
    }

    /// Says whether so many bytes came.
    pub(crate) fn receive_all(into: &mut Vec<u8>, missing: usize) -> bool {
        into.reserve_exact(missing);
        let end = into.len() + missing;
        while into.len() < end {
            let missing = end - into.len();
            let room = &mut into.spare_capacity_mut()[..missing];
            // SAFETY: the host writes into exactly these bytes, and only during this call.
            let count = unsafe { host::receive(room.as_mut_ptr().cast(), room.len()) };
            if count == 0 || count > room.len() {
                return false;
            }
            // SAFETY: the host has written so many bytes, which fit into what was reserved.
            unsafe { into.set_len(into.len() + count) };
        }
        true
    }

    /// By this a host enters a guest that it keeps, for every call after the first.
    // SAFETY: the name is `sandtrap_protocol::EXPORT_SERVE`, and nobody else's.
    #[unsafe(no_mangle)]
    extern "C" fn sandtrap_serve() {
        crate::serve::go_on();
    }

    /// The C library's own is this without a word. A panic that is resumed calls no hook, and where nothing unwinds, it comes
    /// straight here.
    // SAFETY: the name is the C library's, which says that it does not return and may be called by anybody; nothing else
    // is promised of it.
    #[unsafe(no_mangle)]
    extern "C" fn abort() -> ! {
        crate::panics::aborts();
        std::arch::wasm32::unreachable()
    }
}

/// A component imports interfaces, and no bare functions: its host hears of its exit and its output only. Other
/// systems have no wall for processes, so nobody calls there.
#[cfg(any(target_env = "p2", windows))]
mod nowhere {
    pub(crate) fn open() {}

    pub(crate) fn send(_: &[u8], _: &[u8]) {}

    pub(crate) fn send_pieces(_: &[&[u8]]) {}

    pub(crate) fn receive(_: &mut [u8]) -> usize {
        0
    }

    pub(crate) fn receive_call(_: &mut [u8], _: &mut sandtrap_protocol::Hope) -> usize {
        0
    }

    pub(crate) fn try_receive(_: &mut [u8]) -> Option<usize> {
        Some(0)
    }

    pub(crate) fn receive_all(_: &mut Vec<u8>, missing: usize) -> bool {
        missing == 0
    }
}

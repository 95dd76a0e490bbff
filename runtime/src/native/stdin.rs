//! What a guest finds on its standard input, as an open descriptor; and who fills that, where it is bounded.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::evidence::Refusal;
use crate::quantity::ByteSize;
use crate::task::Stdin;

use super::bell::Bell;
use super::feed::Feed;
use super::refusals;

/// The guest's end of its input, and what fills it, if it isn't the input itself.
pub(super) type Given = (OwnedFd, Option<Feed>);

/// Opens it. `None` when that would have to wait for longer than `patience`, or until the bell rang.
pub(super) fn open(
    stdin: &Stdin,
    most: Option<ByteSize>,
    stop_bell: &Bell,
    patience: Duration,
) -> Result<Option<Given>, Refusal> {
    let opened = match stdin {
        Stdin::Null => File::open("/dev/null").map(|file| Some(file.into())),
        Stdin::Bytes(bytes) => in_memory(bytes).map(Some),
        Stdin::File(path) => open_file(path, stop_bell, patience),
        Stdin::Descriptor(descriptor) => descriptor.try_clone().map(Some),
    };
    let most = most.filter(|most| match stdin {
        Stdin::Null => false,
        Stdin::Bytes(bytes) => bytes.len() as u64 > most.as_u64(),
        // A file may grow while it is read.
        Stdin::File(_) | Stdin::Descriptor(_) => true,
    });
    let given = |descriptor| match most {
        None => Ok((descriptor, None)),
        Some(most) => Feed::new(descriptor, most).map(|(end, feed)| (end, Some(feed))),
    };
    let given = opened.and_then(|opened| opened.map(given).transpose());
    given.map_err(|error| refusals::at_stdin(&error, stdin))
}

/// Bytes lie in memory of the kernel's, so that nobody has to feed a pipe.
fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("sandtrap-stdin", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Opens without waiting and reads with waiting. A named pipe is ready when somebody writes to it.
fn open_file(path: &Path, stop_bell: &Bell, patience: Duration) -> io::Result<Option<OwnedFd>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.file_type().is_fifo() && !has_writer(&file, stop_bell, patience) {
        return Ok(None);
    }
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(Some(file.into()))
}

/// Waits until a named pipe has something to read, or had a writer.
fn has_writer(pipe: &File, stop_bell: &Bell, patience: Duration) -> bool {
    let mut polled = [
        PollFd::new(pipe.as_fd(), PollFlags::POLLIN),
        PollFd::new(stop_bell.as_fd(), PollFlags::POLLIN),
    ];
    let millis = patience.as_micros().div_ceil(1000);
    let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut polled, timeout) {
            Err(nix::errno::Errno::EINTR) => {}
            _ => return polled[0].any() == Some(true),
        }
    }
}

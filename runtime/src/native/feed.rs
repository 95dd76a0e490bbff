//! Passes on an input of which only so much may be read, through a pipe of one page.
//!
//! Such a pipe takes more only when it is empty, and says when it is: so it is seen what the guest has taken, and not only
//! what was laid ready for it. One byte more is laid ready than it may have. Who takes that one, too, has read too much;
//! who leaves it there has not asked for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::quantity::ByteSize;

/// What is passed on at once. The kernel makes one page of whatever is less than that.
const PIECE_BYTES: usize = 4096;

/// So many pieces before somebody looks after the guest's other descriptors.
const MOST_PIECES: u32 = 16;

/// An input, and the way from it to the guest.
pub(super) struct Feed {
    source: File,
    /// Our end. None at the end of the input: the guest finds that, then.
    pipe: Option<File>,
    /// The guest's end, too: a write to a pipe that nobody reads would be a signal to this host.
    _guests_end: OwnedFd,
    /// What may be taken from the source, the one byte too many included.
    left: u64,
    piece: Box<[u8; PIECE_BYTES]>,
    /// What of the piece is not in the pipe yet.
    pending: Range<usize>,
    /// Whether the pipe was empty when it was last looked at, and nothing is at hand to be laid into it.
    is_hungry: bool,
    /// Whether it gives nothing any more, nor the end: the guest is to be ended before it takes what it got for all there is.
    is_held_back: bool,
}

impl Feed {
    /// One from this source, and the end of it that is the guest's.
    pub(super) fn new(source: OwnedFd, most: ByteSize) -> io::Result<(OwnedFd, Self)> {
        let (guests_end, pipe) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIECE_BYTES as i32))?;
        let feed = Self {
            source: readable(source.into())?,
            pipe: Some(pipe.into()),
            _guests_end: guests_end.try_clone()?,
            left: most.as_u64().saturating_add(1),
            piece: Box::new([0; PIECE_BYTES]),
            pending: 0..0,
            is_hungry: true,
            is_held_back: false,
        };
        Ok((guests_end, feed))
    }

    /// What it waits for: for more of its input, or until the guest has taken what there is.
    pub(super) fn waits_for(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let pipe = self.pipe.as_ref().filter(|_| !self.is_held_back)?;
        Some(match self.is_hungry {
            true => (self.source.as_fd(), PollFlags::POLLIN),
            false => (pipe.as_fd(), PollFlags::POLLOUT),
        })
    }

    /// Passes on what there is and is room for. Says whether the guest has taken more than it may.
    pub(super) fn go_on(&mut self) -> io::Result<bool> {
        let passed = self.pass();
        self.is_held_back |= !matches!(passed, Ok(false));
        passed
    }

    fn pass(&mut self) -> io::Result<bool> {
        for _ in 0..MOST_PIECES {
            if !self.is_due() {
                break;
            }
            if self.has_taken_too_much() {
                return Ok(true);
            }
            if self.is_hungry {
                self.take()?;
            }
            self.is_hungry = !self.give()?;
        }
        Ok(false)
    }

    /// The same, asked of a guest that is gone.
    pub(super) fn has_taken_too_much(&self) -> bool {
        let is_all_given = self.left == 0 && self.pending.is_empty() && !self.is_hungry;
        is_all_given && self.is_due()
    }

    fn is_due(&self) -> bool {
        let Some((descriptor, event)) = self.waits_for() else { return false };
        let mut polled = [PollFd::new(descriptor, event)];
        poll(&mut polled, PollTimeout::ZERO).is_ok() && polled[0].any() == Some(true)
    }

    /// Reads a piece, no more than may be given.
    fn take(&mut self) -> io::Result<()> {
        let most = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        match self.source.read(&mut self.piece[..most]) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                self.left -= count as u64;
                self.pending = 0..count;
            }
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Lays it into the pipe. Says whether there was something to be laid there; a guest that has a way to write to its own
    /// stdin may have left no room.
    fn give(&mut self) -> io::Result<bool> {
        let Some(pipe) = &mut self.pipe else { return Ok(false) };
        if self.pending.is_empty() {
            return Ok(false);
        }
        match pipe.write(&self.piece[self.pending.clone()]) {
            Ok(count) => self.pending.start += count,
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

/// What is said when an input turns out to be unreadable while the guest reads it.
pub(super) fn unreadable(error: &io::Error) -> LoadError {
    let detail = format!("its input can't be read to the end: {error}");
    LoadError::at(Step::Accept, detail).with_errno(error.raw_os_error())
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Others may read from the same pipe between our look and our read, and its flags are theirs, too: it is opened once more,
/// so that no read of ours waits. Nothing else can be opened twice; there such a race makes us wait for the next input.
fn readable(source: File) -> io::Result<File> {
    let flags = OFlag::from_bits_truncate(fcntl(&source, FcntlArg::F_GETFL)?);
    if flags & OFlag::O_ACCMODE == OFlag::O_WRONLY {
        return Err(Errno::EBADF.into());
    }
    let kind = source.metadata()?.file_type();
    if kind.is_dir() {
        return Err(Errno::EISDIR.into());
    }
    if !kind.is_fifo() {
        return Ok(source);
    }
    let path = format!("/proc/self/fd/{}", source.as_raw_fd());
    let again = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    Ok(again.unwrap_or(source))
}

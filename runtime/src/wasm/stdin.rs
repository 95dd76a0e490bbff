//! What a guest reads: nothing, bytes, or a file of the host that may make it wait.
//!
//! A pipe or a terminal is waited for with the guest's bell, so that a guest that waits for input can be
//! stopped. It is opened without waiting, too: a pipe that nobody writes to yet is just one without data.
//!
//! A descriptor of the host's is shared with others, who may read between our look and our read; its flags
//! are shared, too, and not ours to change. A pipe is opened once more for that, so that a read from it
//! never waits. For anything else (a terminal, a socket) a guest that lost such a race waits for the next
//! input before it can be stopped.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use crate::evidence::StopReason;
use crate::isolation::StopHandle;
use crate::quantity::ByteSize;
use crate::task::Stdin;

use super::bell::{self, Bell};
use super::ending::Interrupted;

/// The most that one read gives.
const MOST_AT_ONCE: usize = 64 * 1024;

/// An input that is open.
pub(super) enum Source {
    Bytes(Bytes),
    File(Opened),
}

/// A file, a pipe or a device of the host.
pub(super) struct Opened {
    file: Arc<File>,
    /// Whether a read may have to wait.
    waits: bool,
    /// What is read in its stead: the same pipe, where `file` itself would wait.
    pipe: Option<File>,
}

impl Source {
    pub(super) fn open(stdin: &Stdin) -> io::Result<Self> {
        match stdin {
            Stdin::Null => Ok(Self::nothing()),
            Stdin::Bytes(bytes) => Ok(Self::Bytes(Bytes::from_owner(Arc::clone(bytes)))),
            Stdin::File(path) => Ok(Self::File(Opened::new(open_at_once(path)?)?)),
            #[cfg(unix)]
            Stdin::Descriptor(descriptor) => {
                Ok(Self::File(Opened::shared(descriptor.try_clone()?.into())?))
            }
        }
    }

    /// An input that is at its end.
    pub(super) fn nothing() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl Opened {
    fn new(file: File) -> io::Result<Self> {
        let waits = !file.metadata()?.is_file();
        Ok(Self { file: Arc::new(file), waits, pipe: None })
    }

    /// A file that others read from, too.
    #[cfg(target_os = "linux")]
    fn shared(file: File) -> io::Result<Self> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::FileTypeExt as _;

        let flags = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?);
        if flags & OFlag::O_ACCMODE == OFlag::O_WRONLY {
            return Err(nix::errno::Errno::EBADF.into());
        }
        let is_pipe = file.metadata()?.file_type().is_fifo();
        let again = || open_at_once(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref()).ok();
        let pipe = if is_pipe { again() } else { None };
        Ok(Self { pipe, ..Self::new(file)? })
    }

    #[cfg(all(unix, not(target_os = "linux")))]
    fn shared(file: File) -> io::Result<Self> {
        Self::new(file)
    }

    fn read(&self, size: usize) -> StreamResult<Bytes> {
        let mut buffer = vec![0; size];
        let mut file = self.pipe.as_ref().unwrap_or(&self.file);
        match file.read(&mut buffer) {
            Ok(0) if size > 0 => Err(StreamError::Closed),
            Ok(read) => {
                buffer.truncate(read);
                Ok(buffer.into())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(Bytes::new())
            }
            Err(error) => Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}

#[cfg(unix)]
fn open_at_once(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path)
}

#[cfg(target_os = "linux")]
const NONBLOCK: i32 = nix::libc::O_NONBLOCK;

/// Where nothing waits for readiness, reads wait by themselves.
#[cfg(all(unix, not(target_os = "linux")))]
const NONBLOCK: i32 = 0;

#[cfg(not(unix))]
fn open_at_once(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

/// The guest's end of an input. Clones read on where the others stopped.
#[derive(Clone)]
pub(super) struct Input {
    source: Arc<Mutex<Source>>,
    bell: Arc<Bell>,
    /// Whether a read waits until it has all that it asked for.
    fills_buffers: bool,
    bound: Option<Arc<Bound>>,
}

/// How much of it the guest may read.
struct Bound {
    left: AtomicU64,
    stop: StopHandle,
}

impl Input {
    pub(super) fn new(source: Source, bell: Arc<Bell>) -> Self {
        Self { source: Arc::new(Mutex::new(source)), bell, fills_buffers: false, bound: None }
    }

    /// The same, of which no more than this may be read: a guest that reads more is stopped.
    pub(super) fn bounded(self, most: Option<ByteSize>, stop: &StopHandle) -> Self {
        let left = most.map(|most| AtomicU64::new(most.as_u64()));
        let bound = left.map(|left| Arc::new(Bound { left, stop: stop.clone() }));
        Self { bound, ..self }
    }

    /// The same, but in what pieces the input comes is not seen: a read gives all that it asked for, unless
    /// the end comes first.
    pub(super) fn filling_buffers(self) -> Self {
        Self { fills_buffers: true, ..self }
    }

    /// Whether a read would not wait. If it would, the bell's next wait ends when that changes.
    pub(super) fn is_ready(&self) -> bool {
        self.poll_ready().is_ready()
    }

    fn poll_ready(&self) -> Poll<()> {
        match &*self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::File(Opened { file, waits: true, .. }) if !bell::is_readable(file) => {
                self.bell.listen_to(file);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Bound {
    /// What is read for a guest that asks for this much: one byte more than it may have shows that there is more.
    fn most_of(&self, size: usize) -> usize {
        let left = self.left.load(Ordering::Relaxed).saturating_add(1);
        usize::try_from(left).unwrap_or(size).min(size)
    }

    /// Counts what was read for it. It is stopped, and gets nothing of that, if it was too much.
    fn allows(&self, count: usize) -> bool {
        // Only the guest's own thread reads, so nobody comes between.
        match self.left.load(Ordering::Relaxed).checked_sub(count as u64) {
            Some(left) => self.left.store(left, Ordering::Relaxed),
            None => _ = self.stop.stop(StopReason::Stdin),
        }
        self.stop.reason() != Some(StopReason::Stdin)
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        // Nobody wakes this future: the bell's next wait ends when there is something to read, and then
        // the thread polls it again.
        std::future::poll_fn(|_| self.poll_ready()).await;
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = size.min(MOST_AT_ONCE);
        if self.poll_ready().is_pending() {
            return Ok(Bytes::new());
        }
        let size = self.bound.as_ref().map_or(size, |bound| bound.most_of(size));
        let bytes = match &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Bytes(left) if left.is_empty() => Err(StreamError::Closed),
            Source::Bytes(left) => Ok(left.split_to(size.min(left.len()))),
            Source::File(opened) => opened.read(size),
        }?;
        match &self.bound {
            Some(bound) if !bound.allows(bytes.len()) => Err(StreamError::Trap(Interrupted.into())),
            _ => Ok(bytes),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = size.min(MOST_AT_ONCE);
        let mut all = BytesMut::new();
        loop {
            self.ready().await;
            let bytes = match self.read(size - all.len()) {
                Err(StreamError::Closed) if !all.is_empty() => return Ok(all.freeze()),
                bytes => bytes?,
            };
            if bytes.len() == size {
                return Ok(bytes);
            }
            // Somebody else may have been faster; then there is nothing, and the end is not reached.
            all.extend_from_slice(&bytes);
            if all.len() == size || !all.is_empty() && !self.fills_buffers {
                return Ok(all.freeze());
            }
        }
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        match &*self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Bytes(_) => false,
            Source::File(opened) => io::IsTerminal::is_terminal(&*opened.file),
        }
    }
}

impl StdinStream for Input {
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncRead + Send + Sync> {
        // Only a later version of WASI reads this way, and it is not offered.
        StdinStream::async_stream(&io::empty())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_read_from_a_shared_pipe_never_waits_for_what_somebody_else_took() {
        let (reader, _writer) = io::pipe().unwrap();
        let pipe = Opened::shared(File::from(std::os::fd::OwnedFd::from(reader))).unwrap();
        assert_eq!(pipe.read(1).unwrap(), Bytes::new());
    }
}

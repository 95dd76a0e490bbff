//! What a guest reads: nothing, bytes, or a file of the host that may make it wait.
//!
//! A pipe or a terminal is waited for with the guest's bell, so that a guest that waits for input can be
//! stopped. It is opened without waiting, too: a pipe that nobody writes to yet is just one without data.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use crate::task::Stdin;

use super::bell::Bell;

/// The most that one read gives.
const MOST_AT_ONCE: usize = 64 * 1024;

/// An input that is open.
pub(super) enum Source {
    Bytes(Bytes),
    File {
        file: Arc<File>,
        /// Whether a read may have to wait.
        waits: bool,
    },
}

impl Source {
    pub(super) fn open(stdin: &Stdin) -> io::Result<Self> {
        match stdin {
            Stdin::Null => Ok(Self::nothing()),
            Stdin::Bytes(bytes) => Ok(Self::Bytes(Bytes::from_owner(Arc::clone(bytes)))),
            Stdin::File(path) => {
                let file = open_at_once(path)?;
                let waits = !file.metadata()?.is_file();
                Ok(Self::File { file: Arc::new(file), waits })
            }
        }
    }

    /// An input that is at its end.
    pub(super) fn nothing() -> Self {
        Self::Bytes(Bytes::new())
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
}

impl Input {
    pub(super) fn new(source: Source, bell: Arc<Bell>) -> Self {
        Self { source: Arc::new(Mutex::new(source)), bell }
    }

    fn poll_ready(&self) -> Poll<()> {
        match &*self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::File { file, waits: true } if !super::bell::is_readable(file) => {
                self.bell.listen_to(file);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
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
        match &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Bytes(left) if left.is_empty() => Err(StreamError::Closed),
            Source::Bytes(left) => Ok(left.split_to(size.min(left.len()))),
            Source::File { file, .. } => read_file(file, size),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        loop {
            self.ready().await;
            let bytes = self.read(size)?;
            // Somebody else may have been faster; then there is nothing, and the end is not reached.
            if !bytes.is_empty() || size == 0 {
                return Ok(bytes);
            }
        }
    }
}

fn read_file(mut file: &File, size: usize) -> StreamResult<Bytes> {
    let mut buffer = vec![0; size];
    match file.read(&mut buffer) {
        Ok(0) if size > 0 => Err(StreamError::Closed),
        Ok(read) => {
            buffer.truncate(read);
            Ok(buffer.into())
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Ok(Bytes::new())
        }
        Err(error) => Err(StreamError::LastOperationFailed(error.into())),
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        match &*self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Bytes(_) => false,
            Source::File { file, .. } => io::IsTerminal::is_terminal(&**file),
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

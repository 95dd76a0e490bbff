//! Where a guest's stdout and stderr go: straight to the ear of the thread that it runs on, or over one
//! bounded channel to the thread that listens; in the order in which they were written either way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sandtrap_protocol::{Codec, Level};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::channel::Stream;
use crate::event::Event;
use crate::evidence::StopReason;
use crate::isolation::StopHandle;
use crate::limits::Limits;

use super::ending::Interrupted;
use super::guest::{Guest, Outcome};
use super::lend;
use super::signal::Signal;

/// How many pieces may be on their way. The guest waits when there are more.
pub(super) const MOST_ON_THEIR_WAY: usize = 32;

/// How much a guest may write at once.
const PIECE: usize = 64 * 1024;

/// What comes from a guest's thread.
pub(super) enum Said {
    /// A piece of output.
    Wrote(Stream, Bytes),
    /// A word over its channel.
    Told(Word),
    /// The guest has ended, and is there still if it may be used again. Nothing follows.
    Ended(Box<(Outcome, Option<Guest>)>),
}

/// What a guest said over its channel, on its way to another thread.
pub(super) enum Word {
    Log(Level, String),
    Progress(u64, Option<u64>, String),
    Emitted(Codec, Bytes),
}

impl Word {
    /// `None` for what is no word of a guest's.
    fn of(event: Event<'_>) -> Option<Self> {
        match event {
            Event::Log { level, text } => Some(Self::Log(level, text.to_owned())),
            Event::Progress { done, total, text } => {
                Some(Self::Progress(done, total, text.to_owned()))
            }
            Event::Emitted { codec, bytes } => {
                Some(Self::Emitted(codec, Bytes::copy_from_slice(bytes)))
            }
            Event::Started { .. } | Event::Stdout(_) | Event::Stderr(_) => None,
        }
    }

    /// As it is heard.
    pub(super) fn event(&self) -> Event<'_> {
        match self {
            Self::Log(level, text) => Event::Log { level: *level, text },
            Self::Progress(done, total, text) => {
                Event::Progress { done: *done, total: *total, text }
            }
            Self::Emitted(codec, bytes) => Event::Emitted { codec: *codec, bytes },
        }
    }
}

/// How a guest's output reaches its listener.
#[derive(Clone)]
pub(super) enum Way {
    /// The guest runs on the listener's own thread, and the ear is lent to it.
    Here,
    /// The listener is another thread.
    Channel(SyncSender<Said>),
}

impl Way {
    fn tell(&self, stream: Stream, bytes: &[u8]) -> Result<(), Interrupted> {
        let heard = match self {
            Self::Here => lend::hear(match stream {
                Stream::Stdout => Event::Stdout(bytes),
                Stream::Stderr => Event::Stderr(bytes),
            }),
            Self::Channel(listener) => {
                let bytes = Bytes::copy_from_slice(bytes);
                listener.send(Said::Wrote(stream, bytes)).is_ok()
            }
        };
        // Without a listener there is nobody to run for.
        if heard { Ok(()) } else { Err(Interrupted) }
    }

    fn pass(&self, event: Event<'_>) -> Result<(), Interrupted> {
        let heard = match self {
            Self::Here => lend::hear(event),
            Self::Channel(listener) => {
                Word::of(event).is_none_or(|word| listener.send(Said::Told(word)).is_ok())
            }
        };
        if heard { Ok(()) } else { Err(Interrupted) }
    }
}

/// Both streams of one guest, as far as they have something in common.
pub(super) struct Outlet {
    way: Mutex<Way>,
    signal: Arc<Signal>,
    stop: StopHandle,
    /// Bytes that still fit under the limit.
    room: AtomicU64,
}

impl Outlet {
    pub(super) fn new(way: Way, signal: &Arc<Signal>, limits: &Limits, stop: &StopHandle) -> Self {
        let (signal, stop) = (Arc::clone(signal), stop.clone());
        let room = AtomicU64::new(limits.output.as_u64());
        Self { way: Mutex::new(way), signal, stop, room }
    }

    /// The guest begins its next task: what it writes goes this way, and counts anew.
    pub(super) fn renew(&self, way: Way, limits: &Limits) {
        *self.way() = way;
        self.room.store(limits.output.as_u64(), Ordering::Relaxed);
    }

    /// What it writes in its next task goes the same way, and counts anew.
    pub(super) fn refill(&self, limits: &Limits) {
        self.room.store(limits.output.as_u64(), Ordering::Relaxed);
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on a word. How many there may be is bounded elsewhere.
    pub(super) fn tell(&self, event: Event<'_>) -> Result<(), Interrupted> {
        self.signal.check()?;
        let way = self.way().clone();
        way.pass(event)
    }

    /// Passes on what fits under the limit; the guest ends if that is not all.
    pub(super) fn write(&self, stream: Stream, bytes: &[u8]) -> Result<(), Interrupted> {
        // One call of a guest may write a lot, piece by piece, and the listener may be slow.
        self.signal.check()?;
        // Only the guest's own thread writes, so nobody comes between.
        let room = self.room.load(Ordering::Relaxed);
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let (bytes, over) = bytes.split_at(fits);
        self.room.store(room - fits as u64, Ordering::Relaxed);
        if !bytes.is_empty() {
            let way = self.way().clone();
            way.tell(stream, bytes)?;
        }
        if over.is_empty() {
            return Ok(());
        }
        self.stop.stop(StopReason::Output);
        Err(Interrupted)
    }
}

/// One stream of a guest.
#[derive(Clone)]
pub(super) struct Sink {
    stream: Stream,
    outlet: Arc<Outlet>,
}

impl Sink {
    pub(super) fn new(stream: Stream, outlet: &Arc<Outlet>) -> Self {
        Self { stream, outlet: Arc::clone(outlet) }
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.outlet.write(self.stream, &bytes).map_err(|ended| StreamError::Trap(ended.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE)
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only a later version of WASI writes this way, and it is not offered.
        StdoutStream::async_stream(&std::io::empty())
    }
}

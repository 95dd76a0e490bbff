//! Runs a compiler to its end, or to the moment when its end is certain.
//!
//! A killed process with gigabytes of memory takes its time to be gone. Whoever waits for a verdict need not wait
//! for that: once the reason of a stop is written down, the end is certain. So compilers run on a thread of their
//! own, which sees to the rest; whoever drops the runtime waits for it.

use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::entrance::GREETING;
use crate::event::Event;
use crate::evidence::{Ending, Evidence, Source, Step, StopReason};
use crate::isolation::{Attempt, Cell, LoadError, StopHandle};
use crate::limits::Limits;
use crate::task::{Capture, Stdin, Task};
use crate::wasm::{Material, NotCompiled, Order};

/// How long the end of a stopped compiler is waited for: an exact report is worth that much.
const GRACE: Duration = Duration::from_millis(20);

/// Pieces of code on their way to the caller.
const MOST_ON_THEIR_WAY: usize = 16;

/// Compilers that are being killed. More than these, and the caller waits for the first of them.
const MOST_DYING: usize = 8;

/// The threads of compilers that were killed and are not gone yet.
#[derive(Default)]
pub(super) struct Running {
    dying: Mutex<Vec<JoinHandle<()>>>,
}

/// What comes from a compiler's thread.
enum Said {
    Wrote(Vec<u8>),
    /// A reason to end it was written down.
    Stopped,
    Ended(Box<Evidence>),
}

impl Running {
    /// Runs one.
    pub(super) fn run(
        &self,
        mut cell: Box<dyn Cell>,
        task: Task,
        limits: Limits,
        order: &Order<'_>,
        hear: &mut Hear<'_>,
    ) -> Result<Evidence, NotCompiled> {
        // The reasons that end the compiler are its own, and none of the task that it compiles for.
        let stop = StopHandle::new();
        let (caller, inner) = (order.stop.clone(), stop.clone());
        let _linked = order.stop.on_stop(move || {
            if let Some(reason) = caller.reason() {
                inner.stop(reason);
            }
        });
        let (speaker, listener) = mpsc::sync_channel(MOST_ON_THEIR_WAY);
        let waker = speaker.clone();
        let _woken = stop.on_stop(move || {
            // Where there is no room for it, the listener is awake, and looks for itself.
            let _ = waker.try_send(Said::Stopped);
        });
        let (its_stop, began) = (stop.clone(), order.began);
        let thread = std::thread::Builder::new().name("sandtrap-compile".into()).spawn(move || {
            let stdout = Capture::Discard;
            let attempt = Attempt {
                task: &task.id,
                entry: &task.entry,
                limits: &limits,
                stdout,
                began,
                silence: None,
            };
            let evidence = cell.run(&attempt, &its_stop, &mut |event: Event<'_>| {
                if let Event::Stdout(bytes) = event {
                    // Nobody listens any more if it was stopped.
                    let _ = speaker.send(Said::Wrote(bytes.to_vec()));
                }
            });
            let _ = speaker.send(Said::Ended(Box::new(evidence)));
        });
        let thread = thread.map_err(|error| {
            LoadError::at(Step::Reserve, format!("no thread can be started to compile: {error}"))
        })?;
        let heard = listen(&listener, &stop, hear);
        // Nobody listens any more, so what it still says holds nothing up.
        drop(listener);
        match heard {
            Some(evidence) => {
                // It has said its last word; a panic after that changes nothing.
                let _ = thread.join();
                Ok(evidence)
            }
            None => {
                self.look_after(thread);
                let stopped_by_us = stop.reason();
                Ok(Evidence { stopped_by_us, ..Evidence::of(Source::Status, Ending::Vanished) })
            }
        }
    }

    /// Sees off a compiler that was killed.
    fn look_after(&self, thread: JoinHandle<()>) {
        let first = {
            let mut dying = self.dying.lock().unwrap_or_else(PoisonError::into_inner);
            dying.retain(|thread| !thread.is_finished());
            dying.push(thread);
            (dying.len() > MOST_DYING).then(|| dying.remove(0))
        };
        if let Some(first) = first {
            // Its verdict was told; a panic after that changes nothing.
            let _ = first.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let dying = self.dying.get_mut().unwrap_or_else(PoisonError::into_inner);
        for thread in dying.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Listens to the end. `None` if that is certain and takes its time.
fn listen(
    listener: &mpsc::Receiver<Said>,
    stop: &StopHandle,
    hear: &mut Hear<'_>,
) -> Option<Evidence> {
    let mut end: Option<Instant> = None;
    loop {
        let said = match end {
            None => listener.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(end) => listener.recv_timeout(end.saturating_duration_since(Instant::now())),
        };
        match said {
            Ok(Said::Wrote(bytes)) => {
                if !hear.take(&bytes) {
                    stop.stop(StopReason::Cancelled);
                }
            }
            Ok(Said::Stopped) => {}
            Ok(Said::Ended(evidence)) => return Some(*evidence),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
        if stop.reason().is_some() {
            end.get_or_insert_with(|| Instant::now() + GRACE);
        }
    }
}

/// Takes what the compiler writes.
pub(super) struct Hear<'a> {
    greeting: Vec<u8>,
    out: &'a mut dyn Write,
    failed: Option<io::Error>,
}

impl<'a> Hear<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { greeting: Vec::new(), out, failed: None }
    }

    /// Takes a piece. Says whether more is wanted.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let missing = GREETING.len() - self.greeting.len();
        let (greeting, code) = bytes.split_at(missing.min(bytes.len()));
        self.greeting.extend_from_slice(greeting);
        if self.greeting == GREETING && self.failed.is_none() {
            self.failed = self.out.write_all(code).err();
        }
        self.failed.is_none()
    }

    /// Says whether it was a compiler that wrote.
    pub(super) fn finish(self, name: &str) -> Result<bool, NotCompiled> {
        match self.failed {
            None => Ok(self.greeting == GREETING),
            Some(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                let why = format!("the program set up to compile it wrote something else: {error}");
                Err(NotCompiled::Unconfined(why))
            }
            Some(error) => {
                let detail = format!("there is no room for the code of `{name}`: {error}");
                Err(LoadError::at(Step::Reserve, detail).with_errno(error.raw_os_error()).into())
            }
        }
    }
}

/// The module as the compiler's stdin.
pub(super) fn stdin(material: &Material<'_>) -> io::Result<Stdin> {
    match material {
        #[cfg(unix)]
        Material::File(file) => Ok(Stdin::Descriptor(Arc::new(file.try_clone()?.into()))),
        #[cfg(not(unix))]
        Material::File(_) => Err(io::ErrorKind::Unsupported.into()),
        Material::Memory(bytes) => Ok(Stdin::Bytes(Arc::clone(bytes))),
    }
}

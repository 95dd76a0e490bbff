//! The guest's streams on their way out, and sandtrap's own stdout.
//!
//! Bytes go out as they come: no buffer, no lock, no look at what they are. Two things can go wrong on
//! the far side. Whoever reads may go away (`| head -1`): the guest is stopped then, since nobody wants
//! the rest. Or it stops reading: nothing may hang for that, so a stream is waited for in small steps,
//! and given up a moment after the guest's time is over, or somebody has insisted on its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::makedev;
use sandtrap::{Ear, Event, StopHandle, StopReason};

use crate::args::Target;
use crate::report_file::open_already;
use crate::words;

/// A pipe with room takes this much without blocking (`PIPE_BUF`).
const PIECE: usize = 4096;

/// How long one wait for a reader takes before the stop is looked at again.
const STEP_MILLIS: u16 = 50;

/// How long a terminal is left alone that says it has room, and takes nothing.
const PAUSE_MILLIS: u16 = 10;

/// What a slow reader still gets after the guest was stopped.
const GRACE: Duration = Duration::from_secs(1);

/// Whoever read sandtrap's stdout has gone away. No reason for many words.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Prints on sandtrap's own stdout.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) => Err(unprinted(error)),
    }
}

/// What is said of a stdout that can't be written to.
pub(crate) fn unprinted(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderGone.into(),
        _ => anyhow::Error::new(error).context("cannot write to stdout"),
    }
}

/// Passes on what a guest writes.
#[derive(Debug)]
pub(crate) struct Streams {
    stdout: Option<Sink>,
    stderr: Option<Sink>,
    patience: Patience,
    loss: Option<Loss>,
    /// Where items are printed, if anybody wants them: on our own stdout, as their result is, wherever the guest's goes.
    printed: Option<Sink>,
    /// Where progress is shown on one line that is written over.
    live: Live,
}

/// What becomes of the items that a function emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Items {
    /// Each is a line of JSON on stdout.
    Printed,
    /// Nobody wants them.
    Unheard,
}

/// The line of progress on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Live {
    /// There is no terminal: each word has a line of its own.
    Off,
    /// Nothing stands there.
    Empty,
    /// Something stands there.
    Shown,
}

#[derive(Debug)]
struct Sink {
    name: &'static str,
    file: File,
    /// So much is written at once.
    piece: usize,
}

/// How long a reader that takes nothing is waited for.
#[derive(Debug)]
struct Patience {
    stop: StopHandle,
    wall: Duration,
    /// The time of grace that its guest has when it is to end.
    grace: Duration,
    time_is_up: Option<Instant>,
    over: Option<Instant>,
}

/// Why some of what the guest wrote went nowhere.
#[derive(Debug)]
pub(crate) enum Loss {
    /// The reader has gone away.
    ReaderGone,
    /// The reader of this stream took nothing more until the guest's time was over.
    Stalled(&'static str),
    /// The system refused to write this stream.
    Failed(&'static str, io::Error),
}

impl Streams {
    /// Opens both ends. Files are emptied.
    pub(crate) fn open(
        stdout: &Target,
        stderr: &Target,
        stop: &StopHandle,
        (wall, grace): (Duration, Duration),
    ) -> anyhow::Result<Self> {
        let out = open("stdout", stdout, io::stdout())?;
        let err = match &out {
            // One file for both: one position, so that neither writes over the other.
            Some(out) if stdout == stderr && matches!(stdout, Target::File(_)) => {
                let file =
                    out.file.try_clone().context("cannot share one file for both streams")?;
                Some(Sink { name: "stderr", file, piece: out.piece })
            }
            _ => open("stderr", stderr, io::stderr())?,
        };
        let patience = Patience { stop: stop.clone(), wall, grace, time_is_up: None, over: None };
        let is_seen = matches!(stderr, Target::Through) && io::stderr().is_terminal();
        let live = if is_seen { Live::Empty } else { Live::Off };
        Ok(Self { stdout: out, stderr: err, patience, loss: None, printed: None, live })
    }

    /// The same, with another fate for the items of a function.
    pub(crate) fn with_items(self, items: Items) -> anyhow::Result<Self> {
        let printed = match items {
            Items::Printed => open("stdout", &Target::Through, io::stdout())?,
            Items::Unheard => None,
        };
        Ok(Self { printed, ..self })
    }

    /// No more will come: whether something was lost.
    pub(crate) fn finish(&mut self) -> Option<Loss> {
        self.end_live();
        self.loss.take()
    }

    /// Another attempt begins, with a time of its own.
    pub(crate) fn begin_anew(&mut self) {
        (self.patience.time_is_up, self.patience.over) = (None, None);
    }

    fn end_live(&mut self) {
        if self.live == Live::Shown {
            self.live = Live::Empty;
            self.pass(Stream::Stderr, b"\n");
        }
    }

    fn progress(&mut self, line: &str) {
        match self.live {
            Live::Off => self.pass(Stream::Stderr, format!("{line}\n").as_bytes()),
            Live::Empty | Live::Shown => {
                self.live = Live::Shown;
                self.pass(Stream::Stderr, format!("\r\x1b[K{line}").as_bytes());
            }
        }
    }

    fn pass(&mut self, stream: Stream, bytes: &[u8]) {
        let sink = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
            Stream::Printed => &self.printed,
        };
        if let (Some(sink), None) = (sink, &self.loss)
            && let Err(loss) = sink.take(bytes, &mut self.patience)
        {
            // What it says reaches nobody.
            self.patience.stop.stop_now(StopReason::Cancelled);
            self.loss = Some(loss);
        }
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
    Printed,
}

impl Ear for Streams {
    fn hear(&mut self, event: Event<'_>) {
        self.patience.begin();
        match event {
            Event::Started { .. } => {}
            Event::Stdout(bytes) => {
                self.end_live();
                self.pass(Stream::Stdout, bytes);
            }
            Event::Stderr(bytes) => {
                self.end_live();
                self.pass(Stream::Stderr, bytes);
            }
            Event::Log { level, text } => {
                self.end_live();
                self.pass(Stream::Stderr, words::log(level, text).as_bytes());
            }
            Event::Progress { done, total, text } => {
                self.progress(&words::progress(done, total, text));
            }
            Event::Emitted { codec, bytes } => {
                if self.printed.is_some() {
                    self.end_live();
                    self.pass(Stream::Printed, words::item(codec, bytes).as_bytes());
                }
            }
        }
    }
}

impl Sink {
    fn new(name: &'static str, file: File) -> Self {
        // A terminal says that there is room where one byte fits, and would hold us until all of a piece does: one that can't
        // be opened again gets one byte after another.
        if !file.is_terminal() {
            return Self { name, file, piece: PIECE };
        }
        match opened_again(&file) {
            Some(file) => Self { name, file, piece: PIECE },
            None => Self { name, file, piece: 1 },
        }
    }

    fn take(&self, mut bytes: &[u8], patience: &mut Patience) -> Result<(), Loss> {
        while !bytes.is_empty() {
            match self.give(bytes) {
                Ok(0) if patience.is_over() => return Err(Loss::Stalled(self.name)),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(Loss::ReaderGone);
                }
                Err(error) => return Err(Loss::Failed(self.name, error)),
            }
        }
        Ok(())
    }

    /// Writes a piece, or waits a moment for room. Says how much was written.
    fn give(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.has_room()? {
            return Ok(0);
        }
        match (&self.file).write(&bytes[..bytes.len().min(self.piece)]) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => Ok(count),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(0),
                // Somebody else is writing there, or the end of a line, which is two bytes, finds room for one.
                io::ErrorKind::WouldBlock => {
                    // That this wait may end early does no harm.
                    _ = poll(&mut [], PollTimeout::from(PAUSE_MILLIS));
                    Ok(0)
                }
                _ => Err(error),
            },
        }
    }

    /// Waits a moment until at least one piece can be written without blocking.
    fn has_room(&self) -> io::Result<bool> {
        let mut ends = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut ends, PollTimeout::from(STEP_MILLIS)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Patience {
    /// The guest's time runs from the first that is heard of it, never earlier than its wall counts it.
    fn begin(&mut self) {
        if self.time_is_up.is_none() {
            self.time_is_up = Instant::now().checked_add(self.wall);
        }
    }

    /// The wall that runs the guest may be waiting for us, so the guest's time is looked at here too.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if self.time_is_up.is_some_and(|end| now >= end) {
            self.stop.stop_now(StopReason::WallTime);
        }
        if self.stop.reason().is_none() {
            return false;
        }
        let ends = [now.checked_add(self.grace), self.time_is_up].into_iter().flatten().min();
        let over = self.over.get_or_insert(ends.map_or(now, |end| end.max(now)) + GRACE);
        if self.stop.is_urgent() {
            // Its guest has no time left, whatever was meant to be.
            *over = (*over).min(now + GRACE);
        }
        now >= *over
    }
}

fn open(name: &'static str, target: &Target, own: impl AsFd) -> anyhow::Result<Option<Sink>> {
    let file = match target {
        Target::Null => return Ok(None),
        Target::Through => own
            .as_fd()
            .try_clone_to_owned()
            .map(File::from)
            .with_context(|| format!("cannot write to sandtrap's own {name}"))?,
        Target::File(path) => open_already(path)
            .unwrap_or_else(|| File::create(path))
            .with_context(|| format!("cannot write the guest's {name} to `{}`", path.display()))?,
    };
    Ok(Some(Sink::new(name, file)))
}

/// The same terminal, opened once more, so that writing to it doesn't block. What we were given stays as it is: the
/// shell and others share it.
fn opened_again(terminal: &File) -> Option<File> {
    let device = terminal.metadata().ok()?.rdev();
    // Whoever opens the far end of one gets another one's.
    if device == makedev(5, 2) {
        return None;
    }
    let open = |name: &str| {
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        OpenOptions::new().write(true).custom_flags(flags.bits()).open(name).ok()
    };
    open(&format!("/proc/self/fd/{}", terminal.as_raw_fd())).or_else(|| {
        // It may be another user's (`su`). That of our own session is anybody's, by this name.
        let about_us = fs::read_to_string("/proc/self/stat").ok()?;
        if session_terminal(&about_us)? == device { open("/dev/tty") } else { None }
    })
}

/// The device that is the terminal of our session, if it has one.
fn session_terminal(stat: &str) -> Option<u64> {
    // Behind the name, in which anything may stand: state, parent, group, session, terminal.
    let (_, fields) = stat.rsplit_once(") ")?;
    let number = fields.split(' ').nth(4)?.parse::<i32>().ok()?.cast_unsigned();
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
    (number != 0).then(|| makedev(major.into(), minor.into()))
}

#[cfg(test)]
mod tests;

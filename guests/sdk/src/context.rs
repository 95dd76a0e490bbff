//! What a task knows of its call, and what it may say while it runs.

use std::fmt;
use std::time::{Duration, Instant};

use sandtrap_protocol::{Codec, FromGuest, Level};
use serde::Serialize;

use crate::blob::Blob;
use crate::host::Host;
use crate::testify::{say, say_text, say_value};
use crate::value::{self, ValueError};
use crate::{inbox, people};

/// The call that a task serves: tells the host how far it is, and the task how much time it has.
#[derive(Debug)]
pub struct Context {
    pub(crate) id: u64,
    pub(crate) codec: Codec,
    pub(crate) end: Option<Instant>,
    /// Whether a host called, and not somebody at a command line.
    pub(crate) has_host: bool,
}

/// When a call has begun that has so much time, or a few milliseconds before where it has seconds: then that is all one.
#[cfg(target_os = "linux")]
fn began(time_left: Duration) -> Instant {
    const EXACT: Duration = Duration::from_secs(2);
    if time_left > EXACT { crate::lane::about_now() } else { Instant::now() }
}

#[cfg(not(target_os = "linux"))]
fn began(_: Duration) -> Instant {
    Instant::now()
}

impl Context {
    /// Of a call that has come from a host, and has so many microseconds left.
    pub(crate) fn of(id: u64, codec: Codec, time_left: u64) -> Self {
        let time_left = Duration::from_micros(time_left);
        let end = began(time_left).checked_add(time_left);
        Self { id, codec, end, has_host: true }
    }

    /// Writes a line into the host's log.
    pub fn log(&self, level: Level, text: impl fmt::Display) {
        let text = text.to_string();
        match self.has_host {
            true => say_text(&FromGuest::Log { level }, &text),
            false => people::log(level, &text),
        }
    }

    /// Logs what the guest does.
    pub fn info(&self, text: impl fmt::Display) {
        self.log(Level::Info, text);
    }

    /// Logs what may be wrong.
    pub fn warn(&self, text: impl fmt::Display) {
        self.log(Level::Warning, text);
    }

    /// Says how far the call is, and in words what it is doing.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>, doing: impl fmt::Display) {
        let (total, doing) = (total.into(), doing.to_string());
        match self.has_host {
            true => say_text(&FromGuest::Progress { done, total }, &doing),
            false => people::progress(done, total, &doing),
        }
    }

    /// Gives the caller one item before the result. It is written like the result.
    pub fn emit<T: Serialize + ?Sized>(&self, item: &T) -> Result<(), ValueError> {
        let bytes = value::write_borrowed(self.codec, item)?;
        self.give(self.codec, &bytes);
        Ok(())
    }

    /// Gives the caller bytes as they are.
    pub fn emit_bytes(&self, bytes: &[u8]) {
        self.give(Codec::Raw, bytes);
    }

    fn give(&self, codec: Codec, bytes: &[u8]) {
        match self.has_host {
            true => say_value(&FromGuest::Emit { id: self.id, codec }, bytes),
            false => people::print(bytes),
        }
    }

    /// So many zeros for a large result, which the host reads where they are written.
    pub fn blob(&self, length: usize) -> Blob {
        Blob::room(length)
    }

    /// Tells the host that a long task is still alive.
    pub fn beat(&self) {
        if self.has_host {
            say_value(&FromGuest::Beat, &[]);
        }
    }

    /// Marks an error after which this guest must not be used again, because its state can't be trusted any more: a guest
    /// that is kept is ended with this call, and its caller gets the error as ever. `return Err(cx.fatal(error))`, or
    /// `.map_err(|error| cx.fatal(error))?`.
    pub fn fatal<E>(&self, error: E) -> E {
        if self.has_host {
            say(&FromGuest::Fatal);
        }
        error
    }

    /// Tells the host that a device which this task works with has no memory left, and how many bytes were asked for,
    /// where that is known. It goes on or returns an error as it likes: this is counted, and decides nothing.
    pub fn device_out_of_memory(&self, requested: impl Into<Option<u64>>) {
        let requested = requested.into();
        match self.has_host {
            true => {
                let requested = requested.unwrap_or_default();
                say_value(&FromGuest::DeviceOutOfMemory { requested }, &[]);
            }
            false => people::log(Level::Warning, "the device has no memory left"),
        }
    }

    /// The host, whose functions it may call as far as they were granted.
    pub fn host(&self) -> Host {
        Host { is_there: self.has_host }
    }

    /// How long the call may still take. `None` without a limit.
    pub fn deadline_left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether nobody waits for the result any more: there is no time left, or the host has said so. Then this call has what is
    /// left of its time of grace (`Limits::grace` of its host; without one nothing is said, and the guest ended at once): it
    /// puts in order what others are to find so, and returns. A result that comes in that time counts as ever, and an error
    /// says how far it got.
    ///
    /// It may be asked as often as one likes: that is a look at the clock, and the host is asked once in a millisecond. What
    /// comes less often than some thousand times in a second need not be counted out.
    ///
    /// ```no_run
    /// # use sandtrap_guest::{Context, task};
    /// #[task]
    /// fn sum(numbers: Vec<u64>, cx: &mut Context) -> Result<u64, std::io::Error> {
    ///     let mut sum = 0;
    ///     for number in numbers {
    ///         if cx.cancelled() {
    ///             return Err(std::io::Error::other("nobody waits for it any more"));
    ///         }
    ///         sum += number;
    ///     }
    ///     Ok(sum)
    /// }
    /// # fn main() {}
    /// ```
    pub fn cancelled(&self) -> bool {
        let now = Instant::now();
        self.end.is_some_and(|end| end <= now) || self.has_host && inbox::is_cancelled(self.id, now)
    }
}

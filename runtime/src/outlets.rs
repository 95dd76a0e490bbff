//! Where a guest's streams go, each of its own: to the host's, to nobody, into a file, into memory, or line by line
//! to a callback.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use crate::event::Event;
use crate::isolation::Ear;
use crate::lines::{Line, Lines};
use crate::quantity::ByteSize;

type Take<'a> = Box<dyn FnMut(Line<'_>) + 'a>;

/// Where one stream of a guest goes. What a report keeps of it is another matter: stdout by
/// [`Capture`](crate::Capture), and always the last of stderr.
pub enum Outlet<'a> {
    /// To the host's stream of the same name, as it comes.
    Inherit,
    /// To nobody.
    Null,
    /// Into a file, from where it stands.
    File(File),
    /// Into memory: the last so many bytes.
    Capture(ByteSize),
    /// To a callback, line by line.
    Lines(Take<'a>),
}

/// An ear that leads both streams of a guest where they are to go.
///
/// ```
/// use sandtrap::{ByteSize, Outlet, Outlets, Program, Runtime, StopHandle, Task};
///
/// let mut found = Vec::new();
/// let mut outlets = Outlets::new()
///     .stdout(Outlet::lines(|line| found.push(line.text.into_owned())))
///     .stderr(Outlet::Capture(ByteSize::kib(4)));
/// let guest = Runtime::new()?.load(Program::file("/bin/echo"))?;
/// guest.run_with(&Task::command(["one\ntwo"]), &StopHandle::new(), &mut outlets);
/// let streamed = outlets.finish();
/// assert_eq!((found, streamed.stderr), (vec!["one".to_owned(), "two".to_owned()], vec![]));
/// # Ok::<(), sandtrap::Error>(())
/// ```
#[derive(Debug)]
pub struct Outlets<'a> {
    stdout: Sink<'a>,
    stderr: Sink<'a>,
    failed: Option<io::Error>,
}

/// What is left of the streams when the guest has ended.
#[derive(Debug)]
pub struct Streamed {
    /// What was captured of stdout.
    pub stdout: Vec<u8>,
    /// What was captured of stderr.
    pub stderr: Vec<u8>,
    /// How many bytes of both came before what was captured, and were left out.
    pub cut: u64,
    /// The first write that failed, into a file or into a stream of the host's. The guest doesn't hear of it.
    pub failed: Option<io::Error>,
}

/// An outlet at work.
enum Sink<'a> {
    Inherit,
    Null,
    File(File),
    Capture { last: VecDeque<u8>, most: usize, cut: u64 },
    Lines(Lines<Take<'a>>),
}

impl<'a> Outlet<'a> {
    /// To a callback, with each line as soon as it has ended.
    pub fn lines(take: impl FnMut(Line<'_>) + 'a) -> Self {
        Self::Lines(Box::new(take))
    }

    /// Into a new file, or one that is emptied first.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        File::create(path).map(Self::File)
    }

    /// To the end of a file, which is made if it isn't there.
    pub fn end_of_file(path: impl AsRef<Path>) -> io::Result<Self> {
        File::options().append(true).create(true).open(path).map(Self::File)
    }
}

impl fmt::Debug for Outlet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inherit => "Inherit",
            Self::Null => "Null",
            Self::File(_) => "File",
            Self::Capture(_) => "Capture",
            Self::Lines(_) => "Lines",
        })
    }
}

impl Default for Outlets<'_> {
    fn default() -> Self {
        Self { stdout: Sink::Null, stderr: Sink::Null, failed: None }
    }
}

impl<'a> Outlets<'a> {
    /// Both to nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leads stdout there.
    pub fn stdout(mut self, to: Outlet<'a>) -> Self {
        self.stdout = Sink::of(to);
        self
    }

    /// Leads stderr there.
    pub fn stderr(mut self, to: Outlet<'a>) -> Self {
        self.stderr = Sink::of(to);
        self
    }

    /// The guest has ended: gives the last lines, if they have no end, and what was captured.
    pub fn finish(self) -> Streamed {
        let ((stdout, first), (stderr, second)) = (self.stdout.finish(), self.stderr.finish());
        Streamed { stdout, stderr, cut: first + second, failed: self.failed }
    }
}

impl<'a> Sink<'a> {
    fn of(outlet: Outlet<'a>) -> Self {
        match outlet {
            Outlet::Inherit => Self::Inherit,
            Outlet::Null => Self::Null,
            Outlet::File(file) => Self::File(file),
            Outlet::Capture(most) => {
                Self::Capture { last: VecDeque::new(), most: most.as_usize(), cut: 0 }
            }
            Outlet::Lines(take) => Self::Lines(Lines::new(take)),
        }
    }

    fn take(&mut self, event: Event<'_>, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Null => Ok(()),
            Self::Inherit if matches!(event, Event::Stdout(_)) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Self::Inherit => io::stderr().write_all(bytes),
            Self::File(file) => file.write_all(bytes),
            Self::Capture { last, most, cut } => {
                let fits = &bytes[bytes.len().saturating_sub(*most)..];
                let too_many = (last.len() + fits.len()).saturating_sub(*most);
                last.drain(..too_many);
                last.extend(fits);
                *cut += (too_many + bytes.len() - fits.len()) as u64;
                Ok(())
            }
            Self::Lines(lines) => {
                lines.hear(event);
                Ok(())
            }
        }
    }

    fn finish(self) -> (Vec<u8>, u64) {
        match self {
            Self::Capture { last, cut, .. } => (last.into(), cut),
            Self::Lines(lines) => {
                lines.finish();
                (Vec::new(), 0)
            }
            Self::Inherit | Self::Null | Self::File(_) => (Vec::new(), 0),
        }
    }
}

impl fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inherit => "Inherit",
            Self::Null => "Null",
            Self::File(_) => "File",
            Self::Capture { .. } => "Capture",
            Self::Lines(_) => "Lines",
        })
    }
}

impl Ear for Outlets<'_> {
    fn hear(&mut self, event: Event<'_>) {
        let taken = match event {
            Event::Stdout(bytes) => self.stdout.take(event, bytes),
            Event::Stderr(bytes) => self.stderr.take(event, bytes),
            Event::Started { .. }
            | Event::Log { .. }
            | Event::Progress { .. }
            | Event::Emitted { .. } => Ok(()),
        };
        if let Err(error) = taken {
            self.failed.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(outlets: &mut Outlets<'_>, stdout: &[&str], stderr: &str) {
        for piece in stdout {
            outlets.hear(Event::Stdout(piece.as_bytes()));
        }
        outlets.hear(Event::Stderr(stderr.as_bytes()));
    }

    #[test]
    fn b13_i4_each_stream_goes_its_own_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("err");
        for text in ["first", "second"] {
            let mut found = Vec::new();
            let mut outlets = Outlets::new()
                .stdout(Outlet::lines(|line| found.push((line.text.into_owned(), line.is_stderr))))
                .stderr(Outlet::end_of_file(&path).unwrap());
            say(&mut outlets, &["o", "ne\ntw", "o"], text);
            assert!(outlets.finish().failed.is_none());
            assert_eq!(found, [("one".to_owned(), false), ("two".to_owned(), false)]);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "firstsecond");
        let mut outlets = Outlets::new().stderr(Outlet::file(&path).unwrap());
        say(&mut outlets, &[], "third");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third");
    }

    #[test]
    fn i5_what_is_captured_is_the_last_and_what_is_missing_is_counted() {
        for pieces in [&["abcdefgh"][..], &["abc", "defgh"], &["abcdefg", "h"]] {
            let mut outlets = Outlets::new().stdout(Outlet::Capture(ByteSize::bytes(3)));
            say(&mut outlets, pieces, "to nobody");
            let streamed = outlets.finish();
            assert_eq!((&*streamed.stdout, streamed.cut), (&b"fgh"[..], 5), "{pieces:?}");
            assert!(streamed.stderr.is_empty());
        }
    }

    #[test]
    fn a_write_that_fails_is_told_in_the_end_and_stops_nothing() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut outlets =
            Outlets::new().stdout(Outlet::File(full)).stderr(Outlet::Capture(ByteSize::kib(1)));
        say(&mut outlets, &["a", "b"], "still there");
        let streamed = outlets.finish();
        assert_eq!(streamed.failed.unwrap().kind(), io::ErrorKind::StorageFull);
        assert_eq!(streamed.stderr, b"still there");
    }
}

//! An ear that hears the guest's streams line by line.

use std::borrow::Cow;

use crate::event::Event;
use crate::isolation::Ear;
use crate::quantity::ByteSize;

/// Longer lines are cut, unless it is said otherwise.
const LONGEST: ByteSize = ByteSize::kib(64);

/// One line of a guest's, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Whether it was written to stderr, and not to stdout.
    pub is_stderr: bool,
    /// The line. What is not UTF-8 is replaced.
    pub text: Cow<'a, str>,
    /// How many bytes at its end were left out, because it is too long.
    pub cut: u64,
    /// Whether its end has come. Only the last line of a stream can lack it.
    pub is_ended: bool,
}

/// Splits both streams of a guest into lines, wherever their pieces begin and end.
///
/// ```
/// use sandtrap::{Lines, Program, Runtime, StopHandle, Task};
///
/// let mut found = Vec::new();
/// let mut lines = Lines::new(|line| found.push(line.text.into_owned()));
/// let guest = Runtime::new()?.load(Program::file("/bin/echo"))?;
/// guest.run_with(&Task::command(["one\ntwo"]), &StopHandle::new(), &mut lines);
/// lines.finish();
/// assert_eq!(found, ["one", "two"]);
/// # Ok::<(), sandtrap::Error>(())
/// ```
#[derive(Debug)]
pub struct Lines<F> {
    take: F,
    longest: usize,
    stdout: Begun,
    stderr: Begun,
}

/// A line whose end has not come.
#[derive(Debug, Default)]
struct Begun {
    bytes: Vec<u8>,
    cut: u64,
}

impl<F: FnMut(Line<'_>)> Lines<F> {
    /// Calls `take` with each line as soon as it has ended. Call [`finish`](Self::finish) after the task for what
    /// has no end.
    pub fn new(take: F) -> Self {
        let longest = LONGEST.as_u64() as usize;
        Self { take, longest, stdout: Begun::default(), stderr: Begun::default() }
    }

    /// Cuts lines that are longer than this; the line says how much is missing.
    pub fn longest(mut self, size: ByteSize) -> Self {
        self.longest = usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        self
    }

    /// No more will come: gives the last lines, if they have no end.
    pub fn finish(mut self) {
        for is_stderr in [false, true] {
            if !self.begun(is_stderr).bytes.is_empty() {
                self.end_of_line(is_stderr, false);
            }
        }
    }

    fn begun(&mut self, is_stderr: bool) -> &mut Begun {
        if is_stderr { &mut self.stderr } else { &mut self.stdout }
    }

    fn hear_bytes(&mut self, is_stderr: bool, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let longest = self.longest;
            self.begun(is_stderr).add(text, longest);
            if ends {
                self.end_of_line(is_stderr, true);
            }
        }
    }

    fn end_of_line(&mut self, is_stderr: bool, is_ended: bool) {
        let Begun { bytes, cut } = std::mem::take(self.begun(is_stderr));
        let bytes = match bytes.strip_suffix(b"\r") {
            Some(text) if is_ended && cut == 0 => text,
            _ => &bytes,
        };
        let text = String::from_utf8_lossy(bytes);
        (self.take)(Line { is_stderr, text, cut, is_ended });
    }
}

impl Begun {
    fn add(&mut self, text: &[u8], longest: usize) {
        let (fits, over) = text.split_at(text.len().min(longest.saturating_sub(self.bytes.len())));
        self.bytes.extend_from_slice(fits);
        self.cut += over.len() as u64;
    }
}

impl<F: FnMut(Line<'_>)> Ear for Lines<F> {
    fn hear(&mut self, event: Event<'_>) {
        match event {
            Event::Stdout(bytes) => self.hear_bytes(false, bytes),
            Event::Stderr(bytes) => self.hear_bytes(true, bytes),
            Event::Started { .. }
            | Event::Log { .. }
            | Event::Progress { .. }
            | Event::Emitted { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both streams in pieces of one size, and what is heard: stream, text, bytes cut, and whether it ended.
    fn heard(bytes: &[u8], piece: usize, longest: u64) -> Vec<(bool, String, u64, bool)> {
        let mut all = Vec::new();
        let mut lines = Lines::new(|line: Line<'_>| {
            all.push((line.is_stderr, line.text.into_owned(), line.cut, line.is_ended));
        })
        .longest(ByteSize::bytes(longest));
        for piece in bytes.chunks(piece) {
            lines.hear(Event::Stdout(piece));
            lines.hear(Event::Stderr(piece));
        }
        lines.finish();
        all
    }

    #[test]
    fn i14_lines_are_the_same_however_they_come() {
        let text = "one\n\n\u{e9}\u{20ac}\r\n\r\nfo\rur\nlast".as_bytes();
        let whole = heard(text, text.len(), 100);
        let stdout: Vec<_> = whole.iter().filter(|(is_stderr, ..)| !is_stderr).collect();
        let texts: Vec<&str> = stdout.iter().map(|(_, text, ..)| text.as_str()).collect();
        assert_eq!(texts, ["one", "", "\u{e9}\u{20ac}", "", "fo\rur", "last"]);
        assert_eq!(stdout.iter().filter(|(.., is_ended)| !is_ended).count(), 1);
        for piece in 1..text.len() {
            for stream in [false, true] {
                let of = |all: &[(bool, String, u64, bool)]| -> Vec<_> {
                    all.iter().filter(|line| line.0 == stream).map(|l| l.1.clone()).collect()
                };
                assert_eq!(of(&heard(text, piece, 100)), of(&whole), "pieces of {piece}");
            }
        }
    }

    #[test]
    fn i14_what_is_too_long_is_cut_and_counted() {
        for piece in [1, 3, 100] {
            let all = heard(b"123456\n1234\n12345", piece, 4);
            let found: Vec<_> =
                all.iter().filter(|line| !line.0).map(|l| (l.1.as_str(), l.2, l.3)).collect();
            let expected = [("1234", 2, true), ("1234", 0, true), ("1234", 1, false)];
            assert_eq!(found, expected, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(heard(b"a\xffb\n", 1, 100)[0].1, "a\u{fffd}b");
    }
}

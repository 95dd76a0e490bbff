//! What a guest writes: counted, heard, kept as far as it was asked for, and bounded.

use std::collections::VecDeque;

use crate::event::Event;
use crate::evidence::{Output, StopReason, Usage};
use crate::isolation::{Attempt, Ear};
use crate::task::Capture;

/// How much of stderr a report carries: enough for the last words of a program, whatever came before.
const STDERR_TAIL: usize = 64 * 1024;

/// The two streams of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Takes in both streams of one attempt.
#[derive(Debug)]
pub(crate) struct Streams {
    room: u64,
    stdout: Option<Vec<u8>>,
    stderr_tail: VecDeque<u8>,
    stdout_bytes: u64,
    stderr_bytes: u64,
}

impl Streams {
    pub(crate) fn new(attempt: &Attempt<'_>) -> Self {
        Self {
            room: attempt.limits.output.as_u64(),
            stdout: (attempt.stdout == Capture::Keep).then(Vec::new),
            stderr_tail: VecDeque::new(),
            stdout_bytes: 0,
            stderr_bytes: 0,
        }
    }

    /// Takes a piece. What fits under the limit is heard and kept; says so when some did not fit.
    pub(crate) fn take(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        ear: &mut dyn Ear,
    ) -> Option<StopReason> {
        let fits = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
        let (kept, over) = bytes.split_at(fits);
        self.room -= kept.len() as u64;
        if !kept.is_empty() {
            match stream {
                Stream::Stdout => self.take_stdout(kept, ear),
                Stream::Stderr => self.take_stderr(kept, ear),
            }
        }
        (!over.is_empty()).then_some(StopReason::Output)
    }

    fn take_stdout(&mut self, bytes: &[u8], ear: &mut dyn Ear) {
        self.stdout_bytes += bytes.len() as u64;
        if let Some(kept) = &mut self.stdout {
            kept.extend_from_slice(bytes);
        }
        ear.hear(Event::Stdout(bytes));
    }

    fn take_stderr(&mut self, bytes: &[u8], ear: &mut dyn Ear) {
        self.stderr_bytes += bytes.len() as u64;
        let last = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
        let too_many = (self.stderr_tail.len() + last.len()).saturating_sub(STDERR_TAIL);
        self.stderr_tail.drain(..too_many);
        self.stderr_tail.extend(last);
        ear.hear(Event::Stderr(bytes));
    }

    /// Writes the counts into `usage` and gives what was kept.
    pub(crate) fn finish(self, usage: &mut Usage) -> Output {
        usage.stdout_bytes = self.stdout_bytes;
        usage.stderr_bytes = self.stderr_bytes;
        let cut = self.stderr_bytes > self.stderr_tail.len() as u64;
        let mut stderr_tail = Vec::from(self.stderr_tail);
        if cut {
            // A tail that begins within a character would not be text any more.
            let broken = stderr_tail.iter().take(3).take_while(|byte| is_continuation(**byte));
            stderr_tail.drain(..broken.count());
        }
        Output { stdout: self.stdout, stderr_tail, ..Output::default() }
    }
}

/// Whether a byte stands within a UTF-8 character, and not at its beginning.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::Deaf;
    use crate::limits::Limits;
    use crate::quantity::ByteSize;
    use crate::task::{Entry, Stdin, TaskId};
    use std::time::Instant;

    fn streams(limit: u64, stdout: Capture) -> Streams {
        let limits = Limits { output: ByteSize::bytes(limit), ..Limits::default() };
        let entry = Entry::Command { args: vec![], stdin: Stdin::Null };
        let task = TaskId::next();
        let began = Instant::now();
        Streams::new(&Attempt {
            task: &task,
            entry: &entry,
            limits: &limits,
            stdout,
            began,
            silence: None,
        })
    }

    #[test]
    fn what_fits_is_delivered_to_the_last_byte() {
        let mut heard = Vec::new();
        let mut ear = |event: Event<'_>| {
            if let Event::Stdout(bytes) = event {
                heard.extend_from_slice(bytes);
            }
        };
        let mut streams = streams(5, Capture::Keep);
        assert_eq!(streams.take(Stream::Stdout, b"abc", &mut ear), None);
        assert_eq!(streams.take(Stream::Stdout, b"defg", &mut ear), Some(StopReason::Output));
        assert_eq!(streams.take(Stream::Stderr, b"h", &mut ear), Some(StopReason::Output));
        let mut usage = Usage::default();
        let output = streams.finish(&mut usage);
        assert_eq!((output.stdout.unwrap(), heard), (b"abcde".to_vec(), b"abcde".to_vec()));
        assert_eq!((usage.stdout_bytes, usage.stderr_bytes), (5, 0));
    }

    #[test]
    fn the_tail_of_stderr_begins_at_a_character() {
        let mut streams = streams(1 << 20, Capture::Discard);
        let text = "é".repeat(STDERR_TAIL);
        streams.take(Stream::Stderr, text.as_bytes(), &mut Deaf);
        streams.take(Stream::Stderr, b"!", &mut Deaf);
        let output = streams.finish(&mut Usage::default());
        assert_eq!(output.stdout, None);
        assert_eq!(output.stderr_tail.len(), STDERR_TAIL - 1);
        assert!(output.stderr_text().starts_with('é') && output.stderr_text().ends_with("é!"));
    }
}

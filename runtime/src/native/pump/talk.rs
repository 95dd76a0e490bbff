//! What passes between a process and us while it is served, and what is there of it in the end.

use crate::channel::{Desk, Outbox, Stream, Streams, Witness};
use crate::evidence::StopReason;
use crate::isolation::{Ear, LoadError};

use super::{Finish, Source};

/// Most guests write less at once.
const USUAL_BYTES: usize = 4 * 1024;

/// What was heard of a task, and how it came to its end.
pub(in crate::native) struct Served {
    pub(in crate::native) streams: Streams,
    pub(in crate::native) witness: Witness,
    /// Why its call, or its stdin, could not be sent as a whole.
    pub(in crate::native) unsent: Option<LoadError>,
    pub(in crate::native) finish: Finish,
    /// Whether nothing of what was to be sent was read. Of much that was sent nobody can say how much was.
    pub(in crate::native) is_unread: bool,
    /// Why it was told to end, if it was.
    pub(in crate::native) told: Option<StopReason>,
    /// For the next task.
    pub(in crate::native) piece: Vec<u8>,
}

/// What passes between a process and us while it is served.
pub(in crate::native) struct Talk<'a> {
    pub(super) streams: Streams,
    pub(super) witness: Witness,
    pub(super) outbox: Outbox,
    /// Answers what the guest asks of its host. Rings the bell of the leash when there is an answer.
    pub(super) desk: Desk,
    pub(super) ear: &'a mut dyn Ear,
    pub(super) buffer: Vec<u8>,
    /// Why its stdin could not be read to the end.
    pub(super) unfed: Option<LoadError>,
    /// Whether it has written to a stream.
    has_written: bool,
}

impl<'a> Talk<'a> {
    pub(in crate::native) fn new(
        streams: Streams,
        witness: Witness,
        outbox: Outbox,
        desk: Desk,
        ear: &'a mut dyn Ear,
        mut buffer: Vec<u8>,
    ) -> Self {
        buffer.resize(buffer.len().max(USUAL_BYTES), 0);
        let (unfed, has_written) = (None, false);
        Self { streams, witness, outbox, desk, ear, buffer, unfed, has_written }
    }

    /// Takes what was read. Says why the guest must be ended, if it must.
    pub(super) fn hear(&mut self, source: Source, count: usize) -> Option<StopReason> {
        let Self { streams, witness, outbox, desk, ear, buffer, has_written, .. } = self;
        *has_written |= source != Source::Channel;
        let bytes = &buffer[..count];
        match source {
            Source::Stdout => streams.take(Stream::Stdout, bytes, *ear),
            Source::Stderr => streams.take(Stream::Stderr, bytes, *ear),
            Source::Channel => {
                let reason = witness.hear(bytes, &mut |event| ear.hear(event));
                let fault = desk.serve(witness.asked(), outbox);
                reason.or(fault.map(|fault| witness.refuse(fault)))
            }
        }
    }

    /// Whether nothing was heard of the guest but its greeting: one that has begun with a task may not have said so, but one
    /// that has said anything has begun.
    pub(super) fn is_silent(&self) -> bool {
        !self.has_written && !self.witness.has_begun()
    }

    pub(super) fn over(mut self, finish: Finish, is_unread: bool) -> Served {
        let unsent = self.outbox.unsent().or(self.unfed);
        let Self { streams, witness, buffer: piece, .. } = self;
        Served { streams, witness, unsent, finish, is_unread, told: None, piece }
    }
}

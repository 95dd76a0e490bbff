//! The running of one attempt: on the caller's thread or on one of ours, heard until it has ended, and survived whatever
//! happens.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use crate::channel::{Stream, Streams};
use crate::event::Event;
use crate::evidence::{Ending, StopReason, TrapCause};
use crate::isolation::{Ear, StopHandle};

use super::clock::Watch;
use super::guest::{self, Guest, Outcome, Run};
use super::lend;
use super::sinks::Said;
use super::stage::CpuCount;

/// Ends the guest if the ear panics: then it has nobody to run for.
pub(super) struct StopOnPanic<'a>(pub(super) &'a StopHandle);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(StopReason::Cancelled);
        }
    }
}

/// Runs the guest on this thread. The clock looks after it until it has ended, and not longer.
pub(super) fn here(
    run: Run,
    kept: Option<Guest>,
    watch: Watch,
    streams: &mut Streams,
    ear: &mut dyn Ear,
) -> (Outcome, Option<Guest>) {
    let (signal, stop) = (Arc::clone(&run.signal), run.stop.clone());
    let mut panicked = None;
    let mut hear = |event: Event<'_>| {
        if panicked.is_some() {
            return;
        }
        // The guest's side counts against the same limit and ends the guest at it.
        let begin = Instant::now();
        let heard = AssertUnwindSafe(|| match event {
            Event::Stdout(bytes) => drop(streams.take(Stream::Stdout, bytes, &mut *ear)),
            Event::Stderr(bytes) => drop(streams.take(Stream::Stderr, bytes, &mut *ear)),
            word => ear.hear(word),
        });
        // Nothing unwinds through the guest: it ends first, and then the panic goes on.
        if let Err(payload) = panic::catch_unwind(heard) {
            panicked = Some(payload);
            stop.stop(StopReason::Cancelled);
        }
        signal.was_elsewhere(begin.elapsed());
    };
    let ended = lend::lend(&mut hear, || survive(run, kept));
    drop(watch);
    if let Some(payload) = panicked {
        panic::resume_unwind(payload);
    }
    ended
}

/// Runs a guest to the end of its task, whatever happens.
fn survive(run: Run, kept: Option<Guest>) -> (Outcome, Option<Guest>) {
    match panic::catch_unwind(AssertUnwindSafe(|| guest::run(run, kept))) {
        Ok(ended) => ended,
        Err(payload) => (host_panic(payload.as_ref()), None),
    }
}

/// A host function that panics is our own mistake, and must not become the caller's.
pub(super) fn host_panic(payload: &(dyn Any + Send)) -> Outcome {
    let words = format!("host panic: {}", words_of(payload));
    Outcome::of(Ending::Trapped(TrapCause::Other(words)))
}

/// On a thread of ours: runs the guest and says how it ended. The clock looks after it until then, even if
/// the caller has gone; not longer, or it might stop what is over.
pub(super) fn perform(
    run: Run,
    kept: Option<Guest>,
    keeps: bool,
    speaker: &SyncSender<Said>,
    watch: Watch,
    count: CpuCount,
) {
    let signal = Arc::clone(&run.signal);
    let (outcome, guest) = survive(run, kept);
    drop(watch);
    let outcome = Outcome { cpu: count.used(&signal), ..outcome };
    // The caller clears nothing away that this thread can.
    let (back, rest) = if keeps && outcome.is_orderly { (guest, None) } else { (None, guest) };
    // Nobody listens any more if the ear has panicked; then nobody wants to know.
    let _ = speaker.send(Said::Ended(Box::new((outcome, back))));
    drop(rest);
}

fn words_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// On the caller's thread: hears what the guest writes until it has ended.
pub(super) fn listen(
    listener: &Receiver<Said>,
    streams: &mut Streams,
    ear: &mut dyn Ear,
) -> (Outcome, Option<Guest>) {
    loop {
        match listener.recv() {
            Ok(Said::Wrote(stream, bytes)) => {
                // The guest's side counts against the same limit and ends the guest at it.
                let _: Option<StopReason> = streams.take(stream, &bytes, ear);
            }
            Ok(Said::Told(word)) => ear.hear(word.event()),
            Ok(Said::Ended(ended)) => return *ended,
            Err(_) => return (Outcome::of(Ending::Vanished), None),
        }
    }
}

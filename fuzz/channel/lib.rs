//! The host's end of the channel, held out to a fuzzer: the library's own files of it and the words they use, without
//! the walls. So nothing has to be public for this, and no engine has to be built.
//!
//! A member of the workspace of the library, not of the fuzzer's: whoever changes those files finds out here what they
//! need now.
#![allow(dead_code, unused_imports, reason = "a part of the library, which uses the rest")]

macro_rules! of_the_library {
    ($($module:ident = $path:literal),+ $(,)?) => {
        $(#[path = $path] mod $module;)+
    };
}

of_the_library! {
    channel = "../../runtime/src/channel/mod.rs",
    core_dump = "../../runtime/src/core_dump.rs",
    ending = "../../runtime/src/ending.rs",
    event = "../../runtime/src/event.rs",
    evidence = "../../runtime/src/evidence.rs",
    guarding = "../../runtime/src/guarding.rs",
    host = "../../runtime/src/host.rs",
    isolation = "../../runtime/src/isolation.rs",
    limits = "../../runtime/src/limits.rs",
    payload = "../../runtime/src/payload.rs",
    permissions = "../../runtime/src/permissions.rs",
    quantity = "../../runtime/src/quantity.rs",
    signals = "../../runtime/src/signals.rs",
    start = "../../runtime/src/start.rs",
    task = "../../runtime/src/task.rs",
    trace = "../../runtime/src/trace.rs",
    trust = "../../runtime/src/trust.rs",
    value_file = "../../runtime/src/value_file.rs",
}

use std::time::Instant;

use channel::{Turn, Witness};
use event::Event;
pub use evidence::{StopReason, Testimony};
use isolation::Attempt;
use limits::Limits;
use payload::Payload;
use quantity::ByteSize;
use task::{Capture, Entry, Stdin, TaskId};

/// What one talk came to.
#[derive(Debug, PartialEq)]
pub struct Heard {
    /// Why the guest had to be ended, if it had to.
    pub stop: Option<StopReason>,
    /// What was heard while it ran.
    pub events: Vec<String>,
    /// What it said of itself.
    pub testimony: Testimony,
}

/// Hears a talk that comes in pieces of `piece` bytes, of a guest that was called or of one that was not.
pub fn hear(bytes: &[u8], piece: usize, limit: u64, is_call: bool) -> Heard {
    let entry = match is_call {
        true => Entry::Invoke { function: "f".into(), input: Payload::raw([]) },
        false => Entry::Command { args: vec![], stdin: Stdin::Null },
    };
    let limits = Limits { result: ByteSize::bytes(limit), ..Limits::default() };
    let (task, stdout, began) = (TaskId::named("fuzzed"), Capture::Keep, Instant::now());
    let attempt =
        Attempt { task: &task, entry: &entry, limits: &limits, stdout, began, silence: None };
    let mut witness = Witness::of(&attempt, Turn::Only);
    let (mut stop, mut events) = (None, Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        // A guest that must be ended is not heard any more.
        if stop.is_some() {
            break;
        }
        stop = witness.hear(piece, &mut |event: Event<'_>| events.push(format!("{event:?}")));
    }
    Heard { stop, events, testimony: witness.finish() }
}

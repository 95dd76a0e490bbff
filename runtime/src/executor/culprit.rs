//! Who a task is, over retries and resubmissions: the kind of work, and a digest of its input. And what a record says of its
//! death.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::order::Order;
use crate::policy::health::Phase;
use crate::policy::quarantine::Culprit;
use crate::report::Report;
use crate::task::{Entry, Program, Stdin, Value};

/// The task's kind and input. A file is its path: what is in it may be large, and change.
pub(super) fn culprit(program: &Program, order: &Order) -> Culprit {
    let mut digest = blake3::Hasher::new();
    let mut part = |tag: u8, bytes: &[u8]| {
        digest.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    let mut kind = program.name().to_string();
    match &order.task.entry {
        Entry::Command { args, stdin } => {
            args.iter().for_each(|arg| part(0, arg.as_encoded_bytes()));
            match stdin {
                Stdin::Null => {}
                Stdin::Bytes(bytes) => part(1, bytes),
                Stdin::File(path) => part(2, path.as_os_str().as_encoded_bytes()),
                // Nobody knows what comes out of it: it is the task that is told apart.
                #[cfg(unix)]
                Stdin::Descriptor(_) => part(3, order.task.id.to_string().as_bytes()),
            }
        }
        Entry::Call { function, arguments } => {
            kind = format!("{kind} {function}");
            for argument in arguments {
                match argument {
                    Value::I32(value) => part(4, &value.to_le_bytes()),
                    Value::I64(value) => part(5, &value.to_le_bytes()),
                    Value::F32(value) => part(6, &value.to_bits().to_le_bytes()),
                    Value::F64(value) => part(7, &value.to_bits().to_le_bytes()),
                }
            }
        }
        Entry::Invoke { function, input } => {
            kind = format!("{kind} {function}");
            match input.path() {
                Some(path) => part(9, path.as_os_str().as_encoded_bytes()),
                None => part(8, input.bytes()),
            }
        }
    }
    let kind = order.kind.clone().unwrap_or_else(|| kind.into());
    let mut short = [0; 16];
    short.copy_from_slice(&digest.finalize().as_bytes()[..16]);
    Culprit { kind, digest: short }
}

/// A digest of where and how a task died: the same fault at the same place has the same one. Addresses of processes
/// change from run to run, so a process is known by its verdict alone, unless its trace is.
pub(super) fn signature(report: &Report) -> u64 {
    let mut hasher = DefaultHasher::new();
    report.verdict.label().as_str().hash(&mut hasher);
    report.task.program.hash(&mut hasher);
    report.facts.outside.map(|outside| outside.address).hash(&mut hasher);
    report.facts.trace.first().map(|frame| (&frame.function, &frame.place)).hash(&mut hasher);
    hasher.finish()
}

/// How far its guest was.
pub(super) fn phase(report: &Report) -> Phase {
    match report.output.result {
        _ if report.facts.was_warming_up => Phase::WarmUp,
        Some(_) => Phase::AfterResult,
        None => Phase::Task,
    }
}

/// What is kept of a dead task's stderr, in bytes.
const LAST_WORDS: usize = 1024;

/// The end of what it wrote to stderr.
pub(super) fn last_words(report: &Report) -> String {
    let tail = &report.output.stderr_tail;
    let end = &tail[tail.len().saturating_sub(LAST_WORDS)..];
    let text = String::from_utf8_lossy(end);
    // What replaces a byte takes three.
    let from = text.len().saturating_sub(LAST_WORDS);
    text[text.ceil_char_boundary(from)..].to_owned()
}

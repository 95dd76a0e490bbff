//! What can be heard of a task while it runs.

use sandtrap_protocol::{Codec, Level};

/// Something that happened to a running task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A process was started for it.
    Started {
        /// The process.
        pid: u32,
    },
    /// It wrote these bytes to stdout.
    Stdout(&'a [u8]),
    /// It wrote these bytes to stderr.
    Stderr(&'a [u8]),
    /// Its guest logged a line.
    Log {
        /// How much it matters.
        level: Level,
        /// The line. What is not UTF-8 was replaced; control characters were not.
        text: &'a str,
    },
    /// Its guest says how far it is.
    Progress {
        /// What is done.
        done: u64,
        /// What there is to do, where that is known.
        total: Option<u64>,
        /// What it is doing.
        text: &'a str,
    },
    /// Its function gave an item before its result. Items are heard, and not kept.
    Emitted {
        /// How the item is written.
        codec: Codec,
        /// The item.
        bytes: &'a [u8],
    },
}

//! Every frame there is. Variants are only ever appended: their order is the wire format.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// What a guest sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromGuest {
    /// Must be the first frame.
    Hello {
        /// The version of the channel that the guest speaks.
        version: u16,
    },
    /// The task failed with an error. Nothing may follow.
    Error(ErrorReport),
    /// A thread panicked. The guest may survive it, so more may follow.
    Panic(PanicReport),
    /// An allocation of that many bytes failed.
    OutOfMemory {
        /// Bytes asked for.
        requested: u64,
    },
}

/// The error a task ended with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The error itself.
    pub message: String,
    /// What caused it, outermost first.
    pub chain: Vec<String>,
}

/// A panic, or an exception that nobody caught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanicReport {
    /// Its message.
    pub message: String,
    /// `file:line:column`, where it is known.
    pub place: Option<String>,
    /// Whether nothing could catch it any more: the program does not unwind, or was panicking already.
    pub fatal: bool,
}

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
    /// The names of the functions that can be called. Follows the greeting, or never comes.
    Functions(Vec<String>),
    /// A call's result, which is the frame's tail.
    Return {
        /// The call.
        id: u64,
        /// How the tail is written.
        codec: Codec,
    },
    /// The value of the error that follows, as the frame's tail, for a host that knows its type.
    ErrorValue {
        /// How the tail is written.
        codec: Codec,
    },
    /// One item of a stream that comes before a call's result; the frame's tail.
    Emit {
        /// The call.
        id: u64,
        /// How the tail is written.
        codec: Codec,
    },
    /// A line for people: the frame's tail, as text.
    Log {
        /// How much it matters.
        level: Level,
    },
    /// How far a call is. The frame's tail says in words what it is doing.
    Progress {
        /// What is done.
        done: u64,
        /// What there is to do, where that is known.
        total: Option<u64>,
    },
    /// Calls a function of the host; its input is the frame's tail.
    HostCall {
        /// Names this call in the reply.
        id: u64,
        /// How the tail is written.
        codec: Codec,
        /// The function.
        function: String,
    },
    /// A sign of life, and nothing else.
    Beat,
    /// The result that follows lies in the guest's room for values: in its arena, or in a module's own memory. The
    /// tail of its frame is empty then.
    Placed {
        /// Where it begins.
        at: u64,
        /// How many bytes it has.
        length: u64,
    },
    /// This guest is not to be used again, whatever its call gives.
    Fatal,
    /// A device that the guest works with has no memory left for it. Whether it goes on is its own affair.
    DeviceOutOfMemory {
        /// Bytes asked for; 0 where it doesn't know.
        requested: u64,
    },
    /// The names of those functions that may be called twice. Follows the list of all functions, or never comes.
    Idempotent(Vec<String>),
    /// The guest is warm, and forks from now on for each order that comes; see [`crate::Birth`]. Nothing may follow.
    Warm,
    /// The guest has taken the lane that it was offered. The last word of its greeting, or never said; see [`crate::Lane`].
    Lane,
    /// Where the thread stood that has just panicked, for a host that asked for it. The frame's tail is numbers of 8 bytes,
    /// little-endian: where the program's file begins to be executed, and then the addresses, in that same file, to which
    /// its functions return, innermost first.
    Stack,
}

/// What a host sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest<'a> {
    /// Is the first frame.
    Hello {
        /// The version of the channel that the host speaks.
        version: u16,
    },
    /// Calls a function; its input is the frame's tail.
    Call {
        /// Names this call in its result.
        id: u64,
        /// How the input is written, and how the result shall be.
        codec: Codec,
        /// Microseconds until the call is ended.
        time_left: u64,
        /// The function.
        #[serde(borrow)]
        function: &'a str,
    },
    /// What a function of the host answers: the frame's tail.
    HostReply {
        /// The call that it answers.
        id: u64,
        /// Whether the tail is a result; else it is text that says why there is none.
        is_result: bool,
        /// How the tail is written.
        codec: Codec,
    },
    /// Nobody waits for this call's result any more.
    Cancel {
        /// The call.
        id: u64,
    },
    /// There will be no more calls.
    Shutdown,
    /// The input of the call that follows lies in the guest's arena. The tail of its frame is empty then.
    Placed {
        /// Where it begins.
        at: u64,
        /// How many bytes it has.
        length: u64,
    },
    /// Names of functions of the host that the guest may call. Follows the greeting, once or more often, or never comes.
    /// Its fields are as short as if a value came behind them.
    Functions(#[serde(borrow)] Vec<&'a str>),
}

/// How a value is written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// As it is: the value is bytes.
    Raw,
    /// For typed values of Rust on both sides: postcard, and a fingerprint of the types.
    Typed,
    /// As JSON.
    Json,
}

/// How much a line of a log matters, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// For the author of the guest, on one particular day.
    Debug,
    /// What it does.
    Info,
    /// What may be wrong.
    Warning,
    /// What is wrong.
    Error,
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

/// What may follow a frame's fields, up to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    None,
    /// Text, or a few numbers, within the length of an ordinary frame.
    Short,
    /// A value, as large as both sides allow.
    Value,
}

impl Codec {
    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Typed => "typed",
            Self::Json => "json",
        }
    }
}

impl Level {
    /// The word used where it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl FromGuest {
    /// What follows the fields of this frame.
    pub const fn tail(&self) -> Tail {
        match self {
            Self::Hello { .. }
            | Self::Error(_)
            | Self::Panic(_)
            | Self::OutOfMemory { .. }
            | Self::Functions(_)
            | Self::Beat
            | Self::Placed { .. }
            | Self::Fatal
            | Self::DeviceOutOfMemory { .. }
            | Self::Idempotent(_)
            | Self::Warm
            | Self::Lane => Tail::None,
            Self::Log { .. } | Self::Progress { .. } | Self::Stack => Tail::Short,
            Self::Return { .. }
            | Self::ErrorValue { .. }
            | Self::Emit { .. }
            | Self::HostCall { .. } => Tail::Value,
        }
    }

    /// The same, from the first byte of a frame. `None` for what is no frame.
    pub(crate) const fn tail_of(first: u8) -> Option<Tail> {
        match first {
            0..=4 | 11..=17 => Some(Tail::None),
            8 | 9 | 18 => Some(Tail::Short),
            5..=7 | 10 => Some(Tail::Value),
            _ => None,
        }
    }
}

impl ToGuest<'_> {
    /// What follows the fields of this frame.
    pub const fn tail(&self) -> Tail {
        match self {
            Self::Hello { .. }
            | Self::Cancel { .. }
            | Self::Shutdown
            | Self::Placed { .. }
            | Self::Functions(_) => Tail::None,
            Self::Call { .. } | Self::HostReply { .. } => Tail::Value,
        }
    }
}

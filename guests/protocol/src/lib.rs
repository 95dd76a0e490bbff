//! What a guest and its host may say to each other: the frames, how they are written as bytes, and how long they
//! may be. `docs/channel.md` says the same for guests in other languages.
//!
//! A guest only *testifies*: it can say that it panicked, that its task returned an error, that an
//! allocation failed. The host believes none of it without evidence of its own.

#![no_std]

extern crate alloc;

mod birth;
mod codec;
mod decoder;
mod frame;
mod lane;
mod typed;

pub use birth::{
    BIRTH_BYTES, BIRTH_PLACES, Birth, MOST_DESCRIPTORS, MOST_INSTRUCTIONS, RECORD_BYTES,
    START_FORK, START_VARIABLE, birth_step,
};
pub use codec::{
    Frame, FrameFault, LENGTH_BYTES, MAX_FRAME, MAX_HEAD, around_panic, decode_to_guest, encode,
    encode_into, encode_with, head_into, only_return,
};
pub use decoder::{Decoder, Heard};
pub use frame::{Codec, ErrorReport, FromGuest, Level, PanicReport, Tail, ToGuest};
pub use lane::{
    Came, Hope, LANE_BYTES, LANE_LOOKS, LANE_MOST, LANE_VARIABLE, Laid, Lane, Tally, Way,
};
pub use typed::{
    TypedFault, typed_bytes, typed_bytes_around, typed_bytes_to_vec, typed_from_slice, typed_into,
    typed_to_vec,
};

/// The version of the channel that this crate speaks.
pub const VERSION: u16 = 1;

/// The environment variable that tells a native guest the number of its channel's descriptor.
pub const CHANNEL_VARIABLE: &str = "SANDTRAP_CHANNEL";

/// The environment variable that tells a native guest the number of its arena's descriptor: memory that it shares with its
/// host, for large values.
pub const ARENA_VARIABLE: &str = "SANDTRAP_ARENA";

/// The environment variable that asks a native guest where it stood when it panics.
pub const BACKTRACE_VARIABLE: &str = "SANDTRAP_BACKTRACE";

/// A value of fewer bytes travels with its frame.
pub const PLACED_FROM: usize = 64 * 1024;

/// The import module of a module's channel.
pub const IMPORT_MODULE: &str = "sandtrap";

/// The import a module sends its bytes with: `(pointer, length)`.
pub const IMPORT_SEND: &str = "send";

/// The import a module gets the host's bytes with: `(pointer, length)`; it gives how many there were, and 0 if
/// nothing more is there.
pub const IMPORT_RECEIVE: &str = "receive";

/// The export that a module which is kept is entered by for every call after its first.
pub const EXPORT_SERVE: &str = "sandtrap_serve";

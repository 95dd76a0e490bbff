//! What a guest may say to its host: the frames, how they are written as bytes, and how long they may be.
//!
//! A guest only *testifies*: it can say that it panicked, that its task returned an error, that an
//! allocation failed. The host believes none of it without evidence of its own.

#![no_std]

extern crate alloc;

mod codec;
mod frame;

pub use codec::{Decoder, FrameFault, MAX_FRAME, encode, encode_into};
pub use frame::{ErrorReport, FromGuest, PanicReport};

/// The version of the channel that this crate speaks.
pub const VERSION: u16 = 1;

/// The environment variable that tells a native guest the number of its channel's descriptor.
pub const CHANNEL_VARIABLE: &str = "SANDTRAP_CHANNEL";

/// The import module of a module's channel.
pub const IMPORT_MODULE: &str = "sandtrap";

/// The import a module sends its bytes with: `(pointer, length)`.
pub const IMPORT_SEND: &str = "send";

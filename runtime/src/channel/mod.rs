//! What passes between a guest and its host: its streams, and the frames of its testimony. Everything
//! that arrives here is hostile until decoded.

mod streams;
mod witness;

pub(crate) use streams::{Stream, Streams};
pub(crate) use witness::Witness;

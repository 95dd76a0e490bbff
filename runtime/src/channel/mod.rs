//! What passes between a guest and its host: its streams, and the frames of both. Everything
//! that arrives here is hostile until decoded.

mod clerks;
mod desk;
mod outbox;
mod streams;
mod turns;
mod vessel;
mod warning;
mod witness;

pub(crate) use desk::Desk;
pub(crate) use outbox::{Outbox, Turn};
pub(crate) use streams::{Stream, Streams};
pub(crate) use vessel::results_in;
pub(crate) use warning::Warning;
pub(crate) use witness::{Placed, Witness};

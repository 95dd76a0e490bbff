//! A shorter way for calls of guests that are kept: nothing is made for one that returns soon but its value. A wall may have
//! one, and those above know it by this.

use std::time::{Duration, Instant};

use crate::limits::Limits;

use super::{Cell, Vitals};

/// The shorter way of a wall.
#[derive(Clone, Copy)]
pub(crate) struct Shortcut {
    /// Whether this is a cell whose calls may go it.
    pub(crate) is_there: fn(&dyn Cell) -> bool,
    /// Calls a function.
    pub(crate) call: for<'c> fn(&'c mut dyn Cell, &Brief<'_>) -> Quick<'c>,
    /// As many bytes of those that were called before may stand in the output of an attempt that was begun so.
    pub(crate) unheard: u64,
}

/// A call of a function whose caller wants its value and nothing else, of a guest that is kept.
#[derive(Clone, Copy)]
pub(crate) struct Brief<'a> {
    /// The function.
    pub(crate) function: &'a str,
    /// Its input, typed.
    pub(crate) input: &'a [u8],
    /// The caps in force: the same in each call of a guest.
    pub(crate) limits: &'a Limits,
    /// How long the guest may say nothing.
    pub(crate) silence: Option<Duration>,
    /// How many tasks it may run.
    pub(crate) most_tasks: u64,
    /// Whether a guest that is doing like that may be called. Asked now and then.
    pub(crate) admits: &'a dyn Fn(Vitals) -> bool,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Quick<'c> {
    /// It returned this value, typed.
    Returned(&'c [u8]),
    /// It was begun at this time, and takes longer, or came to another end: the attempt that is run next is this one.
    Begun(Instant),
    /// Nothing was called: it is run like any other.
    NotHere,
}

//! The Wasm wall: modules run inside this process, each attempt in an instance of its own.
//!
//! # How it works
//!
//! A program is compiled once into an `image`, together with the imports it will be given, and every
//! attempt gets a fresh `guest`: store, instance, memory. Nothing of an attempt is left for the next one.
//!
//! Guests run on `threads` of our own, never on the caller's, for three reasons. The caller's stack may
//! be too small for the stack limit; a guest's stack overflow must be the engine's to catch. The caller
//! may stand inside an async runtime, where a blocking host function would panic. And what the guest
//! writes has to reach an ear that is only borrowed: the caller's thread listens at the other end of a
//! bounded channel while the guest runs, so nothing is collected in between and a slow ear slows the
//! guest down. The threads are reused; an attempt costs two hand-overs, not a new thread.
//!
//! One `clock` serves all attempts of the process. At the due time it stops the attempt through its
//! `StopHandle`, like everybody else who stops one, and that fires the attempt's `signal`: a flag that
//! the guest's code is made to look at (by moving the engine's epoch on), and a bell that wakes its
//! thread where it waits in a host call. Every guest looks at its own flag only, so a guest never dies of
//! another one's deadline. What the engine does in one go is not broken off: a single operation on a
//! whole memory, or the unwinding of a very deep stack, goes to its end first, so a deadline can be
//! overshot by seconds. How much that can be is bounded by the limits of memory and stack.
//!
//! Every cause of an end is a type (`ending`), never a text. A refused growth of memory, an exit and an
//! interrupt are error types of our own; everything else is one of the engine's traps.

mod bell;
mod cell;
mod clock;
mod ending;
mod engines;
mod entrance;
mod guest;
mod image;
mod imports;
mod meter;
mod places;
mod shape;
mod signal;
mod sinks;
mod source;
mod stdin;
#[cfg(test)]
mod tests;
mod threads;
mod trace;
mod wasi;

use std::fmt;
use std::sync::Arc;

use crate::isolation::{Image, Isolation, LoadError};
use crate::task::Program;

use engines::Engines;
use image::WasmImage;
use threads::Threads;

/// Runs modules. Cheap to make: engines and threads come into being when they are first needed.
pub(crate) struct WasmWall {
    engines: Engines,
    threads: Arc<Threads>,
}

impl WasmWall {
    pub(crate) fn new() -> Self {
        Self { engines: Engines::default(), threads: Arc::default() }
    }
}

impl Isolation for WasmWall {
    fn load(&self, program: &Program) -> Result<Arc<dyn Image>, LoadError> {
        let engine = self.engines.for_limits(&program.policy().limits)?;
        let image = WasmImage::prepare(program, engine, Arc::clone(&self.threads))?;
        Ok(Arc::new(image))
    }
}

impl fmt::Debug for WasmWall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmWall").finish_non_exhaustive()
    }
}

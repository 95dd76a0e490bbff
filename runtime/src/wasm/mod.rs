//! The Wasm wall: modules run inside this process, each attempt in an instance of its own.
//!
//! # How it works
//!
//! A program is compiled once into an `image`, together with the imports it will be given, and every
//! attempt gets a fresh `guest`: store, instance, memory. Nothing of an attempt is left for the next one.
//!
//! A `stage` is found for each guest: the caller's own thread, if the guest's stack fits on what is left
//! of its stack, else one of the `threads` of our own; a guest's stack overflow must be the engine's to
//! catch. On the caller's thread the ear is `lend` to the guest. From another thread what it writes comes
//! over a bounded channel, so nothing is collected in between and a slow ear slows the guest down. No host
//! function enters an async runtime, so the caller may stand inside of one.
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
mod bounds;
#[cfg(target_os = "linux")]
mod cache;
#[cfg(not(target_os = "linux"))]
#[path = "cache/absent.rs"]
mod cache;
mod cell;
mod clock;
mod code;
mod compiler;
mod component;
mod component_calls;
mod component_face;
mod component_imports;
mod component_parts;
mod component_values;
mod dump;
mod ending;
mod engines;
mod entering;
mod entrance;
mod expose;
mod features;
mod guest;
mod image;
mod imports;
pub(crate) mod inspect;
mod intake;
mod lend;
mod loading;
mod meter;
mod numbers;
mod own_stack;
mod places;
mod pool;
mod probe;
mod quick;
mod results;
mod room;
mod running;
mod scan;
mod seal;
mod shape;
mod signal;
mod sinks;
mod source;
mod stage;
mod standing;
mod stdin;
#[cfg(test)]
mod tests;
mod threads;
mod timers;
mod trace;
mod turns;
mod wasi;

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use crate::evidence::Step;
use crate::isolation::{Image, Isolation, LoadError, StopHandle};
use crate::permissions::Profile;
use crate::task::Program;

pub(crate) use cache::Cache;
pub(crate) use cell::WasmCell;
pub(crate) use compiler::{
    Compiler, Material, NotCompiled, Order, compile, out_of_time, too_small,
};
pub(crate) use engines::Configuration;
pub(crate) use loading::Tools;
pub(crate) use numbers::Passed;
pub(crate) use probe::probe;
pub(crate) use quick::Again;

use engines::Engines;
use image::WasmImage;
use loading::Loader;
use pool::Memory;
use threads::Threads;

/// Runs modules. Cheap to make: engines and threads come into being when they are first needed.
pub(crate) struct WasmWall {
    engines: Engines,
    threads: Arc<Threads>,
    tools: Tools,
}

impl WasmWall {
    /// A wall that compiles with these tools, with room for so many guests in a pool of memory; without any,
    /// each guest's is made anew.
    pub(crate) fn new(tools: Tools, places: u32) -> Self {
        Self { engines: Engines::new(places), threads: Arc::default(), tools }
    }

    /// Compiles a program and links it.
    fn image(&self, program: &Program, stop: &StopHandle) -> Result<WasmImage, LoadError> {
        check_profile(program.policy().permissions.profile)?;
        check_proc(program.policy().permissions.proc)?;
        let loaded = self.loader(program, stop)?.load(program)?;
        WasmImage::prepare(program, loaded, Arc::clone(&self.threads))
    }

    fn loader<'a>(
        &'a self,
        program: &'a Program,
        stop: &'a StopHandle,
    ) -> Result<Loader<'a>, LoadError> {
        let (engines, tools, policy) = (&self.engines, &self.tools, program.policy());
        let configuration = Configuration::new(policy, Memory::OnDemand);
        let dumps = program.wants_core_dump();
        let (fingerprint, began) = (engines.fingerprint(configuration)?, Instant::now());
        Ok(Loader { engines, configuration, fingerprint, dumps, tools, policy, stop, began })
    }

    /// Writes a module's compiled code, sealed.
    pub(crate) fn compile_ahead(
        &self,
        program: &Program,
        stop: &StopHandle,
        out: &mut dyn Write,
    ) -> Result<(), LoadError> {
        self.loader(program, stop)?.seal(program, out)
    }
}

/// A choice that would change nothing is refused, so that nobody counts on it.
fn check_profile(profile: Profile) -> Result<(), LoadError> {
    if profile == Profile::default() {
        return Ok(());
    }
    let detail = format!(
        "a module makes no system calls, so the profile `{profile}` means nothing to it; leave the \
         profile out, or run a process behind the native wall"
    );
    Err(LoadError::at(Step::Accept, detail))
}

/// The same.
fn check_proc(proc: bool) -> Result<(), LoadError> {
    let detail =
        "a module finds no `/proc`; leave the grant out, or run a process behind the native wall";
    if proc { Err(LoadError::at(Step::Accept, detail)) } else { Ok(()) }
}

impl Isolation for WasmWall {
    fn load(&self, program: &Program) -> Result<Arc<dyn Image>, LoadError> {
        self.load_until(program, &StopHandle::new())
    }

    fn load_until(
        &self,
        program: &Program,
        stop: &StopHandle,
    ) -> Result<Arc<dyn Image>, LoadError> {
        Ok(Arc::new(self.image(program, stop)?))
    }
}

impl fmt::Debug for WasmWall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmWall").finish_non_exhaustive()
    }
}

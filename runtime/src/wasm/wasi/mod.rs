//! WASI preview 1 for one guest: the reference implementation, and what we put in front of it.
//!
//! Every function is called on the guest's own thread, polled there, and left alone the moment the guest is
//! to end. Nothing blocks on a runtime: a guest may run on a thread that stands inside one of the caller's,
//! where that would panic. Little needs one, either: files are read and written on the guest's thread, and
//! what waits for a clock or for an input waits on the guest's bell. Only what opens a file, and might wait
//! for ever, is done on another thread.

mod bounds;
mod clocks;
mod component_files;
mod dirs;
mod files;
mod functions;
mod handles;
#[cfg(target_os = "linux")]
mod listing;
#[cfg(not(target_os = "linux"))]
#[path = "listing/absent.rs"]
mod listing;
mod opening;
mod poll;
mod promised;
mod random;
mod reference;
mod streams;

use std::sync::Arc;

use wasmtime::Memory;
use wasmtime_wasi::p1::types;
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::evidence::Step;
use crate::isolation::{LoadError, StopHandle};
use crate::limits::Limits;

use super::image::Prepared;
use super::signal::Signal;
use super::sinks::Outlet;
use super::stdin::Input;

use clocks::Clocks;
use files::Files;
use handles::Handles;
use listing::Listing;
use opening::Places;
use reference::{Recipe, Reference};

pub(super) use component_files::limit as limit_files;
pub(super) use dirs::Dirs;
pub(super) use functions::{names, offer};

/// WASI for one guest.
pub(super) struct Wasi {
    world: World,
    signal: Arc<Signal>,
    /// The guest's memory, once it has called for the first time.
    memory: Option<Memory>,
}

/// What one guest finds of the world.
struct World {
    reference: Reference,
    outlet: Arc<Outlet>,
    clocks: Clocks,
    input: Input,
    files: Files,
    handles: Handles,
    listing: Option<Listing>,
    places: Option<Arc<Places>>,
    signal: Arc<Signal>,
}

/// What a guest is given.
pub(super) struct Given<'a> {
    pub(super) image: &'a Arc<Prepared>,
    /// Its arguments.
    pub(super) args: &'a [String],
    /// Whether its thread may be kept waiting by a file.
    pub(super) may_block: bool,
    /// What it reads.
    pub(super) input: &'a Input,
    /// Where it writes.
    pub(super) outlet: &'a Arc<Outlet>,
    /// Its limits.
    pub(super) limits: &'a Limits,
    /// What ends its waiting.
    pub(super) signal: &'a Arc<Signal>,
    /// What ends it.
    pub(super) stop: &'a StopHandle,
}

impl Wasi {
    /// Fails if the guest can't be given what it was granted.
    pub(super) fn new(given: &Given<'_>) -> Result<Self, LoadError> {
        let Given { image, args, limits, .. } = *given;
        bounds::words(args, &image.env)?;
        let files = Files::new(limits, image.dirs.count(), given.stop);
        if files.are_too_many() {
            let most = limits.open_files;
            let detail = format!(
                "its streams and directories are more than the open-files limit of {most}; raise it"
            );
            return Err(LoadError::at(Step::FitLimits, detail));
        }
        let clocks = match image.deterministic {
            None => Clocks::of_this_host(),
            Some(_) => Clocks::made_up(),
        };
        let mut reference = Reference::new(Recipe {
            image: Arc::clone(image),
            args: args.to_vec(),
            input: given.input.clone(),
            outlet: Arc::clone(given.outlet),
            clocks: clocks.clone(),
            may_block: given.may_block,
            most_random: limits.memory.as_u64(),
        })?;
        let handles = match image.dirs.count() {
            0 => Handles::default(),
            count => Handles::of_granted(&mut reference, count),
        };
        let signal = Arc::clone(given.signal);
        let world = World {
            handles,
            reference,
            outlet: Arc::clone(given.outlet),
            clocks,
            input: given.input.clone(),
            files,
            listing: None,
            places: image.dirs.places(),
            signal: Arc::clone(&signal),
        };
        Ok(Self { world, signal, memory: None })
    }
}

impl Wasi {
    fn files(&mut self) -> &mut Files {
        &mut self.world.files
    }

    /// What ends the guest's waiting.
    pub(super) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.world.reference.ctx()
    }
}

/// What a guest is told of an error of its own making; a pointer that is none ends it.
fn told(error: types::Error) -> wasmtime::Result<i32> {
    Ok(code(error.downcast()?))
}

/// An error number, as guests read it.
fn code(error: types::Errno) -> i32 {
    u16::from(error).into()
}

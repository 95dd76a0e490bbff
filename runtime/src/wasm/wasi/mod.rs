//! WASI preview 1 for one guest: the reference implementation, and what we put in front of it.
//!
//! Every function is called on the guest's own thread, polled there, and left alone the moment the guest is
//! to end. Nothing blocks on a runtime: a guest may run on a thread that stands inside one of the caller's,
//! where that would panic. Little needs one, either: files are read and written on the guest's thread, and
//! what waits for a clock or for an input waits on the guest's bell. Only what opens a file, and might wait
//! for ever, is done on another thread.

mod bounds;
mod clocks;
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
mod random;

use std::sync::Arc;

use wasmtime::Memory;
use wasmtime_wasi::p1::{WasiP1Ctx, types};
use wasmtime_wasi::{WasiCtxBuilder, WasiCtxView, WasiView};

use crate::channel::Stream;
use crate::evidence::Step;
use crate::isolation::{LoadError, StopHandle};
use crate::limits::Limits;
use crate::permissions::Network;

use super::signal::Signal;
use super::sinks::{Outlet, Sink};
use super::stdin::Input;

use clocks::Clocks;
use files::Files;
use handles::Handles;
use listing::Listing;
use opening::Places;

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
    reference: WasiP1Ctx,
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
    /// Its own name.
    pub(super) name: &'a str,
    /// Its arguments.
    pub(super) args: &'a [String],
    /// Its environment.
    pub(super) env: &'a [(String, String)],
    /// The directories it may reach.
    pub(super) dirs: &'a Dirs,
    /// Whether it may reach the network.
    pub(super) net: Network,
    /// Whether its thread may be kept waiting by a file. A component's would not be free to end then.
    pub(super) may_block: bool,
    /// The seed of its clocks and random numbers, if they are to be the same in every run.
    pub(super) deterministic: Option<u64>,
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
        let mut context = WasiCtxBuilder::new();
        let clocks = match given.deterministic {
            None => Clocks::of_this_host(),
            Some(seed) => {
                random::make_up(&mut context, seed);
                Clocks::made_up()
            }
        };
        context
            .allow_blocking_current_thread(given.may_block)
            .max_random_size(given.limits.memory.as_u64())
            .monotonic_clock(clocks.clone())
            .wall_clock(clocks.clone())
            .stdin(match given.deterministic {
                None => given.input.clone(),
                Some(_) => given.input.clone().filling_buffers(),
            })
            .stdout(Sink::new(Stream::Stdout, given.outlet))
            .stderr(Sink::new(Stream::Stderr, given.outlet))
            .arg(given.name)
            .args(given.args)
            .envs(given.env);
        bounds::words(given.args, given.env)?;
        given.dirs.open(&mut context)?;
        if given.net == Network::Host {
            context.inherit_network().allow_ip_name_lookup(true).allow_tcp(true).allow_udp(true);
        }
        let files = Files::new(given.limits, given.dirs.count(), given.stop);
        if files.are_too_many() {
            let most = given.limits.open_files;
            let detail = format!(
                "its streams and directories are more than the open-files limit of {most}; raise it"
            );
            return Err(LoadError::at(Step::FitLimits, detail));
        }
        let signal = Arc::clone(given.signal);
        let (input, places) = (given.input.clone(), given.dirs.places());
        let mut reference = context.build_p1();
        let world = World {
            handles: Handles::of_granted(&mut reference, given.dirs.count()),
            reference,
            clocks,
            input,
            files,
            listing: None,
            places,
            signal: Arc::clone(&signal),
        };
        Ok(Self { world, signal, memory: None })
    }
}

impl Wasi {
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

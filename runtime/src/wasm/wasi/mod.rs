//! WASI preview 1 for one guest: the reference implementation, and what we put in front of it.
//!
//! Every function is called on the guest's own thread, polled there, and left alone the moment the guest is
//! to end. No runtime is entered: a guest may run on a thread that stands inside an async runtime of the
//! caller's, where nothing may block on another one. Nothing needs one, either: files are read and written
//! on the guest's thread, and the only calls that wait, for a clock or for an input, wait on the guest's
//! bell.

mod clocks;
mod functions;
mod poll;

use std::sync::Arc;

use wasmtime::Memory;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{WasiP1Ctx, types};

use crate::channel::Stream;

use super::signal::Signal;
use super::sinks::{Outlet, Sink};
use super::stdin::Input;

use clocks::Clocks;

pub(super) use functions::{names, offer};

/// What one guest finds of WASI.
pub(super) struct Wasi {
    reference: WasiP1Ctx,
    clocks: Clocks,
    input: Input,
    signal: Arc<Signal>,
    /// The guest's memory, once it has called for the first time.
    memory: Option<Memory>,
}

/// What a guest is given.
pub(super) struct Given<'a> {
    /// Its own name.
    pub(super) name: &'a str,
    /// Its arguments.
    pub(super) args: &'a [String],
    /// Its environment.
    pub(super) env: &'a [(String, String)],
    /// What it reads.
    pub(super) input: &'a Input,
    /// Where it writes.
    pub(super) outlet: &'a Arc<Outlet>,
    /// What ends its waiting.
    pub(super) signal: &'a Arc<Signal>,
}

impl Wasi {
    pub(super) fn new(given: &Given<'_>) -> Self {
        let clocks = Clocks::of_this_host();
        let mut context = WasiCtxBuilder::new();
        context
            .allow_blocking_current_thread(true)
            .monotonic_clock(clocks.clone())
            .wall_clock(clocks.clone())
            .stdin(given.input.clone())
            .stdout(Sink::new(Stream::Stdout, given.outlet))
            .stderr(Sink::new(Stream::Stderr, given.outlet))
            .arg(given.name)
            .args(given.args)
            .envs(given.env);
        Self {
            reference: context.build_p1(),
            clocks,
            input: given.input.clone(),
            signal: Arc::clone(given.signal),
            memory: None,
        }
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

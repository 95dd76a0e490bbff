//! The reference implementation of WASI for one guest, made when it is first needed.
//!
//! To make it costs a good part of what a small guest costs as a whole, and many guests do nothing but write to
//! their streams. As long as nobody needed it, all descriptors are what they were at the beginning.

use std::cell::OnceCell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;

use crate::channel::Stream;
use crate::isolation::LoadError;
use crate::permissions::Network;
use crate::wasm::image::Prepared;
use crate::wasm::sinks::{Outlet, Sink};
use crate::wasm::stdin::Input;

use super::clocks::Clocks;
use super::random;

pub(super) struct Reference {
    made: OnceCell<WasiP1Ctx>,
    recipe: Recipe,
    /// What one call may pass to the host.
    allowance: usize,
}

/// What it is made of.
pub(super) struct Recipe {
    pub(super) image: Arc<Prepared>,
    pub(super) args: Vec<String>,
    pub(super) input: Input,
    pub(super) outlet: Arc<Outlet>,
    pub(super) clocks: Clocks,
    /// Whether its thread may be kept waiting by a file. A component's would not be free to end then.
    pub(super) may_block: bool,
    pub(super) most_random: u64,
}

impl Reference {
    /// One that is made later, if ever. With directories it is made at once: they may be gone.
    pub(super) fn new(recipe: Recipe) -> Result<Self, LoadError> {
        let made = OnceCell::new();
        if recipe.image.dirs.count() > 0 {
            let mut context = recipe.context();
            recipe.image.dirs.open(&mut context)?;
            let _ = made.set(context.build_p1());
        }
        Ok(Self { made, recipe, allowance: usize::MAX })
    }

    /// Whether nobody has needed it so far, so that nothing can have changed.
    pub(super) fn is_untouched(&self) -> bool {
        self.made.get().is_none()
    }

    /// Bounds what one call may pass to the host.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.allowance = bytes;
        if let Some(made) = self.made.get_mut() {
            made.set_hostcall_fuel(bytes);
        }
    }
}

impl Deref for Reference {
    type Target = WasiP1Ctx;

    fn deref(&self) -> &WasiP1Ctx {
        self.made.get_or_init(|| {
            let mut made = self.recipe.context().build_p1();
            made.set_hostcall_fuel(self.allowance);
            made
        })
    }
}

impl DerefMut for Reference {
    fn deref_mut(&mut self) -> &mut WasiP1Ctx {
        let _: &WasiP1Ctx = self;
        self.made.get_mut().expect("it was made in the line before")
    }
}

impl Recipe {
    fn context(&self) -> WasiCtxBuilder {
        let image = &self.image;
        let mut context = WasiCtxBuilder::new();
        if let Some(seed) = image.deterministic {
            random::make_up(&mut context, seed);
        }
        context
            .allow_blocking_current_thread(self.may_block)
            .max_random_size(self.most_random)
            .monotonic_clock(self.clocks.clone())
            .wall_clock(self.clocks.clone())
            .stdin(match image.deterministic {
                None => self.input.clone(),
                Some(_) => self.input.clone().filling_buffers(),
            })
            .stdout(Sink::new(Stream::Stdout, &self.outlet))
            .stderr(Sink::new(Stream::Stderr, &self.outlet))
            .arg(&image.argv0)
            .args(&self.args)
            .envs(&image.env);
        if image.net == Network::Host {
            context.inherit_network().allow_ip_name_lookup(true).allow_tcp(true).allow_udp(true);
        }
        context
    }
}

//! The engines: one for each configuration that programs ask for, with the imports linked to it.
//!
//! An engine fixes what cannot be changed from attempt to attempt: the stack's size, whether instructions
//! are counted, whether they are deterministic, and where the memory of instances comes from. Modules and
//! stores of different engines are never mixed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::{Collector, Config, Engine, Linker, WasmBacktraceDetails, component};

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::task::Policy;

use super::compiler;
use super::component_imports;
use super::guest::GuestState;
use super::imports;
use super::pool::{self, Memory};
use super::threads::HOST_STACK;

/// What a guest is run by.
pub(super) struct GuestEngine {
    pub(super) engine: Engine,
    pub(super) linker: Linker<GuestState>,
    /// What is offered to components. It is made when the first one is loaded.
    pub(super) components: OnceLock<component::Linker<GuestState>>,
    pub(super) configuration: Configuration,
}

/// What an engine is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Configuration {
    /// Bytes of stack for the guest's own frames.
    pub(super) stack: usize,
    /// Whether instructions are counted.
    pub(super) counts_fuel: bool,
    /// Whether the same instructions give the same bits everywhere.
    pub(super) is_deterministic: bool,
    /// Where the memory of its instances comes from.
    pub(super) memory: Memory,
    /// Whether the engine shows all globals of a guest that trapped.
    pub(super) dumps: bool,
}

impl Configuration {
    /// What a program under this policy is run by.
    pub(super) fn new(policy: &Policy, memory: Memory) -> Self {
        let limits = policy.limits_for(None);
        Self {
            stack: limits.stack.as_usize(),
            counts_fuel: limits.fuel.is_some(),
            is_deterministic: policy.permissions.deterministic.is_some(),
            memory,
            dumps: true,
        }
    }
}

/// All engines of one wall.
pub(super) struct Engines {
    made: Mutex<HashMap<Configuration, Arc<GuestEngine>>>,
    fingerprints: Mutex<HashMap<Configuration, Arc<str>>>,
    places: u32,
}

impl Engines {
    pub(super) fn new(places: u32) -> Self {
        Self { made: Mutex::default(), fingerprints: Mutex::default(), places }
    }

    /// For how many guests a pool has room.
    pub(super) fn places(&self) -> u32 {
        self.places
    }

    /// Names everything that compiled code depends on, for engines of this configuration; where the memory
    /// of instances comes from is nothing of that kind.
    pub(super) fn fingerprint(&self, wanted: Configuration) -> Result<Arc<str>, LoadError> {
        let mut known = self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fingerprint) = known.get(&wanted) {
            return Ok(Arc::clone(fingerprint));
        }
        let engine = for_compiling(wanted).map_err(no_engine)?;
        let fingerprint: Arc<str> = compiler::fingerprint(&engine).into();
        known.insert(wanted, Arc::clone(&fingerprint));
        Ok(fingerprint)
    }

    /// The engine for this configuration, made at the first request.
    pub(super) fn get(&self, wanted: Configuration) -> Result<Arc<GuestEngine>, LoadError> {
        // An engine is inserted whole or not at all, so a panic elsewhere leaves the map in order.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = made.get(&wanted) {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(GuestEngine::new(wanted).map_err(no_engine)?);
        made.insert(wanted, Arc::clone(&engine));
        Ok(engine)
    }
}

#[cfg(test)]
impl Engines {
    /// Has this engine used for its configuration from now on.
    pub(super) fn put(&self, engine: GuestEngine) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(engine.configuration, Arc::new(engine));
    }
}

fn no_engine(error: wasmtime::Error) -> LoadError {
    LoadError::at(Step::Reserve, format!("no module engine can be made on this host: {error:#}"))
}

impl GuestEngine {
    fn new(wanted: Configuration) -> wasmtime::Result<Self> {
        // A host that doesn't give out so much address space can still run one guest at a time.
        let pooled = config(wanted);
        let engine = match Engine::new(&pooled) {
            Err(_) if wanted.memory != Memory::OnDemand => {
                Engine::new(&config(Configuration { memory: Memory::OnDemand, ..wanted }))?
            }
            made => made?,
        };
        let linker = imports::offer(&engine)?;
        Ok(Self { engine, linker, components: OnceLock::new(), configuration: wanted })
    }

    /// All imports of components, linked to this engine.
    pub(super) fn component_linker(&self) -> Result<&component::Linker<GuestState>, LoadError> {
        if self.components.get().is_none() {
            let linker = component_imports::offer(&self.engine).map_err(no_engine)?;
            // Somebody else may have been faster; one is as good as the other.
            let _ = self.components.set(linker);
        }
        self.components.get().ok_or_else(|| no_engine(wasmtime::format_err!("it is gone")))
    }
}

/// An engine that compiles for the engines of this configuration, and runs nothing.
pub(super) fn for_compiling(configuration: Configuration) -> wasmtime::Result<Engine> {
    // Room for instances is not needed, and could not be had under a cap on the address space.
    Engine::new(&config(Configuration { memory: Memory::OnDemand, ..configuration }))
}

fn config(configuration: Configuration) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.consume_fuel(configuration.counts_fuel);
    config.cranelift_nan_canonicalization(configuration.is_deterministic);
    config.relaxed_simd_deterministic(configuration.is_deterministic);
    config.max_wasm_stack(configuration.stack);
    // Components run on a stack of this kind, and so do the host functions that they call.
    config.async_stack_size(configuration.stack.saturating_add(HOST_STACK));
    // Places in the source are looked up by us, and not for an exit. Were nothing said, an environment
    // variable of the host would decide.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // The dump holds handles, no copies. It is the only way to a global that is not exported, and so, where
    // it was not made to be, to the stack pointer of a guest that overran its own stack.
    config.coredump_on_trap(configuration.dumps);
    // Programs use atomics without threads. Memory that guests could share does not exist here.
    config.wasm_threads(true);
    config.shared_memory(false);
    // Its sizes are counted and limited like any other; an address beyond what there is, is a trap.
    config.wasm_memory64(true);
    // The heap of objects and exceptions is one more memory to the meter. This collector keeps nothing about
    // them anywhere else; the others have lists of their own on the host's side.
    config.wasm_function_references(true).wasm_gc(true).wasm_exceptions(true);
    config.collector(Collector::Copying);
    // What a store keeps for concurrent tasks of a component is made anew for each guest, for nothing.
    config.concurrency_support(false);
    config.allocation_strategy(pool::strategy(configuration.memory));
    config
}

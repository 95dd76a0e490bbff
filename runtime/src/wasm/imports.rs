//! What is offered to guests: WASI preview 1, and the channel to their host.
//!
//! Nothing of the world is granted by it: no directory, no network, no variable that the policy does not
//! name. A guest has the clocks, random numbers, its arguments and its three streams.

use std::collections::{BTreeMap, BTreeSet};

use sandtrap_protocol::{IMPORT_MODULE, IMPORT_SEND, MAX_FRAME};
use wasmtime::{Caller, Engine, Extern, FuncType, Linker, Module, Store, Trap, ValType};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{p0, p1};

use super::ending::Interrupted;
use super::guest::GuestState;
use super::wasi;

/// A frame and the length in front of it.
const MOST_AT_ONCE: usize = MAX_FRAME + 4;

/// All imports, linked to an engine.
pub(super) fn offer(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasi::offer(&mut linker)?;
    linker.func_wrap(IMPORT_MODULE, IMPORT_SEND, send)?;
    Ok(linker)
}

/// Takes what a guest says over its channel.
fn send(mut caller: Caller<'_, GuestState>, at: i32, length: i32) -> wasmtime::Result<()> {
    let (at, length) = (at.cast_unsigned() as usize, length.cast_unsigned() as usize);
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("it uses its channel and exports no memory");
    };
    let (bytes, state) = memory.data_and_store_mut(&mut caller);
    let breach = if length > MOST_AT_ONCE {
        Some(state.witness.refuse(format!(
            "{length} bytes sent over the channel at once; at most {MOST_AT_ONCE} are allowed"
        )))
    } else {
        let end = at.checked_add(length).ok_or(Trap::MemoryOutOfBounds)?;
        let said = bytes.get(at..end).ok_or(Trap::MemoryOutOfBounds)?;
        state.witness.hear(said)
    };
    match breach {
        None => Ok(()),
        Some(reason) => {
            state.stop.stop(reason);
            Err(Interrupted.into())
        }
    }
}

/// The imports of a module that nobody offers, as `module.name`.
pub(super) fn missing(module: &Module) -> Vec<String> {
    let offered: BTreeSet<_> = wasi::names().chain([(IMPORT_MODULE, IMPORT_SEND)]).collect();
    let wanted = module.imports().map(|import| (import.module(), import.name()));
    wanted
        .filter(|import| !offered.contains(import))
        .map(|(module, name)| format!("{module}.{name}"))
        .collect()
}

/// Every function that is offered, by its module and its name.
pub(super) fn offered(engine: &Engine) -> wasmtime::Result<BTreeMap<(String, String), FuncType>> {
    let mut linker = Linker::new(engine);
    // The types of ours are those of the reference.
    p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi)?;
    p0::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi)?;
    let mut store = Store::new(engine, WasiCtxBuilder::new().build_p1());
    let functions: Vec<_> = linker
        .iter(&mut store)
        .filter_map(|(module, name, import)| {
            Some(((module.to_owned(), name.to_owned()), import.into_func()?))
        })
        .collect();
    let mut offered: BTreeMap<_, _> =
        functions.into_iter().map(|(name, function)| (name, function.ty(&store))).collect();
    let send = FuncType::new(engine, [ValType::I32, ValType::I32], []);
    offered.insert((IMPORT_MODULE.to_owned(), IMPORT_SEND.to_owned()), send);
    Ok(offered)
}

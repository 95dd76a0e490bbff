//! What is offered to guests: WASI preview 1, and the channel to their host.
//!
//! Nothing of the world is granted by it: no directory, no network, no variable that the policy does not
//! name. A guest has the clocks, random numbers, its arguments and its three streams.

use std::collections::BTreeSet;

use sandtrap_protocol::{IMPORT_MODULE, IMPORT_SEND, MAX_FRAME};
use wasmtime::{Caller, Engine, Extern, Linker, Module, Trap};

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

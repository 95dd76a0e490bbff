//! What is offered to guests: WASI preview 1, and the channel to their host.
//!
//! Nothing of the world is granted by it: no directory, no network, no variable that the policy does not
//! name. A guest has the clocks, random numbers, its arguments and its three streams.

use std::collections::{BTreeMap, BTreeSet};

use sandtrap_protocol::{IMPORT_MODULE, IMPORT_RECEIVE, IMPORT_SEND};
use wasmtime::{Caller, Engine, Extern, FuncType, Linker, Module, Store, Trap, ValType};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{p0, p1};

use super::ending::Interrupted;
use super::guest::GuestState;
use super::wasi;

/// What of the channel is offered: the functions, by name.
const CHANNEL: [(&str, &str); 2] = [(IMPORT_MODULE, IMPORT_SEND), (IMPORT_MODULE, IMPORT_RECEIVE)];

/// All imports, linked to an engine.
pub(super) fn offer(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasi::offer(&mut linker)?;
    linker.func_wrap(IMPORT_MODULE, IMPORT_SEND, send)?;
    linker.func_wrap(IMPORT_MODULE, IMPORT_RECEIVE, receive)?;
    Ok(linker)
}

/// Takes what a guest says over its channel.
fn send(mut caller: Caller<'_, GuestState>, at: i32, length: i32) -> wasmtime::Result<()> {
    let (at, length) = (at.cast_unsigned() as usize, length.cast_unsigned() as usize);
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("it uses its channel and exports no memory");
    };
    let (bytes, state) = memory.data_and_store_mut(&mut caller);
    let GuestState { witness, outbox, desk, outlet, stop, signal, .. } = state;
    signal.was_heard();
    let most = witness.most_at_once();
    witness.has_room(bytes.len() as u64);
    let mut told = Ok(());
    let breach = if length as u64 > most {
        Some(witness.refuse(format!(
            "{length} bytes sent over the channel at once; at most {most} are allowed"
        )))
    } else {
        let said = &bytes[range(at, length, bytes.len())?];
        let breach = witness.hear(said, &mut |event| {
            if told.is_ok() {
                told = outlet.tell(event);
            }
        });
        // Time that its host takes to listen is none of the guest's.
        signal.was_heard();
        let fault = desk.serve(witness.asked(), outbox);
        breach.or(fault.map(|fault| witness.refuse(fault)))
    };
    match breach {
        None => Ok(told?),
        Some(reason) => {
            stop.stop(reason);
            Err(Interrupted.into())
        }
    }
}

/// Gives a guest what its host says to it: as much as there is and fits. 0 where nothing more is there. An answer to
/// what it has asked is waited for.
fn receive(mut caller: Caller<'_, GuestState>, at: i32, length: i32) -> wasmtime::Result<i32> {
    let (at, length) = (at.cast_unsigned() as usize, length.cast_unsigned() as usize);
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("it uses its channel and exports no memory");
    };
    let GuestState { desk, outbox, warning, signal, .. } = caller.data_mut();
    let answers = desk.answers();
    warning.pass_on(outbox);
    outbox.replies_with(answers);
    while outbox.is_empty() && desk.is_waiting() {
        let (is_answered, is_warned) = (desk.has_answers(), warning.has_come());
        signal.is_asking(true);
        signal.wait_until(None, || is_answered() || is_warned())?;
        signal.is_asking(false);
        let answers = desk.answers();
        warning.pass_on(outbox);
        outbox.replies_with(answers);
    }
    let (bytes, state) = memory.data_and_store_mut(&mut caller);
    let range = range(at, length, bytes.len())?;
    let count = state.outbox.take(&mut bytes[range]);
    if state.outbox.is_unsendable() {
        return Err(Interrupted.into());
    }
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

/// A part of a memory that is so large.
fn range(at: usize, length: usize, size: usize) -> Result<std::ops::Range<usize>, Trap> {
    match at.checked_add(length) {
        Some(end) if end <= size => Ok(at..end),
        _ => Err(Trap::MemoryOutOfBounds),
    }
}

/// The imports of a module that nobody offers, as `module.name`.
pub(super) fn missing(module: &Module) -> Vec<String> {
    let offered: BTreeSet<_> = wasi::names().chain(CHANNEL).collect();
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
    let results = [&[][..], &[ValType::I32]];
    for ((module, name), results) in CHANNEL.into_iter().zip(results) {
        let params = [ValType::I32, ValType::I32];
        let ty = FuncType::new(engine, params, results.iter().cloned());
        offered.insert((module.to_owned(), name.to_owned()), ty);
    }
    Ok(offered)
}

//! What is offered to guests: WASI preview 1, and the channel to their host.
//!
//! Nothing of the world is granted by it: no directory, no network, no variable that the policy does not
//! name. A guest has the clocks, random numbers, its arguments and its three streams.
//!
//! Four functions of WASI are our own. `proc_exit` takes every code, where the engine's refuses those from
//! 126 on. `poll_oneoff`, `fd_read` and `fd_write` are the ones that may wait; the reference
//! implementation does their work, but on the guest's own thread and only until the guest is to end.

use std::collections::BTreeSet;

use sandtrap_protocol::{IMPORT_MODULE, IMPORT_SEND, MAX_FRAME};
use wasmtime::{AsContextMut as _, Caller, Engine, Extern, Linker, Module, Store, Trap};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::runtime::with_ambient_tokio_runtime;
use wiggle::GuestMemory;

use super::ending::{Exit, Interrupted};
use super::guest::GuestState;

const WASI: &str = "wasi_snapshot_preview1";

/// How many things a guest may wait for at once. It has three descriptors; the rest are clocks. Each costs
/// the host a multiple of what it costs the guest.
const MOST_SUBSCRIPTIONS: u32 = 1024;

/// WASI's error number for an argument that makes no sense.
const EINVAL: i32 = 28;

/// A frame and the length in front of it.
const MOST_AT_ONCE: usize = MAX_FRAME + 4;

/// All imports, linked to an engine.
pub(super) fn offer(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |state: &mut GuestState| &mut state.wasi)?;
    linker.allow_shadowing(true);
    linker
        .func_wrap(WASI, "proc_exit", |code: i32| wasmtime::Result::<()>::Err(Exit(code).into()))?;
    linker.func_wrap(
        WASI,
        "poll_oneoff",
        |mut caller: Caller<'_, GuestState>,
         subscriptions: i32,
         events: i32,
         count: i32,
         ready: i32| {
            if count.cast_unsigned() > MOST_SUBSCRIPTIONS {
                return Ok(EINVAL);
            }
            // The reference implementation sleeps by the timers of this runtime.
            with_ambient_tokio_runtime(|| {
                wait_for(&mut caller, async |wasi, memory| {
                    preview1::poll_oneoff(wasi, memory, subscriptions, events, count, ready).await
                })
            })
        },
    )?;
    linker.func_wrap(
        WASI,
        "fd_read",
        |mut caller: Caller<'_, GuestState>, fd: i32, buffers: i32, count: i32, read: i32| {
            wait_for(&mut caller, async |wasi, memory| {
                preview1::fd_read(wasi, memory, fd, buffers, count, read).await
            })
        },
    )?;
    linker.func_wrap(
        WASI,
        "fd_write",
        |mut caller: Caller<'_, GuestState>, fd: i32, buffers: i32, count: i32, written: i32| {
            wait_for(&mut caller, async |wasi, memory| {
                preview1::fd_write(wasi, memory, fd, buffers, count, written).await
            })
        },
    )?;
    linker.allow_shadowing(false);
    linker.func_wrap(IMPORT_MODULE, IMPORT_SEND, send)?;
    Ok(linker)
}

/// Runs a host call that may have to wait, until it is done or the guest is to end.
fn wait_for(
    caller: &mut Caller<'_, GuestState>,
    call: impl AsyncFnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> wasmtime::Result<i32>,
) -> wasmtime::Result<i32> {
    let allowance = caller.as_context_mut().hostcall_fuel();
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("it calls WASI and exports no memory");
    };
    let (bytes, state) = memory.data_and_store_mut(caller);
    let GuestState { wasi, signal, .. } = state;
    wasi.set_hostcall_fuel(allowance);
    signal.wait_for(call(wasi, &mut GuestMemory::Unshared(bytes)))?
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
pub(super) fn missing(module: &Module) -> wasmtime::Result<Vec<String>> {
    let engine = module.engine();
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi)?;
    let mut store = Store::new(engine, WasiCtxBuilder::new().build_p1());
    let mut offered: BTreeSet<(String, String)> = linker
        .iter(&mut store)
        .map(|(module, name, _)| (module.to_owned(), name.to_owned()))
        .collect();
    offered.insert((IMPORT_MODULE.to_owned(), IMPORT_SEND.to_owned()));
    let wanted = module.imports().map(|import| (import.module(), import.name()));
    Ok(wanted
        .filter(|(module, name)| !offered.contains(&((*module).to_owned(), (*name).to_owned())))
        .map(|(module, name)| format!("{module}.{name}"))
        .collect())
}

//! What is offered to components: WASI 0.2, as commands use it.
//!
//! Of the world they see what modules see: their arguments, the granted environment, three streams, clocks
//! and random numbers. The interfaces for files and the network are there because programs import them
//! without a use for them; there is nothing behind them that was not granted.
//!
//! The functions in which a guest waits for clocks and for input are defined again here: the reference
//! implementation does their work, but only until the guest is to end, so that it ends where it waits and
//! its report says where that was. What waits otherwise is dropped as a whole. Those that open and write files are
//! held to the guest's limits.

use std::sync::Arc;

use wasmtime::component::{Linker, Resource, ResourceTable, ResourceTableError};
use wasmtime::{Engine, Result, StoreContextMut};
use wasmtime_wasi::{WasiView as _, p2};
use wasmtime_wasi_io::bindings::wasi::io::poll::{Host as _, HostPollable as _};
use wasmtime_wasi_io::bindings::wasi::io::streams::{self, Host as _, HostInputStream as _};
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::{DynInputStream, StreamResult};

use super::guest::GuestState;
use super::wasi::limit_files;

/// All interfaces of WASI 0.2 that are offered, in each of its versions.
const OFFERED: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// How many streams, clocks and other things of the host a guest may hold at once.
pub(super) const MOST_HANDLES: usize = 10_000;

/// How the versions of WASI that are offered begin.
pub(super) const VERSION: &str = "0.2.";

/// All imports, linked to an engine.
pub(super) fn offer(engine: &Engine) -> Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    linker.allow_shadowing(true);
    wait_in_poll(&mut linker)?;
    wait_in_streams(&mut linker)?;
    limit_files(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

fn wait_in_poll(linker: &mut Linker<GuestState>) -> Result<()> {
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    poll.func_wrap_async("poll", |store, (pollables,): (Vec<Resource<DynPollable>>,)| {
        Box::new(async move {
            // It names something twice, so often that to look at them all would take long.
            if pollables.len() > MOST_HANDLES {
                return Err(ResourceTableError::Full.into());
            }
            let ready = wait_for(store, async |table| table.poll(pollables).await).await?;
            Ok((ready,))
        })
    })?;
    poll.func_wrap_async(
        "[method]pollable.block",
        |store, (pollable,): (Resource<DynPollable>,)| {
            Box::new(wait_for(store, async |table| table.block(pollable).await))
        },
    )
}

fn wait_in_streams(linker: &mut Linker<GuestState>) -> Result<()> {
    type From = (Resource<DynInputStream>, u64);
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.func_wrap_async(
        "[method]input-stream.blocking-read",
        |store, (from, most): From| {
            Box::new(wait_for(store, async move |table| {
                let read = table.blocking_read(from, most).await;
                told(table, read)
            }))
        },
    )?;
    streams.func_wrap_async("[method]input-stream.blocking-skip", |store, (from, most): From| {
        Box::new(wait_for(store, async move |table| {
            let skipped = table.blocking_skip(from, most).await;
            told(table, skipped)
        }))
    })
}

/// Runs a host call that may have to wait, until it is done or the guest is to end.
async fn wait_for<T>(
    mut store: StoreContextMut<'_, GuestState>,
    call: impl AsyncFnOnce(&mut ResourceTable) -> Result<T>,
) -> Result<T> {
    let state = store.data_mut();
    let signal = Arc::clone(state.wasi.signal());
    signal.race(call(state.ctx().table)).await?
}

/// The result of an operation on a stream, as the guest is told it.
fn told<T>(
    table: &mut ResourceTable,
    result: StreamResult<T>,
) -> Result<(Result<T, streams::StreamError>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(table.convert_stream_error(error)?),)),
    }
}

/// The imports of a component that nobody offers.
pub(super) fn missing(imports: &[String]) -> Vec<String> {
    imports.iter().filter(|name| !is_offered(name)).cloned().collect()
}

fn is_offered(import: &str) -> bool {
    import.split_once('@').is_some_and(|(interface, version)| {
        OFFERED.contains(&interface) && version.starts_with(VERSION)
    })
}

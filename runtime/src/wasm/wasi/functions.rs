//! All functions of WASI preview 1, linked one by one, and those of its forerunner, `wasi_unstable`.

use wasmtime::{AsContextMut as _, Caller, Extern, Linker};
use wasmtime_wasi::p0::wasi_unstable;
use wasmtime_wasi::p1::wasi_snapshot_preview1;
use wiggle::GuestMemory;

use crate::wasm::ending::Exit;
use crate::wasm::guest::GuestState;

use super::{Wasi, World, bounds, files, listing, poll, random};

/// The name that `proc_exit` has in both versions. It takes every code, where the reference refuses those
/// from 126 on.
const EXIT: &str = "proc_exit";

/// What a call costs a deterministic guest, which has no other limit that ends it at the same place each time:
/// about as much as it could compute meanwhile.
const FUEL_OF_A_CALL: u64 = 1_000;

/// Links a list of functions: those of the reference that are done at once, those that it calls async, and
/// our own.
macro_rules! functions {
    (
        $version:ident as $names:ident by $offer:ident;
        at once { $($now:ident($($now_arg:ident: $now_ty:ty),*);)* }
        async { $(
            $later:ident($($later_arg:ident: $later_ty:ty),*)
                $(within $bound:path [$($bounded:ident),*])?;
        )* }
        ours { $($our:ident($($our_arg:ident: $our_ty:ty),*) = $function:path;)* }
    ) => {
        const $names: &[&str] =
            &[EXIT, $(stringify!($now),)* $(stringify!($later),)* $(stringify!($our),)*];

        fn $offer(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
            const MODULE: &str = stringify!($version);
            $(linker.func_wrap(
                MODULE,
                stringify!($now),
                |mut caller: Caller<'_, GuestState>, $($now_arg: $now_ty),*| {
                    let (wasi, mut memory) = parts(&mut caller)?;
                    $version::$now(&mut *wasi.world.reference, &mut memory, $($now_arg),*)
                },
            )?;)*
            $(linker.func_wrap(
                MODULE,
                stringify!($later),
                |mut caller: Caller<'_, GuestState>, $($later_arg: $later_ty),*| {
                    $(if let Some(refused) = $bound(&[$($bounded),*]) {
                        return Ok(refused);
                    })?
                    wait_for(&mut caller, async |world, memory| {
                        $version::$later(&mut *world.reference, memory, $($later_arg),*).await
                    })
                },
            )?;)*
            $(linker.func_wrap(
                MODULE,
                stringify!($our),
                |mut caller: Caller<'_, GuestState>, $($our_arg: $our_ty),*| {
                    wait_for(&mut caller, async |world, memory| {
                        $function(world, memory, $($our_arg),*).await
                    })
                },
            )?;)*
            linker.func_wrap(MODULE, EXIT, |code: i32| {
                wasmtime::Result::<()>::Err(Exit(code).into())
            })?;
            Ok(())
        }
    };
}

/// What both versions have in common. Pointers, lengths and descriptors are `i32`; the names are those of
/// the specification.
macro_rules! common {
    ($version:ident as $names:ident by $offer:ident; poll = $poll:path; $($more:tt)*) => {
        functions! {
            $version as $names by $offer;
            at once {
                args_get(argv: i32, buffer: i32);
                args_sizes_get(count: i32, size: i32);
                environ_get(environ: i32, buffer: i32);
                environ_sizes_get(count: i32, size: i32);
                clock_res_get(id: i32, resolution: i32);
                clock_time_get(id: i32, precision: i64, time: i32);
                fd_allocate(fd: i32, offset: i64, len: i64);
                fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64);
                fd_prestat_get(fd: i32, prestat: i32);
                fd_prestat_dir_name(fd: i32, path: i32, len: i32);
                fd_tell(fd: i32, offset: i32);
                proc_raise(signal: i32);
                sched_yield();
                sock_recv(fd: i32, data: i32, count: i32, flags: i32, size: i32, out: i32);
                sock_send(fd: i32, data: i32, count: i32, flags: i32, size: i32);
                sock_shutdown(fd: i32, how: i32);
                $($more)*
            }
            async {
                fd_advise(fd: i32, offset: i64, len: i64, advice: i32);
                fd_datasync(fd: i32);
                fd_fdstat_get(fd: i32, stat: i32);
                fd_filestat_get(fd: i32, stat: i32);
                fd_filestat_set_times(fd: i32, atim: i64, mtim: i64, flags: i32);
                fd_pread(fd: i32, buffers: i32, count: i32, offset: i64, size: i32)
                    within bounds::buffers [count];
                fd_read(fd: i32, buffers: i32, count: i32, size: i32) within bounds::buffers [count];
                fd_seek(fd: i32, offset: i64, whence: i32, position: i32);
                fd_sync(fd: i32);
                path_create_directory(fd: i32, path: i32, len: i32) within bounds::paths [len];
                path_filestat_get(fd: i32, flags: i32, path: i32, len: i32, stat: i32)
                    within bounds::paths [len];
                path_link(
                    fd: i32, flags: i32, path: i32, len: i32, to: i32, to_path: i32, to_len: i32
                ) within bounds::paths [len, to_len];
                path_readlink(
                    fd: i32, path: i32, len: i32, buffer: i32, buffer_len: i32, size: i32
                ) within bounds::paths [len];
                path_remove_directory(fd: i32, path: i32, len: i32) within bounds::paths [len];
                path_rename(fd: i32, path: i32, len: i32, to: i32, to_path: i32, to_len: i32)
                    within bounds::paths [len, to_len];
                path_symlink(target: i32, target_len: i32, fd: i32, path: i32, len: i32)
                    within bounds::paths [target_len, len];
                path_unlink_file(fd: i32, path: i32, len: i32) within bounds::paths [len];
            }
            ours {
                fd_close(fd: i32) = files::fd_close;
                fd_fdstat_set_flags(fd: i32, flags: i32) = files::fd_fdstat_set_flags;
                fd_filestat_set_size(fd: i32, size: i64) = files::fd_filestat_set_size;
                fd_pwrite(fd: i32, buffers: i32, count: i32, offset: i64, size: i32)
                    = files::fd_pwrite;
                fd_readdir(fd: i32, buffer: i32, len: i32, cookie: i64, size: i32)
                    = listing::fd_readdir;
                fd_renumber(fd: i32, to: i32) = files::fd_renumber;
                fd_write(fd: i32, buffers: i32, count: i32, size: i32) = files::fd_write;
                path_filestat_set_times(
                    fd: i32, flags: i32, path: i32, len: i32, atim: i64, mtim: i64, times: i32
                ) = files::path_filestat_set_times;
                path_open(
                    fd: i32, lookup: i32, path: i32, len: i32, open: i32, base: i64,
                    inheriting: i64, flags: i32, opened: i32
                ) = files::path_open;
                random_get(buffer: i32, len: i32) = random::random_get;
                poll_oneoff(subscriptions: i32, events: i32, count: i32, ready: i32) = $poll;
            }
        }
    };
}

common! {
    wasi_snapshot_preview1 as PREVIEW_1 by offer_preview_1;
    poll = poll::poll_oneoff;
    sock_accept(fd: i32, flags: i32, accepted: i32);
}

common! { wasi_unstable as PREVIEW_0 by offer_preview_0; poll = poll::poll_oneoff_unstable; }

/// Links all of them.
pub(in crate::wasm) fn offer(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    offer_preview_1(linker)?;
    offer_preview_0(linker)
}

/// All of them, as module and name.
pub(in crate::wasm) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let preview_1 = PREVIEW_1.iter().map(|name| (stringify!(wasi_snapshot_preview1), *name));
    preview_1.chain(PREVIEW_0.iter().map(|name| (stringify!(wasi_unstable), *name)))
}

/// What a call works on: the guest's view of the world, and its memory.
fn parts<'a>(
    caller: &'a mut Caller<'_, GuestState>,
) -> wasmtime::Result<(&'a mut Wasi, GuestMemory<'a>)> {
    let memory = match caller.data().wasi.memory {
        Some(memory) => memory,
        None => {
            let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                wasmtime::bail!("it calls WASI and exports no memory");
            };
            caller.data_mut().wasi.memory = Some(memory);
            memory
        }
    };
    if caller.data().wasi.world.clocks.are_made_up() {
        let left = caller.get_fuel()?;
        caller.set_fuel(left.saturating_sub(FUEL_OF_A_CALL))?;
    }
    let allowance = caller.as_context_mut().hostcall_fuel();
    let (bytes, state) = memory.data_and_store_mut(caller);
    state.wasi.world.reference.allow(allowance);
    Ok((&mut state.wasi, GuestMemory::Unshared(bytes)))
}

/// Runs a call that may have to wait, until it is done or the guest is to end.
fn wait_for(
    caller: &mut Caller<'_, GuestState>,
    call: impl AsyncFnOnce(&mut World, &mut GuestMemory<'_>) -> wasmtime::Result<i32>,
) -> wasmtime::Result<i32> {
    let (wasi, mut memory) = parts(caller)?;
    let Wasi { world, signal, .. } = wasi;
    signal.wait_for(call(world, &mut memory))?
}

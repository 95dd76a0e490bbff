//! Opens files without waiting for ever.
//!
//! A pipe that nobody writes to, or a device, can make an open wait without an end. Both are refused before
//! that; but somebody else may put one into the place of a file between our look and the open, and no wait
//! in the system can be broken off from here. So what opens is done on another thread, and left to itself
//! if the guest is to end before.

use std::sync::{Arc, LazyLock};
use std::{fs, io};

use tokio::runtime::{Builder, Runtime};
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::{Fd, Filetype, Lookupflags};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wasmtime_wasi::{FsPerms, OpenMode, WasiView as _};
use wiggle::{GuestMemory, GuestPtr};

use super::World;

/// Lends its threads. Never the caller's own runtime, which could not end before the wait does.
static THREADS: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_current_thread().build());

/// Two directories that differ in one thing: where their calls are made.
pub(super) struct Places {
    here: Dir,
    elsewhere: Dir,
}

impl Places {
    pub(super) fn new(any: &fs::File) -> io::Result<Self> {
        let dir = |is_here| {
            Ok::<_, io::Error>(Dir::new(
                any.try_clone()?,
                FsPerms::ReadOnly,
                OpenMode::READ,
                is_here,
            ))
        };
        Ok(Self { here: dir(true)?, elsewhere: dir(false)? })
    }
}

/// Has a call made on another thread.
pub(super) async fn elsewhere<T>(
    world: &mut World,
    call: impl AsyncFnOnce(&mut WasiP1Ctx) -> wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    let World { reference, places, .. } = world;
    let (Some(places), Ok(threads)) = (places, &*THREADS) else { return call(reference).await };
    let _entered = threads.enter();
    move_dirs(reference, &places.elsewhere);
    let result = call(reference).await;
    move_dirs(reference, &places.here);
    result
}

/// Has all calls on directories made where those of `example` are made.
fn move_dirs(reference: &mut WasiP1Ctx, example: &Dir) {
    for entry in reference.ctx().table.iter_mut() {
        if let Some(Descriptor::Dir(dir)) = entry.downcast_mut() {
            let mut moved = example.clone();
            moved.dir = Arc::clone(&dir.dir);
            moved.perms = dir.perms;
            moved.open_mode = dir.open_mode;
            *dir = moved;
        }
    }
}

/// Whether a path leads to something that can make an open wait.
pub(super) async fn is_special(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    lookup: i32,
    path: i32,
    len: i32,
) -> wasmtime::Result<bool> {
    // What is wrong with the arguments, the reference will say.
    let Ok(lookup) = Lookupflags::try_from(lookup) else { return Ok(false) };
    let path = GuestPtr::<str>::new((path.cast_unsigned(), len.cast_unsigned()));
    let stat = world.reference.path_filestat_get(memory, fd.cast_unsigned().into(), lookup, path);
    let Ok(stat) = stat.await else { return Ok(false) };
    Ok(!matches!(
        stat.filetype,
        Filetype::RegularFile | Filetype::Directory | Filetype::SymbolicLink
    ))
}

/// Whether a descriptor is a file or a directory, and nothing else.
pub(super) async fn is_plain(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: u32,
) -> wasmtime::Result<bool> {
    let stat = world.reference.fd_filestat_get(memory, Fd::from(fd)).await;
    Ok(stat.is_ok_and(|stat| matches!(stat.filetype, Filetype::RegularFile | Filetype::Directory)))
}

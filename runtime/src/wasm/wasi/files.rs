//! What a guest does with files, as far as its limits have a say in it: how many are open, and how large the
//! ones it writes may get. Where a file is, and whether it may be written, the reference decides.

use std::collections::BTreeSet;

use wasmtime_wasi::p1::types::{self, Errno, Rights};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview_1;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wiggle::{GuestMemory, GuestPtr};

use crate::evidence::StopReason;
use crate::isolation::StopHandle;
use crate::limits::Limits;
use crate::wasm::ending::Interrupted;

use super::promised::Promises;
use super::{World, bounds, code, handles, opening, streams, told};

/// The three streams.
const STREAMS: usize = 3;

/// The flag of `path_open` and `fd_fdstat_set_flags` that has everything written at the end.
const APPEND: i32 = 1;

/// The descriptors of one guest.
pub(super) struct Files {
    most_open: usize,
    open: usize,
    largest: u64,
    /// Descriptors that write at the end of their file.
    appending: BTreeSet<i32>,
    /// What a component has opened, by its handles.
    held: BTreeSet<u32>,
    /// What a component's streams are writing.
    promises: Promises,
    stop: StopHandle,
}

/// How large a file may get, for what writes one.
pub(super) struct Limit {
    largest: u64,
    stop: StopHandle,
}

impl Limit {
    /// Ends the guest, as the system ends a process, if a file is to end there.
    pub(super) fn check(&self, end: u64) -> Result<(), Interrupted> {
        if end <= self.largest {
            return Ok(());
        }
        self.stop.stop(StopReason::Files);
        Err(Interrupted)
    }
}

impl Files {
    pub(super) fn new(limits: &Limits, dirs: usize, stop: &StopHandle) -> Self {
        Self {
            most_open: usize::try_from(limits.open_files).unwrap_or(usize::MAX),
            open: STREAMS + dirs,
            largest: limits.file_bytes.as_u64(),
            appending: BTreeSet::new(),
            held: BTreeSet::new(),
            promises: Promises::default(),
            stop: stop.clone(),
        }
    }

    /// Whether more is open than may be, from the beginning.
    pub(super) fn are_too_many(&self) -> bool {
        self.open > self.most_open
    }

    /// Whether no more can be opened.
    pub(super) fn is_full(&self) -> bool {
        self.open >= self.most_open
    }

    /// A component has opened this.
    pub(super) fn hold(&mut self, handle: u32) {
        self.open += usize::from(self.held.insert(handle));
    }

    /// It has given up a handle, which may be one of those.
    pub(super) fn let_go(&mut self, handle: u32) {
        self.open -= usize::from(self.held.remove(&handle));
    }

    pub(super) fn promises(&self) -> Promises {
        self.promises.clone()
    }

    pub(super) fn limit(&self) -> Limit {
        Limit { largest: self.largest, stop: self.stop.clone() }
    }

    fn mark(&mut self, fd: i32, flags: i32) {
        if flags & APPEND == 0 {
            self.appending.remove(&fd);
        } else {
            self.appending.insert(fd);
        }
    }

    /// Ends the guest, as the system ends a process that writes too large a file.
    fn end(&self) -> Interrupted {
        self.stop.stop(StopReason::Files);
        Interrupted
    }
}

#[expect(clippy::too_many_arguments, reason = "they are those of the specification")]
pub(super) async fn path_open(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    lookup: i32,
    path: i32,
    len: i32,
    open: i32,
    base: i64,
    inheriting: i64,
    flags: i32,
    opened: i32,
) -> wasmtime::Result<i32> {
    if let Some(refused) = bounds::paths(&[len]) {
        return Ok(refused);
    }
    if world.files.is_full() {
        return Ok(code(Errno::Mfile));
    }
    if opening::is_special(world, memory, fd, lookup, path, len).await? {
        return Ok(code(Errno::Acces));
    }
    let place = handles::next_place(&mut world.reference);
    let said = opening::elsewhere(world, async |reference| {
        preview_1::path_open(
            reference, memory, fd, lookup, path, len, open, base, inheriting, flags, opened,
        )
        .await
    })
    .await?;
    if said != code(Errno::Success) {
        return Ok(said);
    }
    let new: u32 = memory.read(GuestPtr::new(opened.cast_unsigned()))?;
    // It may have been put in its place since we looked.
    if !opening::is_plain(world, memory, new).await? {
        preview_1::fd_close(&mut *world.reference, memory, new.cast_signed()).await?;
        return Ok(code(Errno::Acces));
    }
    world.files.open += 1;
    world.files.mark(new.cast_signed(), flags);
    world.handles.opened(new.cast_signed(), place);
    Ok(said)
}

#[expect(clippy::too_many_arguments, reason = "they are those of the specification")]
pub(super) async fn path_filestat_set_times(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    lookup: i32,
    path: i32,
    len: i32,
    atim: i64,
    mtim: i64,
    flags: i32,
) -> wasmtime::Result<i32> {
    if let Some(refused) = bounds::paths(&[len]) {
        return Ok(refused);
    }
    // Where a link is followed, what it leads to is opened.
    if opening::is_special(world, memory, fd, lookup, path, len).await? {
        return Ok(code(Errno::Acces));
    }
    opening::elsewhere(world, async |reference| {
        preview_1::path_filestat_set_times(
            reference, memory, fd, lookup, path, len, atim, mtim, flags,
        )
        .await
    })
    .await
}

pub(super) async fn fd_close(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
) -> wasmtime::Result<i32> {
    let said = preview_1::fd_close(&mut *world.reference, memory, fd).await?;
    if said == code(Errno::Success) {
        world.files.open -= 1;
        world.files.mark(fd, 0);
        world.handles.closed(fd);
        world.listing = None;
    }
    Ok(said)
}

pub(super) async fn fd_renumber(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    to: i32,
) -> wasmtime::Result<i32> {
    let said = preview_1::fd_renumber(&mut *world.reference, memory, fd, to).await?;
    if said == code(Errno::Success) && fd != to {
        world.files.open -= 1;
        world.handles.renumbered(fd, to);
        world.listing = None;
        let appends = world.files.appending.remove(&fd);
        world.files.mark(to, if appends { APPEND } else { 0 });
    }
    Ok(said)
}

pub(super) async fn fd_fdstat_set_flags(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    flags: i32,
) -> wasmtime::Result<i32> {
    let said = preview_1::fd_fdstat_set_flags(&mut *world.reference, memory, fd, flags)?;
    if said == code(Errno::Success) {
        world.files.mark(fd, flags);
    }
    Ok(said)
}

pub(super) async fn fd_write(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    buffers: i32,
    count: i32,
    size: i32,
) -> wasmtime::Result<i32> {
    if let Some(refused) = bounds::buffers(&[count]) {
        return Ok(refused);
    }
    if let Some(stream) = streams::untouched(world, fd) {
        return streams::write(world, memory, stream, (buffers, count), size);
    }
    keep_small(world, memory, fd, buffers, count, None).await?;
    preview_1::fd_write(&mut *world.reference, memory, fd, buffers, count, size).await
}

pub(super) async fn fd_pwrite(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    buffers: i32,
    count: i32,
    offset: i64,
    size: i32,
) -> wasmtime::Result<i32> {
    if let Some(refused) = bounds::buffers(&[count]) {
        return Ok(refused);
    }
    keep_small(world, memory, fd, buffers, count, Some(offset.cast_unsigned())).await?;
    preview_1::fd_pwrite(&mut *world.reference, memory, fd, buffers, count, offset, size).await
}

pub(super) async fn fd_filestat_set_size(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    size: i64,
) -> wasmtime::Result<i32> {
    let wanted = size.cast_unsigned();
    // A stream has no place and no size; the reference says so.
    let is_file = world.reference.fd_tell(memory, descriptor(fd)).is_ok();
    if is_file && wanted > world.files.largest && wanted > world.size(memory, fd).await? {
        world.end_if_writable(memory, fd).await?;
    }
    preview_1::fd_filestat_set_size(&mut *world.reference, memory, fd, size).await
}

/// Ends the guest if this write would make its file larger than it may get.
async fn keep_small(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    buffers: i32,
    count: i32,
    offset: Option<u64>,
) -> wasmtime::Result<()> {
    // Streams have no place, and what is no descriptor the reference will say.
    let Ok(place) = world.reference.fd_tell(memory, descriptor(fd)) else { return Ok(()) };
    let place = match offset {
        _ if world.files.appending.contains(&fd) => world.size(memory, fd).await?,
        Some(offset) => offset,
        None => place,
    };
    let list = GuestPtr::<types::Ciovec>::new(buffers.cast_unsigned());
    // The reference writes the first one that has anything in it.
    let mut written = 0;
    for buffer in list.as_array(count.cast_unsigned()).iter() {
        written = memory.read(buffer?)?.buf_len;
        if written > 0 {
            break;
        }
    }
    if written > 0 && place.saturating_add(written.into()) > world.files.largest {
        world.end_if_writable(memory, fd).await?;
    }
    Ok(())
}

impl World {
    /// The size of a file; nothing is as small as what can't be told.
    async fn size(&mut self, memory: &mut GuestMemory<'_>, fd: i32) -> wasmtime::Result<u64> {
        match self.reference.fd_filestat_get(memory, descriptor(fd)).await {
            Ok(stat) => Ok(stat.size),
            Err(error) => told(error).map(|_| 0),
        }
    }

    /// A descriptor that can only be read has an error of its own, and nothing is written.
    async fn end_if_writable(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: i32,
    ) -> wasmtime::Result<()> {
        match self.reference.fd_fdstat_get(memory, descriptor(fd)).await {
            Ok(stat) if stat.fs_rights_base.contains(Rights::FD_WRITE) => {
                Err(self.files.end().into())
            }
            Ok(_) => Ok(()),
            Err(error) => told(error).map(drop),
        }
    }
}

fn descriptor(fd: i32) -> types::Fd {
    types::Fd::from(fd.cast_unsigned())
}

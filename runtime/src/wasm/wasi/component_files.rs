//! What a component does with files, as far as its limits have a say in it, like `files` for a module. Where a file is,
//! and whether it may be written, the reference decides here, too.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor as _, NewTimestamp, OpenFlags,
    PathFlags,
};
use wasmtime_wasi::p2::{FsResult, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::streams::DynOutputStream;

use crate::wasm::guest::GuestState;

use super::files::Limit;
use super::promised::{Promises, Writing};

type Fd = Resource<Descriptor>;

/// Puts the limits in front of the functions that open and write.
pub(in crate::wasm) fn limit(linker: &mut Linker<GuestState>) -> Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), |mut store, rep| {
        let state = store.data_mut();
        state.wasi.files().let_go(rep);
        state.filesystem().table.delete(Fd::new_own(rep))?;
        Ok(())
    })?;
    type Open = (Fd, PathFlags, String, OpenFlags, DescriptorFlags);
    types.func_wrap_async("[method]descriptor.open-at", |store, open: Open| {
        Box::new(async move { Ok((open_at(store, open).await?,)) })
    })?;
    type Touch = (Fd, PathFlags, String, NewTimestamp, NewTimestamp);
    types.func_wrap_async("[method]descriptor.set-times-at", |store, touch: Touch| {
        Box::new(async move { Ok((set_times_at(store, touch).await?,)) })
    })?;
    types.func_wrap_async(
        "[method]descriptor.write",
        |mut store: StoreContextMut<'_, GuestState>, (fd, bytes, at): (Fd, Vec<u8>, u64)| {
            Box::new(async move {
                let state = store.data_mut();
                let end = at.saturating_add(bytes.len() as u64);
                if !bytes.is_empty() {
                    keep_small(state, &fd, end)?;
                }
                Ok((told(state.filesystem().write(fd, bytes, at).await)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.set-size",
        |mut store: StoreContextMut<'_, GuestState>, (fd, size): (Fd, u64)| {
            Box::new(async move {
                let state = store.data_mut();
                if file(state, &fd)
                    .and_then(|file| file.metadata().ok())
                    .is_some_and(|it| it.len() < size)
                {
                    keep_small(state, &fd, size)?;
                }
                Ok((told(state.filesystem().set_size(fd, size).await)?,))
            })
        },
    )?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        |mut store: StoreContextMut<'_, GuestState>, (fd, at): (Fd, u64)| {
            Ok((stream(store.data_mut(), fd, Some(at))?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        |mut store: StoreContextMut<'_, GuestState>, (fd,): (Fd,)| {
            Ok((stream(store.data_mut(), fd, None)?,))
        },
    )
}

/// An error as the guest is told it; what is none of its making ends it.
fn told<T>(result: FsResult<T>) -> Result<std::result::Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

async fn open_at(
    mut store: StoreContextMut<'_, GuestState>,
    (fd, lookup, path, open, flags): (Fd, PathFlags, String, OpenFlags, DescriptorFlags),
) -> Result<std::result::Result<Fd, ErrorCode>> {
    let state = store.data_mut();
    if state.wasi.files().is_full() {
        return Ok(Err(ErrorCode::Quota));
    }
    if is_special(state, &fd, lookup, &path).await {
        return Ok(Err(ErrorCode::Access));
    }
    let opened = told(state.filesystem().open_at(fd, lookup, path, open, flags).await)?;
    if let Ok(fd) = &opened {
        // It may have been put in its place since we looked.
        if !is_plain(state, fd).await {
            state.filesystem().table.delete(Fd::new_own(fd.rep()))?;
            return Ok(Err(ErrorCode::Access));
        }
        state.wasi.files().hold(fd.rep());
    }
    Ok(opened)
}

async fn set_times_at(
    mut store: StoreContextMut<'_, GuestState>,
    (fd, lookup, path, read, written): (Fd, PathFlags, String, NewTimestamp, NewTimestamp),
) -> Result<std::result::Result<(), ErrorCode>> {
    let state = store.data_mut();
    // Where a link is followed, what it leads to is opened.
    if is_special(state, &fd, lookup, &path).await {
        return Ok(Err(ErrorCode::Access));
    }
    told(state.filesystem().set_times_at(fd, lookup, path, read, written).await)
}

/// Whether a path leads to something that can make an open wait for ever, like a pipe or a device.
async fn is_special(state: &mut GuestState, fd: &Fd, lookup: PathFlags, path: &str) -> bool {
    let fd = Fd::new_borrow(fd.rep());
    let stat = state.filesystem().stat_at(fd, lookup, path.to_owned()).await;
    // What is wrong with the arguments, the reference will say.
    stat.is_ok_and(|stat| !may_be_opened(stat.type_) && stat.type_ != DescriptorType::SymbolicLink)
}

/// Whether a descriptor is a file or a directory, and nothing else.
async fn is_plain(state: &mut GuestState, fd: &Fd) -> bool {
    let stat = state.filesystem().get_type(Fd::new_borrow(fd.rep())).await;
    stat.is_ok_and(may_be_opened)
}

fn may_be_opened(kind: DescriptorType) -> bool {
    matches!(kind, DescriptorType::RegularFile | DescriptorType::Directory)
}

/// The file of a descriptor that may be written.
fn file(state: &mut GuestState, fd: &Fd) -> Option<Arc<fs::File>> {
    match state.filesystem().table.get(fd).ok()? {
        Descriptor::File(file) if !file.perms.write_not_permitted() => Some(Arc::clone(&file.file)),
        Descriptor::File(_) | Descriptor::Dir(_) => None,
    }
}

/// Ends the guest if it would write a file to this place. A descriptor that can't be written has an error of its own.
fn keep_small(state: &mut GuestState, fd: &Fd, end: u64) -> Result<()> {
    match file(state, fd) {
        Some(file) => {
            let files = state.wasi.files();
            let end = files.promises().end_with(&file, end);
            files.limit().check(end).map_err(Into::into)
        }
        None => Ok(()),
    }
}

/// A stream that writes from a place on, or always at the end.
fn stream(
    state: &mut GuestState,
    fd: Fd,
    at: Option<u64>,
) -> Result<std::result::Result<Resource<DynOutputStream>, ErrorCode>> {
    let file = file(state, &fd);
    let (limit, promises) = (state.wasi.files().limit(), state.wasi.files().promises());
    let mut view = state.filesystem();
    let made = told(match at {
        Some(at) => view.write_via_stream(fd, at),
        None => view.append_via_stream(fd),
    })?;
    let (Ok(made), Some(file)) = (&made, file) else { return Ok(made) };
    let inner = view.table.delete(Resource::new_own(made.rep()))?;
    let bounded: DynOutputStream =
        Box::new(Bounded { inner, file, at, limit, promises, writing: None });
    Ok(Ok(view.table.push(bounded)?))
}

/// Writes a file no further than it may get.
struct Bounded {
    inner: DynOutputStream,
    file: Arc<fs::File>,
    /// Where the next byte goes, if that is not the end.
    at: Option<u64>,
    limit: Limit,
    promises: Promises,
    /// What it writes at the moment, on another thread.
    writing: Option<Writing>,
}

#[async_trait]
impl Pollable for Bounded {
    async fn ready(&mut self) {
        self.inner.ready().await;
        self.writing = None;
    }
}

#[async_trait]
impl OutputStream for Bounded {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let length = bytes.len() as u64;
        if length == 0 {
            return self.inner.write(bytes);
        }
        let writing = self.promises.writing(&self.file, self.at, length);
        self.limit.check(writing.end).map_err(|end| StreamError::Trap(end.into()))?;
        self.at = self.at.map(|at| at.saturating_add(length));
        self.inner.write(bytes)?;
        self.writing = Some(writing);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let room = self.inner.check_write();
        // Without any, it still writes.
        if !matches!(room, Ok(0)) {
            self.writing = None;
        }
        room
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
        self.writing = None;
    }
}

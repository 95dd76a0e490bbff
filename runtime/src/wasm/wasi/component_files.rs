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
    DescriptorFlags, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{FsResult, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::streams::DynOutputStream;

use crate::wasm::guest::GuestState;

use super::files::Limit;

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
    let opened = told(state.filesystem().open_at(fd, lookup, path, open, flags).await)?;
    if let Ok(fd) = &opened {
        state.wasi.files().hold(fd.rep());
    }
    Ok(opened)
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
        Some(_) => state.wasi.files().limit().check(end).map_err(Into::into),
        None => Ok(()),
    }
}

/// A stream that writes from a place on, or always at the end.
fn stream(
    state: &mut GuestState,
    fd: Fd,
    at: Option<u64>,
) -> Result<std::result::Result<Resource<DynOutputStream>, ErrorCode>> {
    let (file, limit) = (file(state, &fd), state.wasi.files().limit());
    let mut view = state.filesystem();
    let made = told(match at {
        Some(at) => view.write_via_stream(fd, at),
        None => view.append_via_stream(fd),
    })?;
    let (Ok(made), Some(file)) = (&made, file) else { return Ok(made) };
    let inner = view.table.delete(Resource::new_own(made.rep()))?;
    let bounded: DynOutputStream = Box::new(Bounded { inner, file, at, limit });
    Ok(Ok(view.table.push(bounded)?))
}

/// Writes a file no further than it may get.
struct Bounded {
    inner: DynOutputStream,
    file: Arc<fs::File>,
    /// Where the next byte goes, if that is not the end.
    at: Option<u64>,
    limit: Limit,
}

#[async_trait]
impl Pollable for Bounded {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait]
impl OutputStream for Bounded {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let length = bytes.len() as u64;
        let at = self.at.unwrap_or_else(|| self.file.metadata().map_or(0, |it| it.len()));
        if length > 0 {
            self.limit
                .check(at.saturating_add(length))
                .map_err(|end| StreamError::Trap(end.into()))?;
        }
        self.at = self.at.map(|at| at.saturating_add(length));
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

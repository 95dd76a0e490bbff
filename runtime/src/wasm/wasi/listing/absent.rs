//! Lists directories as the reference does, where it is not done here.

use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview_1;
use wiggle::GuestMemory;

use super::World;

/// Nothing is kept between two calls.
pub(super) enum Listing {}

pub(super) async fn fd_readdir(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    buffer: i32,
    len: i32,
    cookie: i64,
    size: i32,
) -> wasmtime::Result<i32> {
    preview_1::fd_readdir(&mut *world.reference, memory, fd, buffer, len, cookie, size).await
}

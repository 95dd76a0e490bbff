//! Which directory of the host a descriptor stands for.
//!
//! The reference keeps descriptors to itself, and what they stand for in a table that we may look into. Where
//! in it, is known for the granted directories, since they come first and in order, and for whatever is
//! opened later, since the table says beforehand where the next entry goes.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::Fd;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wiggle::GuestMemory;

/// The descriptor of the first granted directory: the streams come before it.
const FIRST: i32 = 3;

/// How far the table is looked through for each granted directory, and for the streams.
const ENTRIES_EACH: u32 = 8;

/// The places of descriptors in the table.
#[derive(Default)]
pub(super) struct Handles(BTreeMap<i32, u32>);

impl Handles {
    /// The places of the granted directories, before anything was opened or closed.
    pub(super) fn of_granted(reference: &mut WasiP1Ctx, count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count == 0 {
            return Self::default();
        }
        // The table is filled with the first call, whatever it is.
        let _ = reference.fd_tell(&mut GuestMemory::Unshared(&mut []), Fd::from(0));
        let end = count.saturating_add(1).saturating_mul(ENTRIES_EACH);
        let places = (0..end).filter(|place| dir_at(reference, *place).is_some());
        Self((FIRST..).zip(places).collect())
    }

    /// The directory that a descriptor stands for, if it is one.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "directories are listed by the reference there")
    )]
    pub(super) fn dir(&self, reference: &mut WasiP1Ctx, fd: i32) -> Option<Arc<fs::File>> {
        dir_at(reference, *self.0.get(&fd)?)
    }

    /// What is opened next will be at this place of the table.
    pub(super) fn opened(&mut self, fd: i32, place: Option<u32>) {
        self.0.extend(place.map(|place| (fd, place)));
    }

    pub(super) fn closed(&mut self, fd: i32) {
        self.0.remove(&fd);
    }

    pub(super) fn renumbered(&mut self, fd: i32, to: i32) {
        self.0.remove(&to);
        let moved = self.0.remove(&fd);
        self.opened(to, moved);
    }
}

/// Where the table's next entry goes.
pub(super) fn next_place(reference: &mut WasiP1Ctx) -> Option<u32> {
    let table = reference.ctx().table;
    let probe = table.push(()).ok()?;
    let place = probe.rep();
    table.delete(probe).ok()?;
    Some(place)
}

fn dir_at(reference: &mut WasiP1Ctx, place: u32) -> Option<Arc<fs::File>> {
    match reference.ctx().table.get_any_mut(place).ok()?.downcast_ref()? {
        Descriptor::Dir(dir) => Some(Arc::clone(&dir.dir)),
        Descriptor::File(_) => None,
    }
}

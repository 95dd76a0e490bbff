//! Lists directories entry by entry.
//!
//! The reference makes a list of the whole directory for each piece that a guest asks for. Here nothing is
//! kept but the place that was reached, and between two entries the guest can be stopped.

use std::{fs, io};

use nix::dir::{Dir, OwningIter};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use wasmtime_wasi::p1::types::{self, Errno, Fd, Filetype, Lookupflags};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview_1;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wiggle::{GuestMemory, GuestPtr};

use super::{World, code, told};

/// The bytes in front of each name: the next cookie, the file's number, the name's length, the kind.
const HEAD: usize = 24;

/// What the host may copy for looking at one entry: its name.
const ALLOWANCE: usize = 4096;

/// A directory that is being listed. A guest has one of them at a time; another one begins anew.
pub(super) struct Listing {
    fd: i32,
    /// The number of the entry that comes next.
    next: u64,
    /// That entry, if it was read already and did not fit.
    held: Option<Vec<u8>>,
    stream: OwningIter,
}

impl Listing {
    fn begin(fd: i32, dir: &fs::File) -> nix::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let stream = Dir::openat(dir, ".", flags, Mode::empty())?.into_iter();
        Ok(Self { fd, next: 0, held: None, stream })
    }

    /// The name of the next entry. The directory itself and the one above come first.
    fn advance(&mut self) -> nix::Result<Option<Vec<u8>>> {
        let name = match (self.held.take(), self.next) {
            (Some(held), _) => held,
            (None, 0) => b".".to_vec(),
            (None, 1) => b"..".to_vec(),
            (None, _) => loop {
                let Some(entry) = self.stream.next() else { return Ok(None) };
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    break name;
                }
            },
        };
        self.next += 1;
        Ok(Some(name))
    }

    /// Gives an entry back that did not fit.
    fn hold(&mut self, name: Vec<u8>) {
        self.next -= 1;
        self.held = Some(name);
    }
}

/// `fd_readdir` of both versions.
pub(super) async fn fd_readdir(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    buffer: i32,
    len: i32,
    cookie: i64,
    size: i32,
) -> wasmtime::Result<i32> {
    let Some(dir) = world.handles.dir(&mut world.reference, fd) else {
        // No directory. The reference says what it is instead.
        let reference = &mut *world.reference;
        return preview_1::fd_readdir(reference, memory, fd, buffer, len, cookie, size).await;
    };
    let cookie = cookie.cast_unsigned();
    let listing = match world.listing.take() {
        Some(listing) if listing.fd == fd && listing.next <= cookie && cookie > 0 => Ok(listing),
        _ => Listing::begin(fd, &dir),
    };
    let mut listing = match listing {
        Ok(listing) => listing,
        Err(errno) => return Ok(refused(errno)),
    };
    let space = GuestPtr::<u8>::new(buffer.cast_unsigned()).as_array(len.cast_unsigned());
    let written = match fill(world, memory, &mut listing, cookie, space).await {
        Ok(written) => written,
        Err(error) => return told(error),
    };
    world.listing = Some(listing);
    match memory.write(GuestPtr::new(size.cast_unsigned()), written) {
        Ok(()) => Ok(code(Errno::Success)),
        Err(error) => told(error.into()),
    }
}

/// Writes as many entries as there is space for, and the beginning of one that does not fit.
async fn fill(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    listing: &mut Listing,
    cookie: u64,
    space: GuestPtr<[u8]>,
) -> Result<u32, types::Error> {
    let trap = |error: crate::wasm::ending::Interrupted| types::Error::trap(error.into());
    let failed = |errno: nix::Error| Errno::from(ErrorCode::from(io::Error::from(errno)));
    let mut written = 0;
    while written < space.len() {
        world.signal.check().map_err(trap)?;
        let Some(name) = listing.advance().map_err(failed)? else { break };
        if listing.next <= cookie {
            continue;
        }
        std::str::from_utf8(&name).map_err(|_| Errno::Ilseq)?;
        let entry = entry(world, memory, listing, &name).await;
        let left = space.len() - written;
        let fits = u32::try_from(entry.len()).map_or(left, |length| length.min(left));
        let part = space.get_range(written..written + fits).ok_or(Errno::Overflow)?;
        memory.copy_from_slice(entry.get(..fits as usize).unwrap_or_default(), part)?;
        written += fits;
        if (fits as usize) < entry.len() {
            listing.hold(name);
        }
    }
    Ok(written)
}

/// One entry as guests read it.
async fn entry(
    world: &mut World,
    memory: &mut GuestMemory<'_>,
    listing: &Listing,
    name: &[u8],
) -> Vec<u8> {
    let fd = Fd::from(listing.fd.cast_unsigned());
    let reference = &mut *world.reference;
    reference.set_hostcall_fuel(ALLOWANCE);
    let stat = if listing.next <= 2 {
        reference.fd_filestat_get(memory, fd).await
    } else {
        let mut copy = name.to_vec();
        let path = GuestPtr::new((0, u32::try_from(copy.len()).unwrap_or_default()));
        let mut own = GuestMemory::Unshared(&mut copy);
        reference.path_filestat_get(&mut own, fd, Lookupflags::empty(), path).await
    };
    // What has gone meanwhile, or is a socket, has a name and nothing else.
    let (number, kind) = stat.map_or((0, Filetype::Unknown), |stat| (stat.ino, stat.filetype));
    let mut entry = Vec::with_capacity(HEAD + name.len());
    entry.extend(listing.next.to_le_bytes());
    entry.extend(number.to_le_bytes());
    entry.extend(u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
    entry.extend([u8::from(kind), 0, 0, 0]);
    entry.extend(name);
    entry
}

fn refused(errno: nix::Error) -> i32 {
    code(ErrorCode::from(io::Error::from(errno)).into())
}

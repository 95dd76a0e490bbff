//! What a task sees that no other does: a `/tmp` of its own (which is its `/dev/shm`, too), and a `/proc` of its own
//! processes.
//!
//! Its child mounts them (`keeper/view.rs`), in a namespace of mounts that is the task's and ends with it; the cage
//! stays as it is. The rules of Landlock name folders by what they are and not by where they are, so such a task
//! has rules of its own, to which its child adds what it has mounted. The host gets the `/tmp` open, looks
//! how full it is, and keeps nothing of it.

use std::fs::File;
use std::io::{self, IoSliceMut, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::statfs::fstatfs;

use crate::evidence::{Refusal, Step};
use crate::isolation::LoadError;
use crate::limits::Limits;
use crate::permissions::Permissions;

use super::cage::rules;
use super::image::Prepared;
use super::standing::Standing;
use super::{refusals, sys, wire};

/// Where it is.
const SCRATCH: &str = "/tmp";

/// Where it is seen once more: the C library keeps semaphores and memory there that processes share by name.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";
const PROC: &str = "/proc";

const PAGE: u64 = 4096;

/// What one task's order says of it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) flags: u32,
    /// The options of its scratch, as the kernel takes them.
    pub(super) options: Option<String>,
    rules: Option<OwnedFd>,
    /// The child's end, and ours, of what its scratch comes by.
    socket: Option<(UnixStream, UnixStream)>,
    limits: (u64, u64),
}

/// A task's scratch while it runs.
#[derive(Debug)]
pub(super) struct Scratch {
    opened: OwnedFd,
    bytes: u64,
    files: u64,
}

/// Whether tasks of a program have anything of their own.
pub(super) fn is_wanted(permissions: &Permissions, limits: &Limits) -> bool {
    permissions.proc || has_scratch(limits)
}

pub(super) fn has_scratch(limits: &Limits) -> bool {
    limits.scratch.as_u64() > 0
}

/// Whether something at this place could be seen by a task that has a scratch.
pub(super) fn is_covered(place: &Path, limits: &Limits) -> bool {
    has_scratch(limits) && place.starts_with(SCRATCH)
}

/// Refuses what would not be seen behind it.
pub(super) fn check(
    program: &Path,
    permissions: &Permissions,
    limits: &Limits,
) -> Result<(), LoadError> {
    let here = std::env::current_dir().unwrap_or_default();
    for dir in &permissions.dirs {
        let inside = here.join(&dir.guest);
        let own = if is_covered(&inside, limits) {
            SCRATCH
        } else if has_scratch(limits) && inside.starts_with(SHARED_MEMORY) {
            SHARED_MEMORY
        } else if permissions.proc && inside.starts_with(PROC) {
            PROC
        } else {
            continue;
        };
        let detail = format!(
            "the directory `{}` cannot be granted as `{}`: a task has a `{own}` of its own there; \
             grant it under another name",
            dir.host.display(),
            dir.guest.display()
        );
        return Err(LoadError::at(Step::Accept, detail));
    }
    let mut beginning = [0; 2];
    let is_script = File::open(program)
        .and_then(|mut file| file.read_exact(&mut beginning))
        .is_ok_and(|()| &beginning == b"#!");
    if is_script && program.canonicalize().is_ok_and(|place| is_covered(&place, limits)) {
        let detail = format!(
            "the script `{}` lies in `{SCRATCH}`, where its task has a scratch of its own, and its interpreter would \
             not find it; move it",
            program.display()
        );
        return Err(LoadError::at(Step::Accept, detail));
    }
    Ok(())
}

impl View {
    /// What a task of a standing cage gets. `None` where it wants nothing.
    pub(super) fn of(
        image: &Prepared,
        standing: &Standing,
        limits: &Limits,
    ) -> Result<Option<Self>, Refusal> {
        let scratch = has_scratch(limits);
        if !scratch && !image.permissions.proc {
            return Ok(None);
        }
        let rules = match standing.may_execute_by_rules {
            None => None,
            Some(may_execute) => {
                let (program, net) = (standing.program.as_ref(), image.permissions.net);
                let program = program.map(|program| program.as_fd());
                rules::make(&image.layout, program, net, true, may_execute)
                    .map_err(|error| refusals::no_guard("landlock", &error.to_string(), None))?
            }
        };
        let flags = [
            (wire::SCRATCH, scratch),
            (wire::PROC, image.permissions.proc),
            (wire::OWN_RULES, rules.is_some()),
            (wire::EXECUTES, standing.may_execute_by_rules == Some(true)),
        ];
        // A page and a file more than the limit says: who needs them is seen to have gone beyond it. The folder itself
        // counts as one, too.
        let (bytes, files) = (limits.scratch.as_u64(), u64::from(limits.scratch_files) + 1);
        let (size, inodes) = (bytes.saturating_add(PAGE), files + 1);
        let socket = if scratch { Some(UnixStream::pair()) } else { None };
        Ok(Some(Self {
            flags: flags.iter().filter(|(_, is_on)| *is_on).fold(0, |all, (flag, _)| all | flag),
            options: scratch.then(|| format!("size={size},nr_inodes={inodes},mode=1777")),
            rules,
            socket: socket.transpose().map_err(|error| refusals::at_plan(&error))?,
            limits: (bytes, files),
        }))
    }

    /// What travels with the order, in this order.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let rules = self.rules.iter().map(|rules| rules.as_fd());
        rules.chain(self.socket.iter().map(|(theirs, _)| theirs.as_fd()))
    }

    /// What the child made. Once the task is launched, it is there.
    pub(super) fn scratch(self) -> Option<Scratch> {
        let (_, ours) = self.socket?;
        let (bytes, files) = self.limits;
        let opened = receive(&ours).ok().flatten()?;
        Some(Scratch { opened, bytes, files })
    }
}

/// The descriptor that came, if one did.
fn receive(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!(std::os::fd::RawFd);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let rights = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmRights(rights) => rights.first().copied(),
        _ => None,
    });
    Ok(rights.map(sys::adopt))
}

impl Scratch {
    /// Whether more is in it than may be.
    pub(super) fn is_exceeded(&self) -> bool {
        let Ok(state) = fstatfs(&self.opened) else { return false };
        let block = u64::try_from(state.block_size()).unwrap_or(PAGE);
        let used = state.blocks().saturating_sub(state.blocks_free()).saturating_mul(block);
        used > self.bytes || state.files().saturating_sub(state.files_free()) > self.files
    }
}

//! The cage of a program: what stands around each of its tasks, built once, and kept by its keeper.
//!
//! ```text
//! layout   which files of the host there are inside, as a list of small deeds
//! needs    what an executable needs beside itself: its loader, its libraries
//! rules    the same once more for Landlock, so that neither has to be trusted alone
//! enter    the child that goes in, and becomes the keeper
//! resets   what it sets back first: signals, masks, session, personality, keyring
//! root     how it does the deeds, and lets go of the host's root
//! ```
//!
//! The order within `enter` is the security argument: namespaces, root, capabilities, filter. Whatever cannot be
//! put up here is named with its errno; whether that is a reason to refuse is said in `keeper`.

pub(super) mod enter;
pub(super) mod layout;
mod needs;
mod resets;
mod root;
pub(super) mod rules;

use std::ffi::CString;

pub(super) use enter::Namespaces;
pub(super) use layout::Layout;
pub(super) use resets::RESETS;

/// One deed in the making of a root. Paths begin with the new root's name, or with the old one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// A folder; it may be there already.
    Folder(CString),
    /// An empty file, for something to be bound to.
    File(CString),
    /// A link.
    Link { to: CString, at: CString },
    /// Something of the old root's, seen here, too.
    Bind { from: CString, at: CString, access: Seen },
    /// A `/proc` in which nobody ever is: the kernel lets nobody see a new one who sees none yet.
    Proc { at: CString },
}

/// How something of the host's is seen inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It can't be changed.
    ToRead,
    /// It can be changed.
    ToWrite,
    /// It is a device.
    AsDevice,
}

/// Where the new root is made, and where the old one is until it is let go.
pub(super) const NEW_ROOT: &str = "/newroot";
pub(super) const OLD_ROOT: &str = "/oldroot";

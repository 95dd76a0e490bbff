//! The cage's files once more, as rules for Landlock: a task that found a way out of its root would find nothing
//! there that it may open. Each task becomes a domain of its own, so that none reaches another by a signal or an
//! abstract socket. Where there is no cage, these rules are all that confines its files.

use std::error::Error;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};

use crate::permissions::{Access, Network};

use super::Layout;

/// What this program knows of. An older kernel handles less, and says so.
const KNOWN: ABI = ABI::V6;

/// What this kernel's Landlock has no rules for, though we would make some.
pub(in crate::native) fn unknown() -> Vec<&'static str> {
    let hard = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let known = [
        ("moving files between folders", hard().handle_access(AccessFs::Refer).is_ok()),
        ("cutting files short", hard().handle_access(AccessFs::Truncate).is_ok()),
        ("ports", hard().handle_access(AccessNet::ConnectTcp).is_ok()),
        ("controlling devices", hard().handle_access(AccessFs::IoctlDev).is_ok()),
    ];
    known.into_iter().filter(|(_, is_known)| !is_known).map(|(what, _)| what).collect()
}

/// Whether it keeps a task's signals and abstract sockets to itself.
pub(in crate::native) fn has_scopes() -> bool {
    let hard = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    hard.scope(Scope::from_all(KNOWN)).is_ok()
}

/// Makes the rules. `None` where the kernel has no Landlock.
pub(in crate::native) fn make(
    layout: &Layout,
    program: Option<BorrowedFd<'_>>,
    net: Network,
    rooted: bool,
    may_execute: bool,
) -> Result<Option<OwnedFd>, RulesetError> {
    let mut handled = AccessFs::from_all(KNOWN);
    if rooted {
        // There is nothing to be listed but what was put there; and the root itself is nobody's to name here.
        handled.remove(AccessFs::ReadDir);
    }
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)?
        .scope(Scope::from_all(KNOWN))?;
    if net == Network::None {
        ruleset = ruleset.handle_access(AccessNet::from_all(KNOWN))?;
    }
    let mut created = ruleset.create()?;
    let mut allow = |path: &Path, access: BitFlags<AccessFs>| -> Result<(), RulesetError> {
        // What is not there can't be opened, either.
        let Ok(opened) = PathFd::new(path) else { return Ok(()) };
        let of_kind = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
        (&mut created).add_rule(PathBeneath::new(opened, of_kind & handled)).map(|_| ())
    };
    let execute: BitFlags<AccessFs> =
        if may_execute { AccessFs::Execute.into() } else { BitFlags::empty() };
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in &layout.readable {
        allow(path, read | execute)?;
    }
    for path in &layout.executable {
        allow(path, AccessFs::ReadFile | AccessFs::Execute)?;
    }
    for path in &layout.devices {
        allow(path, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev)?;
    }
    for (path, access) in &layout.granted {
        let all = match access {
            Access::ReadOnly => read,
            Access::ReadWrite => AccessFs::from_all(KNOWN) & !AccessFs::Execute,
        };
        allow(path, all | execute)?;
    }
    if let Some(program) = program {
        let access = AccessFs::ReadFile | AccessFs::Execute;
        match (&mut created).add_rule(PathBeneath::new(program, access)) {
            Err(error) if !is_nowhere(&error) => return Err(error),
            // What has no name needs no rule: none stands against it, either.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(created.into())
}

/// Whether a file is in memory, and in no file system of which anything can be said.
fn is_nowhere(error: &RulesetError) -> bool {
    let errno = |error: &(dyn Error + 'static)| {
        error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error)
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if errno(error) == Some(libc::EBADFD) {
            return true;
        }
        cause = error.source();
    }
    false
}

//! What it may have inherited from its host, or found of the task before it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

use sandtrap::{ByteSize, Label};

use super::expect::{Expect, Expected};
use super::table::{Row, case};
use super::{Given, Outcome, VARIABLE, calls};

/// A scratch takes a root of its own; where nobody can make one, the task is refused.
const IN_SCRATCH: Expected =
    Expected::always(&[Expect::Contained, Expect::Ends(Label::UnstartedRejected)]);
const CONTAINED: Expected = Expected::always(&[Expect::Contained]);

/// Their cases.
pub(super) fn rows() -> Vec<Row> {
    vec![
        case(28, "core-dump", "a dump of its memory", CONTAINED, core_dump),
        case(31, "leaked-descriptors", "descriptors of its host", CONTAINED, descriptors),
        case(32, "leaked-environment", "its host's environment", CONTAINED, environment),
        case(32, "leaked-signals", "signals its host ignores or blocks", CONTAINED, signals),
        case(32, "leaked-directory", "its host's directory", CONTAINED, directory),
        case(32, "leaked-personality", "its host's personality", CONTAINED, |_| {
            match calls::personality() {
                0 => Outcome::refused("it is the ordinary one"),
                other => Outcome::breach(format!("{other:#x}")),
            }
        }),
        case(32, "leaked-mask", "its host's mask for files", CONTAINED, |_| {
            match calls::mask_for_files() {
                Ok(mask @ (0o022 | 0o077)) => Outcome::refused(format!("{mask:03o}")),
                Ok(mask) => Outcome::breach(format!("{mask:03o}")),
                Err(errno) => Outcome::refused(format!("it can't ask: {errno}")),
            }
        }),
        case(32, "leaked-limits", "its host's limits", CONTAINED, limits),
        case(33, "new-privileges", "privileges by executing", CONTAINED, |_| {
            match calls::has_no_new_privileges() {
                true => Outcome::refused("it can't gain any"),
                false => Outcome::breach("it could gain some"),
            }
        }),
        case(33, "capabilities", "what root may", CONTAINED, |_| match calls::capabilities() {
            [0, 0] => Outcome::refused("it has none"),
            [low, high] => Outcome::breach(format!("{high:08x}{low:08x}")),
        }),
        case(49, "leave-a-mark", "a file for the next task", CONTAINED, leave_mark),
        case(49, "find-the-mark", "a file of the task before", CONTAINED, find_mark)
            .after("leave-a-mark"),
        case(49, "leave-in-scratch", "the same in a scratch", IN_SCRATCH, leave_mark)
            .limited(|limits| limits.scratch = ByteSize::mib(1)),
        case(49, "find-in-scratch", "the scratch of the task before", IN_SCRATCH, find_mark)
            .limited(|limits| limits.scratch = ByteSize::mib(1))
            .after("leave-in-scratch"),
    ]
}

fn core_dump(_: &Given) -> Outcome {
    match getrlimit(Resource::RLIMIT_CORE) {
        // One byte is too little for a file; and none, where the host may not have more, is no limit for a pipe.
        Ok((0 | 1, 0 | 1)) => Outcome::refused("no file is that small"),
        other => Outcome::breach(format!("{other:?}")),
    }
}

fn limits(given: &Given) -> Outcome {
    let own = [Resource::RLIMIT_NOFILE, Resource::RLIMIT_MEMLOCK].map(getrlimit);
    let files = u64::from(given.open_files);
    match own {
        [Ok((soft, hard)), Ok((0, 0))] if soft <= files && hard <= files => {
            Outcome::refused("they are its own")
        }
        others => Outcome::breach(format!("{others:?}")),
    }
}

fn descriptors(given: &Given) -> Outcome {
    let most = 64.max(given.open_files) as i32 * 64;
    match &calls::open_descriptors(most)[..] {
        [0, 1, 2, 3] => Outcome::refused("it has its own four"),
        others => Outcome::breach(format!("{others:?}")),
    }
}

fn environment(_: &Given) -> Outcome {
    let others: Vec<_> = env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name != VARIABLE && name != "SANDTRAP_CHANNEL")
        .collect();
    match others.is_empty() {
        true => Outcome::refused("it has its own variable only"),
        false => Outcome::breach(format!("{others:?}")),
    }
}

fn signals(_: &Given) -> Outcome {
    let mut blocked = SigSet::empty();
    if let Err(errno) = sigprocmask(SigmaskHow::SIG_BLOCK, None, Some(&mut blocked)) {
        return Outcome::breach(format!("the mask can't be read: {errno}"));
    }
    // Rust's own start sets these three.
    let own = [nix::libc::SIGPIPE, nix::libc::SIGSEGV, nix::libc::SIGBUS];
    let changed: Vec<i32> =
        (1..=31).filter(|signal| !own.contains(signal) && !calls::is_default(*signal)).collect();
    match blocked.iter().next().is_none() && changed.is_empty() {
        true => Outcome::refused("all are as usual"),
        false => Outcome::breach(format!("blocked {blocked:?}, changed {changed:?}")),
    }
}

fn directory(given: &Given) -> Outcome {
    match env::current_dir() {
        // At the root nothing can be told from it.
        Ok(here) if here.parent().is_some() && here == given.directory => {
            Outcome::breach(here.display())
        }
        Ok(here) => Outcome::refused(here.display()),
        Err(error) => Outcome::refused(error),
    }
}

/// The same for both tasks, and the test's own, so that it is cleared away where `/tmp` is the host's.
fn mark(given: &Given) -> PathBuf {
    let name = given.folder.file_name().unwrap_or_default();
    Path::new("/tmp").join(name).join("mark")
}

fn leave_mark(given: &Given) -> Outcome {
    let mark = mark(given);
    let folder = mark.parent().unwrap_or(Path::new("/tmp"));
    match fs::create_dir_all(folder).and_then(|()| fs::write(&mark, b"x")) {
        Ok(()) => Outcome::refused("left it"),
        Err(error) => Outcome::refused(error),
    }
}

fn find_mark(given: &Given) -> Outcome {
    match fs::read(mark(given)) {
        Ok(_) => Outcome::breach("it is there"),
        Err(error) => Outcome::refused(error),
    }
}

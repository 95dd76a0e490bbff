//! Landlock as guards: what of it this kernel has, and what is refused or listed where it lacks something.

use std::error::Error;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::evidence::{Guard, GuardState, Refusal};
use crate::guarding::Guarding;

use super::cage::{Namespaces, rules};
use super::image::Prepared;
use super::refusals;

const FILES: &str = "landlock";
const SCOPES: &str = "landlock-scopes";
const TOO_OLD: &str = "this kernel's Landlock is older than its sixth version, and has none";

/// Makes the rules of a cage, and says which guards they are.
pub(super) fn put_up(
    image: &Prepared,
    program: Option<BorrowedFd<'_>>,
    namespaces: Namespaces,
    may_execute: bool,
) -> Result<(Option<OwnedFd>, [Guard; 2]), Refusal> {
    let (net, guarding) = (image.permissions.net, &image.guarding);
    let made = rules::make(&image.layout, program, net, namespaces.rest, may_execute);
    let (why, errno) = match made {
        Ok(Some(rules)) => {
            let files = files(&rules::unknown());
            let scopes = match rules::has_scopes() {
                true => Guard::in_force(SCOPES),
                false => no_scopes(namespaces, guarding, TOO_OLD, None)?,
            };
            return Ok((Some(rules), [files, scopes]));
        }
        Ok(None) => ("this kernel has no Landlock, or has it switched off".to_owned(), None),
        Err(error) => (error.to_string(), errno_of(&error)),
    };
    if guarding.requires(FILES) {
        return Err(refusals::no_guard(FILES, &why, errno));
    }
    let scopes = no_scopes(namespaces, guarding, &why, errno)?;
    Ok((None, [Guard::missing(FILES, why), scopes]))
}

/// The system's own number, wherever in an error it lies.
fn errno_of(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.find_map(|cause| cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error))
}

/// An older kernel has rules for less. The root is what it is, so that is no reason to refuse.
fn files(unknown: &[&str]) -> Guard {
    if unknown.is_empty() {
        return Guard::in_force(FILES);
    }
    let why = format!("an older one: it has no rules for {}", unknown.join(", "));
    Guard { name: FILES, state: GuardState::InForce, why: Some(why) }
}

/// What a namespace of processes and one of networks do, too: only where one of them is not there, somebody depends
/// on it.
fn no_scopes(
    namespaces: Namespaces,
    guarding: &Guarding,
    why: &str,
    errno: Option<i32>,
) -> Result<Guard, Refusal> {
    let is_alone = !(namespaces.rest && namespaces.net);
    if guarding.insists_on(SCOPES) || guarding.requires(SCOPES) && is_alone {
        return Err(refusals::no_guard(SCOPES, why, errno));
    }
    let instead = if is_alone { "nothing stands in for it" } else { "namespaces stand in for it" };
    Ok(Guard::missing(SCOPES, format!("{why}; {instead}")))
}

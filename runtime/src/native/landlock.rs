//! Landlock as guards: what of it this kernel has, and what is refused or listed where it lacks something.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::evidence::{Guard, GuardState, Refusal};
use crate::permissions::GuardMode;

use super::cage::{Namespaces, rules};
use super::image::Prepared;
use super::refusals;

const FILES: &str = "landlock";
const SCOPES: &str = "landlock-scopes";

/// Makes the rules of a cage, and says which guards they are.
pub(super) fn put_up(
    image: &Prepared,
    program: Option<BorrowedFd<'_>>,
    namespaces: Namespaces,
    may_execute: bool,
) -> Result<(Option<OwnedFd>, [Guard; 2]), Refusal> {
    let (net, is_required) = (image.permissions.net, image.mode == GuardMode::Required);
    let made = rules::make(&image.layout, program, net, namespaces.rest, may_execute);
    let why = match made {
        Ok(Some(rules)) => {
            let files = files(&rules::unknown());
            return Ok((Some(rules), [files, scopes(namespaces, is_required)?]));
        }
        Ok(None) => "this kernel has no Landlock, or has it switched off".to_owned(),
        Err(error) => error.to_string(),
    };
    if is_required {
        return Err(refusals::no_guard(FILES, &why, None));
    }
    Ok((None, [Guard::missing(FILES, why.clone()), Guard::missing(SCOPES, why)]))
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
fn scopes(namespaces: Namespaces, is_required: bool) -> Result<Guard, Refusal> {
    if rules::has_scopes() {
        return Ok(Guard::in_force(SCOPES));
    }
    let why = "this kernel's Landlock is older than its sixth version, and has none";
    let is_alone = !(namespaces.rest && namespaces.net);
    if is_required && is_alone {
        return Err(refusals::no_guard(SCOPES, why, None));
    }
    let instead = if is_alone { "nothing stands in for it" } else { "namespaces stand in for it" };
    Ok(Guard::missing(SCOPES, format!("{why}; {instead}")))
}

//! The guards of a cage by their names: which it has, and whether a task may do without those that it hasn't.

use crate::evidence::{Guard, GuardState, Step};
use crate::guarding::{Around, Guarding};
use crate::isolation::LoadError;
use crate::permissions::Network;
use crate::task::Policy;

use super::Namespaces;

/// Guards that stand around every process.
pub(in crate::native) fn always() -> Vec<Guard> {
    Guarding::of(Around::EveryProcess).map(Guard::in_force).collect()
}

/// What a cage has that the following one hasn't.
pub(super) fn lost(from: Namespaces, to: Option<Namespaces>) -> Vec<&'static str> {
    let to = to.unwrap_or(Namespaces { user: false, rest: false, net: false });
    let mut lost = Vec::new();
    lost.extend((from.user && !to.user).then_some("user-namespace"));
    if from.rest && !to.rest {
        lost.extend(Guarding::of(Around::Cage));
        lost.push("pid-namespace");
    }
    lost.extend((from.net && !to.net).then_some("network-namespace"));
    lost
}

/// The one to be named if a task must not do without one of those lost: the one that failed, if it is required itself.
pub(super) fn missed(
    guarding: &Guarding,
    failed: &'static str,
    lost: &[&'static str],
) -> Option<&'static str> {
    let first = lost.iter().copied().find(|guard| guarding.requires(guard))?;
    Some(if guarding.requires(failed) { failed } else { first })
}

/// Refuses to promise a guard that no process has, or that was given up for a grant.
pub(in crate::native) fn check_promised(policy: &Policy) -> Result<(), LoadError> {
    let refuse = |name, why: &str| {
        let detail = format!("the guard `{name}` is required, and can't be had: {why}");
        Err(LoadError::at(Step::Guard(name), detail))
    };
    let net = "network-namespace";
    match policy.guards.absent(Guarding::is_of_processes) {
        Some(name) => refuse(name, "it stands around modules, and not around processes"),
        None if policy.permissions.net == Network::Host && policy.guards.insists_on(net) => {
            refuse(net, "the host's network was granted")
        }
        None => Ok(()),
    }
}

pub(super) fn pid_guard(own_pids: bool, others: &[Guard]) -> Guard {
    if own_pids {
        return Guard::in_force("pid-namespace");
    }
    let with_it = Guarding::of(Around::Cage).next();
    let with_it = others.iter().find(|guard| Some(guard.name) == with_it);
    let why = with_it.and_then(|it| it.why.clone());
    let else_why = "it takes a tracer and a filter to tell how the first process of one ends";
    Guard::missing("pid-namespace", why.unwrap_or_else(|| else_why.to_owned()))
}

pub(super) fn filter_guard(unfiltered: Option<String>) -> Guard {
    match unfiltered {
        None => Guard::in_force("seccomp"),
        Some(why) => Guard::missing("seccomp", format!("{why}; every call is allowed")),
    }
}

pub(super) fn tracing_guard(untraced: bool) -> Guard {
    if untraced {
        let why = "this host refuses it; causes are concluded from the wait status";
        Guard::missing("tracing", why)
    } else {
        Guard::in_force("tracing")
    }
}

/// The namespaces of a cage; those that it hasn't are missing for this reason.
pub(super) fn namespaces(made: Namespaces, net: Network, why: &str) -> Vec<Guard> {
    let guard = |name, stands: bool| {
        if stands { Guard::in_force(name) } else { Guard::missing(name, why) }
    };
    let mut guards = vec![guard("user-namespace", made.user)];
    guards.extend(Guarding::of(Around::Cage).map(|name| guard(name, made.rest)));
    guards.push(match net {
        Network::None => guard("network-namespace", made.net),
        Network::Host => Guard { name: "network-namespace", state: GuardState::Off, why: None },
    });
    guards
}

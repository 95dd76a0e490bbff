//! All cases in one list.

use nix::errno::Errno;
use sandtrap::Limits;

use super::calls::{self, Call};
use super::expect::{Expect, Expected};
use super::forgeries::DENIED;
use super::{Case, Given, Outcome, crashes, escapes, floods, forgeries, leaks, processes, sockets};

/// Numbers of the list that no guest tries, and why.
pub(crate) const WITHOUT_GUEST: [(u8, &str); 5] = [
    (16, "its host is killed: the tests do that themselves, with the case `sleep`"),
    (30, "trees and names that are hard to collect: nothing is collected from a guest's folders"),
    (
        42,
        "a number that was given away anew: processes are killed by descriptors, and no guest can wait for one",
    ),
    (43, "clocks and side channels: the clock can be read, and the processor is shared"),
    (50, "guards that can't be put up: `doctor` says which, and --guards required refuses"),
];

pub(super) type Row = Case;

/// One case, under the usual limits.
pub(super) const fn case(
    number: u8,
    name: &'static str,
    what: &'static str,
    expected: Expected,
    attempt: fn(&Given) -> Outcome,
) -> Row {
    Case { number, name, what, expected, limits: |_| {}, after: None, attempt }
}

impl Case {
    pub(super) fn limited(mut self, limits: fn(&mut Limits)) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn after(mut self, other: &'static str) -> Self {
        self.after = Some(other);
        self
    }
}

/// Every case, in the order of the list; those that only die come first.
pub(crate) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = [
        crashes::rows(),
        escapes::rows(),
        floods::rows(),
        forgeries::rows(),
        leaks::rows(),
        processes::rows(),
        sockets::rows(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let deadly = calls::DEADLY.iter().chain(calls::DEADLY_HERE);
    all.extend(deadly.map(|call| case(call.number, call.name, call.what, DENIED, by_name)));
    let contained = Expected::always(&[Expect::Contained]);
    let refused = calls::REFUSED.iter();
    all.extend(refused.map(|call| case(call.number, call.name, call.what, contained, by_name)));
    all.sort_by_key(|case| case.number);
    all
}

/// Makes the call that has the name of the case.
fn by_name(given: &Given) -> Outcome {
    let all = calls::DEADLY.iter().chain(calls::DEADLY_HERE).chain(calls::REFUSED);
    match all.into_iter().find(|call| call.name == given.case) {
        Some(call) => made(call),
        None => Outcome::breach("there is no such call"),
    }
}

/// An answer of the kernel's that speaks of the arguments has looked at them.
fn made(call: &Call) -> Outcome {
    match calls::answer(call) {
        Err(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => Outcome::refused(errno),
        Err(errno) => Outcome::breach(format!("the kernel answers {errno}")),
        Ok(answer) => Outcome::breach(format!("the kernel answers {answer}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_of_the_list_has_a_case_or_a_reason() {
        let tried: BTreeSet<u8> = cases().iter().map(|case| case.number).collect();
        // Only this kind of machine has further doors to its kernel.
        let one_door = !cfg!(target_arch = "x86_64");
        for number in (1..=50).filter(|number| !(one_door && *number == 34)) {
            let has_reason = WITHOUT_GUEST.iter().any(|(without, _)| *without == number);
            assert!(tried.contains(&number) != has_reason, "{number}");
        }
    }

    #[test]
    fn names_are_unique_and_a_case_comes_after_one_that_is_there() {
        let all = cases();
        let names: BTreeSet<&str> = all.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), all.len());
        for case in &all {
            assert!(case.after.is_none_or(|other| names.contains(other)), "{}", case.name);
        }
    }
}

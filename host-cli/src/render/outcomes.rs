//! What `selftest` prints: a line for each case, and how many there were.

use super::plain;
use crate::selftest::{Outcome, Said};

/// One case.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let place = outcome.profile.map_or(outcome.wall.name(), |profile| profile.name());
    let number = match outcome.number {
        0 => String::new(),
        number => number.to_string(),
    };
    let (name, actual, detail) = (outcome.name, outcome.actual, plain(&outcome.detail));
    let actual = actual.to_string();
    let beginning = format!("{number:>2} {name:<22} {place:<8} {actual:<24}");
    if outcome.is_as_expected() {
        format!("ok    {beginning} {detail}\n")
    } else {
        let expected: Vec<String> = outcome.expected.iter().map(ToString::to_string).collect();
        format!("WRONG {beginning} expected {}: {detail}\n", expected.join(" or "))
    }
}

/// One case in another cage.
pub(crate) fn said(peer: &str, name: &str, said: &Said) -> String {
    format!("{peer:<8} {name:<22} {}\n", plain(&said.to_string()))
}

/// The last lines.
pub(crate) fn summary(total: usize, different: usize, left_out: Option<&str>) -> String {
    let result = match different {
        0 => format!("all {total} ended as expected"),
        _ => format!(
            "{different} of {total} ended otherwise than expected; `sandtrap doctor` says what this host lacks"
        ),
    };
    match left_out {
        None => format!("\n{result}\n"),
        Some(why) => format!("\n{result}\n{why}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abuse::{Expect, Profile};
    use sandtrap::{Label, Wall};

    fn case(actual: Expect) -> Outcome {
        Outcome {
            number: 18,
            name: "io-uring",
            what: "calls that pass a filter by",
            wall: Wall::Native,
            profile: Some(Profile::Compute),
            expected: &[Expect::Ends(Label::DeniedSyscall), Expect::Contained],
            actual,
            detail: "in words".to_owned(),
            took: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn what_differs_is_said_with_what_was_expected() {
        let fine = outcome(&case(Expect::Contained));
        assert_eq!(
            fine,
            "ok    18 io-uring               compute  contained                in words\n"
        );
        let wrong = outcome(&case(Expect::Reaches));
        assert_eq!(
            wrong,
            "WRONG 18 io-uring               compute  reached                  \
             expected denied.syscall or contained: in words\n"
        );
        assert!(summary(3, 1, None).contains("1 of 3 ended otherwise"));
    }
}

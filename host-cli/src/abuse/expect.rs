//! What is expected of a case, under each profile of system calls.

use clap::ValueEnum;
use sandtrap::{Failure, Label, Report, Verdict};

use super::BREACH;

/// The profiles, as they are called on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    Pure,
    Compute,
    Files,
    Process,
    Jit,
}

impl Profile {
    pub(crate) const ALL: [Self; 5] =
        [Self::Pure, Self::Compute, Self::Files, Self::Process, Self::Jit];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Compute => "compute",
            Self::Files => "files",
            Self::Process => "process",
            Self::Jit => "jit",
        }
    }
}

impl From<Profile> for sandtrap::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Pure => Self::Pure,
            Profile::Compute => Self::Compute,
            Profile::Files => Self::Files,
            Profile::Process => Self::Process,
            Profile::Jit => Self::Jit,
        }
    }
}

/// How a case may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// With this verdict.
    Ends(Label),
    /// It got an error, or nothing there to reach, and ended in order.
    Contained,
    /// With this code of its own.
    Exits(i32),
    /// It reaches what it tries, because the profile is there for that.
    Reaches,
}

/// What is expected, and under which profiles something else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    usual: &'static [Expect],
    except: &'static [(&'static [Profile], &'static [Expect])],
}

impl Expected {
    pub(crate) const fn always(usual: &'static [Expect]) -> Self {
        Self { usual, except: &[] }
    }

    pub(crate) const fn but(
        usual: &'static [Expect],
        except: &'static [(&'static [Profile], &'static [Expect])],
    ) -> Self {
        Self { usual, except }
    }

    /// Any one of these. A module has no profile.
    pub(crate) fn under(&self, profile: Option<Profile>) -> &'static [Expect] {
        let except = self
            .except
            .iter()
            .find(|(profiles, _)| profile.is_some_and(|profile| profiles.contains(&profile)));
        except.map_or(self.usual, |(_, expected)| expected)
    }
}

impl Expect {
    /// What a report amounts to, in the same words.
    pub(crate) fn of(report: &Report) -> Self {
        match &report.verdict {
            Verdict::Completed => Self::Contained,
            Verdict::Failed(Failure::Exit { code: BREACH }) => Self::Reaches,
            Verdict::Failed(Failure::Exit { code }) => Self::Exits(*code),
            other => Self::Ends(other.label()),
        }
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ends(label) => write!(f, "{label}"),
            Self::Contained => f.write_str("contained"),
            Self::Exits(code) => write!(f, "exit {code}"),
            Self::Reaches => f.write_str("reached"),
        }
    }
}

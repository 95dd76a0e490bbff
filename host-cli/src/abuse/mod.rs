//! The shipped abuse cases: what a guest may try, as functions of a guest that hides in this very executable.
//!
//! `sandtrap selftest` starts this executable (or another build of it) behind the native wall with a hidden first argument and a variable
//! that no user's line has; it runs the one case that is named and ends. A case that was refused in a harmless
//! way says so and exits with 0; one that reached something says what and exits with [`BREACH`]. Everything a
//! case does is bounded, leaves nothing behind, and harms nothing even where no wall stands.
//!
//! The numbers are those of the list of attacks that the native wall is built against; [`WITHOUT_GUEST`] names
//! those that no guest can try.

mod calls;
mod crashes;
mod escapes;
mod expect;
mod faults;
mod floods;
mod forgeries;
mod leaks;
mod processes;
mod sockets;
mod table;

use std::env;
use std::io::Write as _;
use std::path::PathBuf;

use sandtrap::Limits;

pub(crate) use expect::{Expect, Expected, Profile};
pub(crate) use table::{WITHOUT_GUEST, cases};

/// The hidden first argument, and the variable that goes with it.
pub(crate) const ENTRANCE: &str = "sandtrap-tries-an-abuse";
pub(crate) const VARIABLE: &str = "SANDTRAP_SELFTEST";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The exit code of a case that reached something.
pub(crate) const BREACH: i32 = 42;

/// The exit code of a guest that was asked for a case that isn't there.
const NO_SUCH_CASE: i32 = 43;

/// Not a case: what another program says that a case has begun.
const REACHED: &str = "reached";

/// Not a case, either: a guest that is asked for this says [`ANSWER`].
pub(crate) const WHO: &str = "who";
pub(crate) const ANSWER: &str = concat!("sandtrap ", env!("CARGO_PKG_VERSION"));

/// One thing to try.
pub(crate) struct Case {
    /// Its number in the list; 0 for guests that only die.
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) expected: Expected,
    /// What is not as for all others.
    pub(crate) limits: fn(&mut Limits),
    /// A task that runs before it, whose traces it looks for.
    pub(crate) after: Option<&'static str>,
    attempt: fn(&Given) -> Outcome,
}

/// What a case is given to try itself on.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The name of the case.
    pub(crate) case: String,
    /// The process that runs the tests.
    pub(crate) host: i32,
    /// A port on which it listens.
    pub(crate) port: u16,
    /// An abstract socket on which it listens.
    pub(crate) abstract_name: String,
    /// A folder of its own, with the file `secret` and the socket `socket`.
    pub(crate) folder: PathBuf,
    /// The directory its host is in.
    pub(crate) directory: PathBuf,
    /// How many descriptors it may have.
    pub(crate) open_files: u32,
}

/// What came of it, as far as the case itself can tell.
pub(crate) enum Outcome {
    Refused(String),
    Breach(String),
}

impl Outcome {
    fn refused(why: impl std::fmt::Display) -> Self {
        Self::Refused(why.to_string())
    }

    fn breach(what: impl std::fmt::Display) -> Self {
        Self::Breach(what.to_string())
    }
}

impl Given {
    /// For a case that tries itself on nothing.
    pub(crate) fn alone(case: &str) -> Self {
        let case = case.to_owned();
        let (folder, directory) = (PathBuf::new(), PathBuf::new());
        Self {
            case,
            host: 0,
            port: 0,
            abstract_name: String::new(),
            folder,
            directory,
            open_files: 0,
        }
    }

    /// The line that starts it.
    pub(crate) fn command(&self) -> Vec<String> {
        [ENTRANCE.to_owned(), self.case.clone()].into_iter().chain(self.arguments()).collect()
    }

    /// The same for another name.
    fn other(&self, case: &str) -> Self {
        Self { case: case.to_owned(), ..self.clone() }
    }

    /// As arguments, and from them.
    fn arguments(&self) -> [String; 6] {
        [
            self.host.to_string(),
            self.port.to_string(),
            self.abstract_name.clone(),
            self.folder.display().to_string(),
            self.directory.display().to_string(),
            self.open_files.to_string(),
        ]
    }

    fn from_arguments(arguments: &[String]) -> Option<Self> {
        let [case, host, port, abstract_name, folder, directory, open_files] = arguments else {
            return None;
        };
        Some(Self {
            case: case.clone(),
            host: host.parse().ok()?,
            port: port.parse().ok()?,
            abstract_name: abstract_name.clone(),
            folder: folder.into(),
            directory: directory.into(),
            open_files: open_files.parse().ok()?,
        })
    }
}

/// Runs the one case this process was started for, if it was, and ends. The variable makes sure that no argument
/// of a user's is taken for an order.
pub(crate) fn enter() {
    if env::args_os().nth(1).is_none_or(|first| first != ENTRANCE) {
        return;
    }
    if env::var_os(VARIABLE).is_none_or(|version| version != VERSION) {
        return;
    }
    let arguments: Vec<String> =
        env::args_os().skip(2).filter_map(|it| it.into_string().ok()).collect();
    std::process::exit(run(&arguments));
}

fn run(arguments: &[String]) -> i32 {
    let Some(given) = Given::from_arguments(arguments) else { return NO_SUCH_CASE };
    if given.case == REACHED {
        return tell(Outcome::breach("another program was begun"));
    }
    if given.case == WHO {
        return tell(Outcome::refused(ANSWER));
    }
    let Some(case) = cases().into_iter().find(|case| case.name == given.case) else {
        return NO_SUCH_CASE;
    };
    tell((case.attempt)(&given))
}

fn tell(outcome: Outcome) -> i32 {
    let (line, code) = match outcome {
        Outcome::Refused(why) => (format!("refused: {why}\n"), 0),
        Outcome::Breach(what) => (format!("BREACH: {what}\n"), BREACH),
    };
    // Its exit code says it, too.
    let _ = std::io::stdout().write_all(line.as_bytes());
    code
}

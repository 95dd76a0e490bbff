//! How a process of this program becomes one of its functions: it was started with a variable that nobody sets by
//! accident, finds that in `init`, and serves calls of every isolated function there is.
//!
//! A test harness keeps `main` to itself, so there the entrance is a test, and the process is told to run that one
//! alone. Nothing happens before `main`: what runs there runs before the program is itself.

use std::env;
use std::panic::catch_unwind;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

use linkme::distributed_slice;
use sandtrap_guest::{Function, serve_host};
use sandtrap_protocol::CHANNEL_VARIABLE;

use super::FUNCTIONS;

/// In the environment of a process that was started to be one of the functions.
pub(super) const VARIABLE: &str = "SANDTRAP_ISOLATED";
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The tests that are entrances, by their full paths. A program is one harness at most, but may say it twice.
#[distributed_slice]
pub static HARNESSES: [&'static str];

/// What the harness's own words on stdout end with.
pub(super) const BEGUN: &[u8] = b"\0isolated\n";

/// What Rust gives back for a panic.
const PANICKED: i32 = 101;

/// The exit code of a process that was called by nobody.
const UNCALLED: i32 = 71;

/// Whether this program's `main` calls [`init`](crate::init()).
static HAS_ENTRANCE: AtomicBool = AtomicBool::new(false);

/// Whether this process is one of the functions.
static IS_FUNCTION: AtomicBool = AtomicBool::new(false);

/// How a process of this program is brought to its entrance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// By its `main`.
    Main,
    /// By this test of a harness.
    Test(&'static str),
}

impl Entrance {
    /// The one that this program has, if it has one. Where there is a test, `main` is the harness's.
    pub(super) fn of_this_program() -> Option<Self> {
        let test = HARNESSES.first().map(|path| Self::Test(path));
        test.or_else(|| HAS_ENTRANCE.load(Ordering::Relaxed).then_some(Self::Main))
    }

    /// What such a process is started with.
    pub(super) fn arguments(self) -> Vec<&'static str> {
        match self {
            // Nobody reads it. Where `main` is a harness all the same, it names no test, and so runs none.
            Self::Main => vec!["sandtrap-is-an-isolated-function"],
            Self::Test(path) => {
                // A harness knows its tests without the name of the crate.
                let name = path.split_once("::").map_or(path, |(_, name)| name);
                vec![name, "--exact", "--quiet", "--nocapture", "--test-threads=1"]
            }
        }
    }
}

pub(super) fn is_function() -> bool {
    IS_FUNCTION.load(Ordering::Relaxed)
}

/// Notes that this program can be started as one of its functions; and if it was, is that, and ends.
pub(crate) fn enter() {
    HAS_ENTRANCE.store(true, Ordering::Relaxed);
    if is_meant() {
        be();
    }
}

/// The same in a test of a harness.
pub fn enter_by_test() {
    if is_meant() {
        // What the harness has said so far is none of the function's output. A closed stdout is no reason to die.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), BEGUN);
        be();
    }
}

/// Both variables: what this process starts itself inherits one of them only.
fn is_meant() -> bool {
    env::var_os(VARIABLE).is_some_and(|it| it == VERSION) && env::var_os(CHANNEL_VARIABLE).is_some()
}

fn be() -> ! {
    IS_FUNCTION.store(true, Ordering::Relaxed);
    let functions = FUNCTIONS.iter().map(|isolated| {
        let isolated = isolated();
        Function { name: isolated.name, idempotent: false, run: isolated.run }
    });
    let functions: Vec<Function> = functions.collect();
    let served = catch_unwind(|| serve_host(|| (), Vec::leak(functions)));
    exit(match served {
        Ok(true) => 0,
        Ok(false) => UNCALLED,
        // The hook has told the host.
        Err(_) => PANICKED,
    });
}

/// Lets functions that are [`isolated`](macro@crate::isolated) be called from tests: write it once in each program of
/// tests that calls some (the tests of a library are one, each file of `tests/` is another), for `cargo test` and any other
/// runner of the usual harness.
///
/// ```
/// #[cfg(test)]
/// mod tests {
///     sandtrap::init_tests!();
/// }
/// # fn main() {}
/// ```
///
/// It is a test itself, named `sandtrap_isolated`, which passes at once: processes that are started to be one of the
/// functions run that test and no other. In a test with a `main` of its own, and in an example of the
/// documentation, that is where [`init`](crate::init()) belongs.
#[macro_export]
macro_rules! init_tests {
    () => {
        const _: () = {
            #[$crate::isolated_parts::linkme::distributed_slice($crate::isolated_parts::HARNESSES)]
            #[linkme(crate = $crate::isolated_parts::linkme)]
            static HARNESS: &'static str =
                ::core::concat!(::core::module_path!(), "::sandtrap_isolated");
        };

        #[test]
        fn sandtrap_isolated() {
            $crate::isolated_parts::enter_by_test();
        }
    };
}

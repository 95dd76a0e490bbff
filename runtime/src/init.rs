//! The one line at the start of a `main` by which a program lets itself be started again by this library: to compile
//! a module, or to run one of its own functions.

use crate::{confined, isolated};

/// Lets this program be started again by sandtrap, in confined processes of itself: to compile untrusted modules, and
/// to run its functions that are [`isolated`](macro@crate::isolated). Call it first in `main`, before there are
/// threads; an async program calls it before its runtime, in a `main` that is not async yet.
///
/// It does nothing, unless this process was started for one of the two: then it does that and ends the process. What
/// stands before it in `main` is done in each of those processes, too.
///
/// Without it, or another program named with [`RuntimeBuilder::compiler`](crate::RuntimeBuilder::compiler), untrusted
/// modules are compiled in the host's own process, and reports list the guard `compile-confinement` as missing; calls of
/// isolated functions are refused. A test harness has a `main` of its own: see
/// [`init_tests!`](crate::init_tests).
pub fn init() {
    confined::enter();
    isolated::enter();
}

//! Dies of: a call to abort, after it has closed its stdout (whose reader sees the end before).
//! Native wall: SIGABRT. Wasm wall: `unreachable`.
#![expect(unsafe_code, reason = "std offers no safe way to close stdout")]

use std::os::fd::{FromRawFd, OwnedFd};

fn main() {
    // SAFETY: nothing writes to stdout afterwards, and nothing else is opened that could become 1.
    drop(unsafe { OwnedFd::from_raw_fd(1) });
    std::process::abort();
}

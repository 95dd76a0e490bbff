//! Dies of: a call to abort, after a panic that was told over the channel and then caught.
//!
//! Native wall: SIGABRT, and the panic is not the cause. Wasm wall: a panic can't be caught there,
//! so that it never comes to the abort.

use std::{panic, process};

#[sandtrap_guest::main]
fn main() {
    let caught = panic::catch_unwind(|| panic!("the guest will catch this"));
    assert!(caught.is_err());
    process::abort();
}

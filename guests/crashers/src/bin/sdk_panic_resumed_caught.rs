//! Dies of: the panic of another thread, resumed by the first one after a panic of its own was caught.
//!
//! Both walls: `failed.panic`. A process tells the resumed one's words; a module dies of the one that it can't catch.

use std::panic::{catch_unwind, resume_unwind};
use std::thread;

#[sandtrap_guest::main]
fn main() {
    let others = thread::Builder::new().spawn(|| panic!("the other thread's words"));
    let other = others.map(|other| other.join());
    let own = catch_unwind(|| panic!("words that were caught"));
    assert!(own.is_err());
    if let Ok(Err(payload)) = other {
        resume_unwind(payload);
    }
}

//! Dies of: a panic whose payload panics once more when it is dropped: where it leaves the first thread, or with the argument
//! `thread`, where nobody asks what became of another one.
//!
//! Both walls: `failed.panic`, with the first panic's place. In the other thread it is the standard library that drops it, and
//! ends the process over it: SIGABRT.

use std::panic::panic_any;
use std::{env, thread};

struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("the payload's own end");
    }
}

#[sandtrap_guest::main]
fn main() {
    if env::args().nth(1).as_deref() == Some("thread") {
        let other = thread::spawn(|| panic_any(Fragile));
        while !other.is_finished() {
            thread::yield_now();
        }
        drop(other);
    } else {
        panic_any(Fragile);
    }
}

//! Lives: without an argument it lists the ways to die that it knows; `victim CAUSE` dies of one.
//! The same program as in `c/`, as far as Rust knows the way; the table of causes is the test kit's.
#![expect(unsafe_code, reason = "to break things is the purpose of the file")]

#[path = "../victim/endings.rs"]
mod endings;
#[path = "../victim/faults.rs"]
mod faults;
#[path = "../victim/resources.rs"]
mod resources;
#[path = "../victim/stacks.rs"]
mod stacks;

use std::io::Write as _;

/// A cause and how to die of it.
type Way = (&'static str, fn());

fn main() {
    let ways = [faults::WAYS, stacks::WAYS, endings::WAYS, resources::WAYS];
    let mut ways = ways.into_iter().flatten();
    match std::env::args().nth(1) {
        None => {
            let list: Vec<&str> = ways.map(|(cause, _)| *cause).collect();
            // Whoever asked is gone.
            let _ = std::io::stdout().write_all((list.join("\n") + "\n").as_bytes());
        }
        Some(wanted) => match ways.find(|(cause, _)| *cause == wanted) {
            Some((_, die)) => die(),
            None => std::process::exit(2),
        },
    }
}

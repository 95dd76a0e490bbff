//! A host that blocks the signal of its children in all its threads, to wait for it: runs one guest, and then a child of
//! its own. Fails where somebody else has taken that child's signal.
//!
//! `waiting_host GUEST`
#![expect(clippy::print_stderr, reason = "what it prints says why it failed")]

use std::process::{Command, ExitCode};

use nix::sys::signal::{SigSet, Signal};
use sandtrap::{Program, Runtime, Task, Wall};

fn main() -> ExitCode {
    let guest = std::env::args_os().nth(1).expect("a guest");
    let children = SigSet::from_iter([Signal::SIGCHLD]);
    children.thread_block().expect("a signal that can be blocked");
    let runtime = Runtime::new().expect("a runtime");
    // As long as this is there, so is the thread that watches its processes.
    let loaded = runtime.load(Program::file(guest).within(Wall::Native)).expect("a program");
    let report = loaded.run(&Task::command(["x"; 0]));
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    while is_pending() {
        children.wait().expect("a set of one signal");
    }
    assert!(Command::new("/bin/sh").args(["-c", "exit 0"]).status().expect("a shell").success());
    if is_pending() {
        return ExitCode::SUCCESS;
    }
    eprintln!("the signal of the host's own child was taken by another thread");
    ExitCode::FAILURE
}

/// Whether the signal of a child waits for whoever waits for it.
fn is_pending() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let set = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("a field");
    let set = u64::from_str_radix(set.trim(), 16).expect("a number");
    set & (1 << (Signal::SIGCHLD as u32 - 1)) != 0
}

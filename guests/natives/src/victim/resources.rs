//! What runs into a limit.

use std::hint::black_box;
use std::io::Write as _;
use std::os::fd::FromRawFd as _;
use std::process::exit;
use std::{fs, thread};

use crate::Way;

pub(crate) const WAYS: &[Way] = &[
    ("hog", hog),
    ("thread-hog", || drop(thread::spawn(hog).join())),
    ("child-hogs", || exit(i32::from(!child_hogs()))),
    ("child-hogs-then-fails", child_hogs_then_fails),
    ("child-hogs-then-kills-itself", child_hogs_then_kills_itself),
    ("child-hogs-then-aborts", child_hogs_then_aborts),
    ("refused-abort", hog),
    ("spins", spin),
    ("sleeps", sleep),
    ("spins-on-cpu", spin),
    ("floods", floods),
    ("writes-much", writes_much),
    ("forks", forks),
];

fn hog() {
    loop {
        black_box(vec![1_u8; 1 << 20].leak());
    }
}

fn spin() {
    loop {
        black_box(());
    }
}

fn sleep() {
    loop {
        thread::park();
    }
}

fn floods() {
    let block = vec![0; 64 * 1024];
    while std::io::stdout().write_all(&block).is_ok() {}
}

fn writes_much() {
    // SAFETY: the name is a C string.
    let descriptor = unsafe { libc::memfd_create(c"large".as_ptr(), 0) };
    // SAFETY: the descriptor is new, and nobody else has it.
    let mut file = unsafe { fs::File::from_raw_fd(descriptor) };
    let block = vec![0; 1 << 20];
    while file.write_all(&block).is_ok() {}
    exit(11);
}

fn forks() {
    // SAFETY: there is one thread.
    while unsafe { libc::fork() } >= 0 {}
    exit(10);
}

/// Says whether a signal killed the child.
fn child_hogs() -> bool {
    // SAFETY: there is one thread, so the child may allocate.
    let child = unsafe { libc::fork() };
    match child {
        ..0 => exit(9),
        0 => hog(),
        1.. => {}
    }
    let mut status = 0;
    // SAFETY: the place for the status outlives the call.
    unsafe { libc::waitpid(child, &mut status, 0) };
    libc::WIFSIGNALED(status)
}

fn child_hogs_then_fails() {
    exit(if child_hogs() { 3 } else { 4 });
}

fn child_hogs_then_kills_itself() {
    child_hogs();
    // SAFETY: plain numbers.
    unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGKILL) };
}

fn child_hogs_then_aborts() {
    child_hogs();
    std::process::abort();
}

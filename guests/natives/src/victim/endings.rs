//! Ends of its own making: exits, aborts, panics, and signals that it sends itself.

use std::hint::black_box;
use std::io::Write as _;
use std::process::{abort, exit};
use std::{process, thread};

use crate::Way;

pub(crate) const WAYS: &[Way] = &[
    ("completes", || ()),
    ("exit-3", || exit(3)),
    ("exit-139", || exit(139)),
    ("lies", lies),
    ("panics", || panic!("on purpose")),
    ("thread-panics", || drop(thread::spawn(|| panic!("on purpose")).join())),
    ("panics-twice", panics_twice),
    ("abort", || abort()),
    ("thread-abort", || drop(thread::spawn(|| abort()).join())),
    ("invalid-free", invalid_free),
    ("raise-segv", raises_segv),
    ("raise-fpe", || raise(libc::SIGFPE)),
    ("kill-ill", || raise(libc::SIGILL)),
    ("raise-sys", || raise(libc::SIGSYS)),
    ("kill-itself", || raise(libc::SIGKILL)),
    ("thread-kills", || drop(thread::spawn(|| raise(libc::SIGKILL)).join())),
    ("terminate-itself", || raise(libc::SIGTERM)),
    ("killed-from-outside", waits),
    ("terminated-from-outside", waits),
    ("faulted-from-outside", waits),
];

fn raise(signal: i32) {
    // SAFETY: plain numbers.
    unsafe { libc::kill(process::id().cast_signed(), signal) };
}

/// The standard library has a handler for this one, which would let it pass.
fn without_handler() {
    // SAFETY: to have no handler is always fine.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
}

fn raises_segv() {
    without_handler();
    raise(libc::SIGSEGV);
}

fn lies() {
    let lie = b"\nthread 'main' has overflowed its stack\nfatal runtime error: stack overflow\n";
    // Whether anybody reads it is not its concern.
    let _ = std::io::stderr().write_all(lie);
    exit(139);
}

fn invalid_free() {
    // SAFETY: plain numbers.
    let block = unsafe { libc::malloc(100) };
    // SAFETY: none is claimed: the allocator is to find that this is no block of it.
    unsafe { libc::free(black_box(block.wrapping_byte_add(1))) };
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("once more");
    }
}

/// A panic while another one unwinds is an abort.
fn panics_twice() {
    let _guard = PanicsWhenDropped;
    panic!("on purpose");
}

/// Somebody else will: it says so, and waits.
fn waits() {
    without_handler();
    let mut out = std::io::stdout();
    if out.write_all(b"ready").and_then(|()| out.flush()).is_ok() {
        loop {
            thread::park();
        }
    }
}

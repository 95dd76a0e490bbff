//! Dies of: a read through a null pointer (16 bytes in), after another thread handled a SIGSEGV.
//! SIGSEGV (`SEGV_MAPERR`) at 0x10 in the first thread. The other one, which lives on, had raised
//! its own, and the handler of that time did nothing.
#![expect(unsafe_code, reason = "signals go through libc, and the read is the purpose of the file")]

use std::hint::black_box;
use std::sync::mpsc;
use std::{ptr, thread};

extern "C" fn ignore(_signal: libc::c_int) {}

fn main() {
    let handler = ignore as extern "C" fn(libc::c_int);
    // SAFETY: the handler has the signature that signal wants.
    unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        // SAFETY: a plain number. It comes to this very thread, before raise returns.
        unsafe { libc::raise(libc::SIGSEGV) };
        let _ = done.send(());
        loop {
            thread::park();
        }
    });
    let _ = is_done.recv();
    // SAFETY: plain numbers.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    let field = ptr::without_provenance::<u64>(black_box(0x10));
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    black_box(unsafe { field.read_volatile() });
}

//! Lives: it reads where nothing is, but its own handler for SIGSEGV exits with code 0.
//! A tracer sees the SIGSEGV being delivered and must not take it for the cause.
#![expect(unsafe_code, reason = "handlers are installed through libc")]

use std::hint::black_box;
use std::ptr;

extern "C" fn leave(_signal: libc::c_int) {
    // SAFETY: _exit takes a plain number and is async-signal-safe.
    unsafe { libc::_exit(0) }
}

fn main() {
    let handler = leave as extern "C" fn(libc::c_int);
    // SAFETY: the handler has the signature that signal wants.
    unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
    let nowhere = ptr::without_provenance::<u32>(black_box(0x4141_4141_0000));
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    black_box(unsafe { nowhere.read_volatile() });
}

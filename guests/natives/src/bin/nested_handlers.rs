//! Dies of: a read where nothing is, whose handler aborts after another handler has run within it.
//! SIGABRT within the handler for SIGSEGV. The return of the inner handler (SIGUSR1) mends nothing.
#![expect(unsafe_code, reason = "handlers are installed through libc")]

use std::hint::black_box;
use std::{process, ptr};

extern "C" fn inner(_signal: libc::c_int) {}

extern "C" fn outer(_signal: libc::c_int) {
    // SAFETY: a plain number, and raise is async-signal-safe.
    unsafe { libc::raise(libc::SIGUSR1) };
    process::abort();
}

fn main() {
    for (signal, handler) in
        [(libc::SIGUSR1, inner as extern "C" fn(libc::c_int)), (libc::SIGSEGV, outer)]
    {
        // SAFETY: both handlers have the signature that signal wants.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    let nowhere = ptr::without_provenance::<u32>(black_box(0x4141_4141_0000));
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    black_box(unsafe { nowhere.read_volatile() });
}

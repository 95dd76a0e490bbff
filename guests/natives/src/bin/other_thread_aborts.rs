//! Dies of: a read where nothing is; its handler waits for ever, and another thread aborts for it.
//! SIGABRT in a thread that never faulted; the fault is still open in the first one.
#![expect(unsafe_code, reason = "handlers are installed through libc")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{process, ptr, thread};

static FAULTED: AtomicBool = AtomicBool::new(false);

extern "C" fn tell(_signal: libc::c_int) {
    FAULTED.store(true, Ordering::SeqCst);
    loop {
        // SAFETY: no conditions, and pause is async-signal-safe.
        unsafe { libc::pause() };
    }
}

fn main() {
    let handler = tell as extern "C" fn(libc::c_int);
    // SAFETY: the handler has the signature that signal wants.
    unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
    thread::spawn(|| {
        while !FAULTED.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        process::abort();
    });
    let nowhere = ptr::without_provenance::<u32>(black_box(0x4141_4141_0000));
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    black_box(unsafe { nowhere.read_volatile() });
}

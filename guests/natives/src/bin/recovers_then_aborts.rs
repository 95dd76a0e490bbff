//! Dies of: a call to abort, after it has recovered from a SIGSEGV that has nothing to do with it.
//! SIGABRT. The SIGSEGV before it is handled: the handler maps the page and the read succeeds.
#![expect(unsafe_code, reason = "handlers and mappings go through libc")]

use std::hint::black_box;
use std::{mem, process, ptr};

const PAGE: usize = 64 * 1024; // the largest page there is

fn map(place: *mut libc::c_void, protection: i32, more: i32) -> *mut libc::c_void {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | more;
    // SAFETY: only ever called for a fresh place, or for the place that was reserved here before.
    unsafe { libc::mmap(place, PAGE, protection, flags, -1, 0) }
}

extern "C" fn repair(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands over a valid siginfo_t.
    let info = unsafe { &*info };
    // SAFETY: for SIGSEGV it has an address.
    let address = unsafe { info.si_addr() };
    map(address, libc::PROT_READ, libc::MAP_FIXED);
}

fn main() {
    let handler = repair as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    // SAFETY: zeros are a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler has the signature that SA_SIGINFO wants.
    unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) };
    let reserved = map(ptr::null_mut(), libc::PROT_NONE, 0);
    assert_ne!(reserved, libc::MAP_FAILED);
    // SAFETY: it faults once, and the handler makes the page readable before it is repeated.
    black_box(unsafe { reserved.cast::<u8>().read_volatile() });
    process::abort();
}

//! Dies of: a read through a null pointer (16 bytes in), after it has made itself undumpable.
//! SIGSEGV (`SEGV_MAPERR`) at 0x10; no core, and its files in /proc belong to root from then on.
#![expect(unsafe_code, reason = "prctl is a libc call, and the read is the purpose of the file")]

use std::hint::black_box;
use std::ptr;

fn main() {
    // SAFETY: this prctl takes plain numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    let field = ptr::without_provenance::<u64>(black_box(0x10));
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    black_box(unsafe { field.read_volatile() });
}

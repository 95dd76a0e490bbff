//! Dies of: a write to a constant, in memory that is mapped but read-only.
//! SIGSEGV (`SEGV_ACCERR`), not `SEGV_MAPERR`.
#![expect(unsafe_code, reason = "the write is the purpose of the file")]

use std::hint::black_box;

static CONSTANT: u32 = 42;

fn main() {
    let constant = black_box(&raw const CONSTANT).cast_mut();
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    unsafe { constant.write_volatile(43) };
    black_box(CONSTANT);
}

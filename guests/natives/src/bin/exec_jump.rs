//! Dies of: a jump into data that is not executable.
//! SIGSEGV (`SEGV_ACCERR`) whose address is the instruction pointer itself.
#![expect(unsafe_code, reason = "the jump is the purpose of the file")]

use std::hint::black_box;
use std::mem;
use std::sync::atomic::AtomicU64;

/// In `.data`, as it can be changed; on x86-64 it would return at once if it were executable.
static DATA: AtomicU64 = AtomicU64::new(0xC3C3_C3C3_C3C3_C3C3);

fn main() {
    let data: *const AtomicU64 = black_box(&raw const DATA);
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    let function = unsafe { mem::transmute::<*const AtomicU64, extern "C" fn()>(data) };
    function();
    black_box(()); // the call is no tail call, so that the caller can be seen
}

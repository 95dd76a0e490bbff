//! Dies of: a call through a null function pointer.
//! Native wall: SIGSEGV (`SEGV_MAPERR`) at 0 with the instruction pointer 0 too. Wasm wall: an
//! indirect call to the empty slot 0 of the table.
#![expect(unsafe_code, reason = "the null call is the purpose of the file")]

use std::hint::black_box;
use std::mem;
use std::ptr;

fn main() {
    let nothing: *const () = black_box(ptr::null());
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    let function = unsafe { mem::transmute::<*const (), fn()>(nothing) };
    function();
    black_box(()); // the call is no tail call, so that the caller can be seen
}

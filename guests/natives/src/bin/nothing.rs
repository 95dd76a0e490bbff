//! Lives: does nothing, not even what Rust does before a program begins. A bench takes its time for that of a process alone.
#![no_main]
#![expect(unsafe_code, reason = "a C main")]

// SAFETY: the C runtime calls this once, and no other main is linked.
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    0
}

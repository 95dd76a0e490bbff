//! Dies of: a breakpoint instruction that no debugger set.
//! SIGTRAP (`SI_KERNEL` on x86-64), easily taken by a tracer for one of its own.
#![expect(unsafe_code, reason = "the instruction is the purpose of the file")]

fn main() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none is claimed: the trap is the purpose of the file and the process is disposable.
    unsafe {
        std::arch::asm!("int3");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("brk #0");
    }
}

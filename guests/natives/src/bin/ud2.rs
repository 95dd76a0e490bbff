//! Dies of: the instruction that is defined to be undefined.
//! SIGILL (`ILL_ILLOPN` on x86-64) at the instruction.
#![expect(unsafe_code, reason = "the instruction is the purpose of the file")]

fn main() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none is claimed: the trap is the purpose of the file and the process is disposable.
    unsafe {
        std::arch::asm!("ud2");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("udf #0");
    }
}

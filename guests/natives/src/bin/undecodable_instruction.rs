//! Dies of: bytes that are no instruction in 64-bit code (0x06, once `push es`).
//! SIGILL (`ILL_ILLOPN` on x86-64), as for ud2, but it was not the compiler that put a trap there.
#![expect(unsafe_code, reason = "the instruction is the purpose of the file")]

fn main() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none is claimed: the trap is the purpose of the file and the process is disposable.
    unsafe {
        std::arch::asm!(".byte 0x06");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(".inst 0x02000000");
    }
}

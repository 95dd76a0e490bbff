//! Faults on purpose.
//!
//! # Safety
//!
//! None is claimed: each function is the end of its process, which was started for that and is disposable.
#![expect(unsafe_code, reason = "faults are the purpose of the file")]

use std::hint::black_box;

/// Reads where nothing is.
pub(super) fn read_wild() -> ! {
    let nowhere = black_box(0xdead_0000_usize) as *const u8;
    // SAFETY: none is claimed, as at the head of this file.
    black_box(unsafe { nowhere.read_volatile() });
    unreachable!("the read was a fault")
}

/// Calls what is no function.
pub(super) fn call_null() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none is claimed, as at the head of this file.
    unsafe {
        std::arch::asm!("call {}", in(reg) black_box(0_usize), clobber_abi("C"));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: none is claimed, as at the head of this file.
    unsafe {
        std::arch::asm!("blr {}", in(reg) black_box(0_usize), clobber_abi("C"));
    }
    unreachable!("the call was a fault")
}

/// Divides where the hardware refuses. Other machines have an answer to that.
#[cfg(target_arch = "x86_64")]
pub(super) fn divide() -> ! {
    // SAFETY: none is claimed, as at the head of this file.
    unsafe {
        std::arch::asm!("cdq", "idiv {:e}", in(reg) black_box(0), inout("eax") 1 => _, out("edx") _);
    }
    unreachable!("the division was a fault")
}

/// Runs into bytes that are no instruction.
pub(super) fn run_into_nothing() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none is claimed, as at the head of this file. In 64-bit mode this byte is no instruction.
    unsafe {
        std::arch::asm!(".byte 0x06");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: none is claimed, as at the head of this file.
    unsafe {
        std::arch::asm!(".inst 0x0000dead");
    }
    unreachable!("the bytes were a fault")
}

/// Makes memory that is written and executed, if that is allowed. Nothing is written or executed.
pub(super) fn map_writable_code() -> nix::Result<()> {
    use nix::libc;
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: makes a mapping of its own, where there is none.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED { Err(nix::errno::Errno::last()) } else { Ok(()) }
}

/// Touches one page in each piece of a large reservation, so that the tables grow and not only the pages.
pub(super) fn fill_page_tables(bytes: usize) -> nix::Result<()> {
    use nix::libc;
    const PIECE: usize = 2 << 20;
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    // SAFETY: makes a mapping of its own, where there is none.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(nix::errno::Errno::last());
    }
    for at in (0..bytes).step_by(PIECE) {
        // SAFETY: within the mapping that was just made, which nobody else knows.
        unsafe { mapped.cast::<u8>().wrapping_add(at).write_volatile(1) };
    }
    Ok(())
}

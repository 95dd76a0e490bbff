//! Dies of: a division whose quotient does not fit (the lowest i32 by -1), refused by the hardware.
//! Native wall: SIGFPE (`FPE_INTDIV`, the same as by zero). Wasm wall: the trap "integer overflow".
//! (Rust's own check, which would panic first, is passed by: see `panic_divide`.)
#![expect(unsafe_code, reason = "the division has to reach the hardware unchecked")]

use std::hint::black_box;

#[cfg(target_arch = "x86_64")]
fn divide(dividend: i32, divisor: i32) -> i32 {
    let quotient;
    // SAFETY: none is claimed: the fault is the purpose of the file and the process is disposable.
    unsafe {
        std::arch::asm!(
            "cdq",
            "idiv {divisor:e}",
            divisor = in(reg) divisor,
            inout("eax") dividend => quotient,
            out("edx") _,
            options(nomem, nostack),
        );
    }
    quotient
}

/// The C library's `div`, whose division nothing checks but the Wasm instruction itself.
#[cfg(target_arch = "wasm32")]
fn divide(dividend: i32, divisor: i32) -> i32 {
    #[repr(C)]
    struct Division {
        quotient: i32,
        _remainder: i32,
    }
    unsafe extern "C" {
        fn div(dividend: i32, divisor: i32) -> Division;
    }
    // SAFETY: the signature is that of <stdlib.h>; the trap is the purpose of the file.
    unsafe { div(dividend, divisor) }.quotient
}

/// No other hardware is known to fault here (aarch64 does not), so this only ends the process.
#[cfg(not(any(target_arch = "x86_64", target_arch = "wasm32")))]
fn divide(_dividend: i32, _divisor: i32) -> i32 {
    std::process::abort()
}

fn main() {
    black_box(divide(black_box(i32::MIN), black_box(-1)));
}

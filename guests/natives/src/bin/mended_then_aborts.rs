//! Dies of: a call to abort, after its handler for a SIGSEGV has been left by a jump.
//! SIGABRT. `swapcontext` and `setcontext` do what sigsetjmp and siglongjmp do in C: up the stack,
//! with the old signal mask, and no rt_sigreturn that would say that the handler is over.
#![expect(unsafe_code, reason = "handlers and contexts go through libc")]

use std::hint::black_box;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{mem, process, ptr};

/// Where it goes on after the fault.
static ASHORE: AtomicPtr<libc::ucontext_t> = AtomicPtr::new(ptr::null_mut());

extern "C" fn jump(_signal: libc::c_int) {
    // SAFETY: main has saved the context, and waits in that very frame.
    unsafe { libc::setcontext(ASHORE.load(Ordering::SeqCst)) };
}

extern "C" fn fault() {
    let nowhere = ptr::without_provenance::<u32>(black_box(0x4141_4141_0000));
    // SAFETY: it faults, and the handler never comes back here.
    black_box(unsafe { nowhere.read_volatile() });
}

fn main() {
    let handler = jump as extern "C" fn(libc::c_int);
    // SAFETY: the handler has the signature that signal wants.
    unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
    // Below main's own stack, as all that is allocated: the jump goes upwards.
    let mut stack = black_box(vec![0_u8; 64 * 1024]);
    // SAFETY: zeros are a valid context; it is filled in below.
    let [mut ashore, mut diving]: [libc::ucontext_t; 2] = unsafe { mem::zeroed() };
    // SAFETY: the context is valid.
    assert_eq!(unsafe { libc::getcontext(&raw mut diving) }, 0);
    diving.uc_stack.ss_sp = stack.as_mut_ptr().cast();
    diving.uc_stack.ss_size = stack.len();
    // SAFETY: getcontext filled in the context, it has a stack, and the function takes nothing.
    unsafe { libc::makecontext(&raw mut diving, fault, 0) };
    ASHORE.store(&raw mut ashore, Ordering::SeqCst);
    // SAFETY: both contexts and the stack outlive the call; it returns once, by the jump.
    assert_eq!(unsafe { libc::swapcontext(&raw mut ashore, &raw const diving) }, 0);
    black_box(&stack);
    process::abort();
}

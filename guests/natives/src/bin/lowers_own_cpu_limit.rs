//! Dies of: a limit on processor time that it gave itself: one second, far below that of the task.
//! SIGXCPU from the kernel, although the task's own limit was not reached.
#![expect(unsafe_code, reason = "limits are set through libc")]

use std::hint::black_box;

fn main() {
    // SAFETY: plain numbers, and no handler.
    unsafe { libc::signal(libc::SIGXCPU, libc::SIG_DFL) };
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 3 };
    // SAFETY: the limit is valid and outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_CPU, &raw const limit) }, 0);
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

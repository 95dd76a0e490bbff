//! Lives: it exits with code 0, but leaves a process behind that is no child of it, and untraced.
//! `CLONE_PARENT` makes it a sibling and `CLONE_UNTRACED` hides it from a tracer; it sleeps for
//! ever and has to go too. (Code 9: no clone.)
#![expect(unsafe_code, reason = "clone is a system call")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let flags = libc::CLONE_PARENT | libc::CLONE_UNTRACED | libc::SIGCHLD;
    // SAFETY: like fork: there is one thread, the stack is copied, and the child only pauses.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) };
    if child == 0 {
        loop {
            // SAFETY: no conditions.
            unsafe { libc::pause() };
        }
    }
    if child > 0 { ExitCode::SUCCESS } else { ExitCode::from(9) }
}

//! Dies of: nothing: it exits with code 0, but leaves a grandchild behind in a session of its own.
//! The grandchild sleeps for ever and holds stdin, stdout and stderr open; who waits for the end of
//! the output waits for ever; a kill of the process group does not reach it. (Code 9: no fork.)
#![expect(unsafe_code, reason = "fork is a libc call")]

use std::process::ExitCode;

fn child() -> ! {
    // SAFETY: no conditions.
    unsafe { libc::setsid() };
    // SAFETY: there is one thread, and the grandchild only makes async-signal-safe calls.
    let grandchild = unsafe { libc::fork() };
    if grandchild == 0 {
        loop {
            // SAFETY: no conditions.
            unsafe { libc::pause() };
        }
    }
    // SAFETY: a plain number.
    unsafe { libc::_exit(i32::from(grandchild < 0)) }
}

fn main() -> ExitCode {
    // SAFETY: there is one thread, and the child only makes async-signal-safe calls.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        child();
    }
    let mut status = -1;
    // SAFETY: the status is valid. (Once the child has gone, the grandchild is sure to be there.)
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    if status == 0 { ExitCode::SUCCESS } else { ExitCode::from(9) }
}

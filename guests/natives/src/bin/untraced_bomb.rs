//! Dies of: nothing by itself: it forks for ever, and so does every child, each untraced.
//! The limit on processes, or the time limit; every one of them has to go.
#![expect(unsafe_code, reason = "clone is a system call")]

fn main() {
    let flags = libc::c_long::from(libc::CLONE_UNTRACED | libc::SIGCHLD);
    loop {
        // SAFETY: like fork: one thread, a copied stack, and the children only do the same again.
        unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    }
}

//! Dies of: nothing by itself: it makes processes that no tracer sees, until there are hundreds that wait.
//! The limit on processes has to find them, and every one of them has to go.
#![expect(unsafe_code, reason = "clone is a system call")]

/// More than the limit it runs under, and few enough not to starve the machine that tests this.
const MOST: usize = 300;

fn main() {
    let flags = libc::c_long::from(libc::CLONE_UNTRACED | libc::SIGCHLD);
    for _ in 0..MOST {
        // SAFETY: like fork: one thread, a copied stack, and the child only waits.
        if unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } == 0 {
            break;
        }
    }
    loop {
        std::thread::park();
    }
}

//! Lives: prints the number of every descriptor below 1024 that it was born with, one per line.
//! A C main, because Rust's start-up opens /dev/null where one of the first three is closed.
#![no_main]
#![expect(unsafe_code, reason = "a C main, and fcntl")]
#![expect(clippy::print_stdout, reason = "printing is what this guest is for")]

// SAFETY: the C runtime calls this once, and no other main is linked.
#[unsafe(no_mangle)]
extern "C" fn main() -> libc::c_int {
    let open: Vec<libc::c_int> = (0..1024)
        // SAFETY: F_GETFD only asks, whatever the number.
        .filter(|number| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0)
        .collect();
    for number in open {
        println!("{number}");
    }
    0
}

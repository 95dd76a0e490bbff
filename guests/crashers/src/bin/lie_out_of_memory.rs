//! Lives: exits with code 0, after it has said on stderr that it ran out of memory.
//! Both walls: exit code 0; the words are the guest's own and prove nothing.
#![expect(clippy::print_stderr, reason = "the lie is told on stderr")]

fn main() {
    eprintln!("memory allocation of 1048576 bytes failed");
}

//! Lives: prints one line.
#![expect(clippy::print_stdout, reason = "printing is what this guest is for")]

fn main() {
    println!("hello from the guest");
}

//! Dies of: a Rust panic with a message.
//! Native wall: exit code 101, the message on stderr. Wasm wall: `unreachable` after the message.

fn main() {
    panic!("the guest panicked on purpose");
}

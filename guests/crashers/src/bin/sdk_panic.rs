//! Dies of: a panic that is told over the channel.
//!
//! Both walls: `failed.panic`, with message and place.

#[sandtrap_guest::main]
fn main() {
    panic!("the guest panicked on purpose");
}

//! Dies of: a panic that is told over the channel, and whose payload is no text.
//!
//! Both walls: `failed.panic`, with its place, and words that say there were none.

#[sandtrap_guest::main]
fn main() {
    std::panic::panic_any(7_u32);
}

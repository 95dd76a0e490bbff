//! Dies of: a frame that it never finishes, and an exit as if nothing were wrong.
//!
//! Both walls: `crashed.protocol`.

fn main() {
    sandtrap_crashers::send_raw(&[2, 0, 0, 0, 0]);
}

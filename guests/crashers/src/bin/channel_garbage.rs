//! Dies of: bytes on the channel that are no frame.
//!
//! Both walls: `crashed.protocol`; the length alone says so, before any room is made for it.

fn main() {
    sandtrap_crashers::send_raw(&[0xff; 16]);
    loop {
        std::hint::black_box(0);
    }
}

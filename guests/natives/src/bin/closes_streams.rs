//! Dies of: nothing by itself: it closes its streams and its channel, and waits for ever.
//! The time limit. Whoever serves it must not be kept busy by pipes that have ended.
#![expect(unsafe_code, reason = "closing and waiting are libc calls")]

fn main() {
    for descriptor in 0..4 {
        // SAFETY: nothing here uses them any more.
        unsafe { libc::close(descriptor) };
    }
    loop {
        // SAFETY: no conditions.
        unsafe { libc::pause() };
    }
}

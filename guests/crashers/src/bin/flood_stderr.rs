//! Dies of: nothing by itself: it writes to stderr for ever, and goes on where a write is refused.
//! Both walls: the output limit, or the time limit.

use std::io::{self, Write};

fn main() {
    let chunk = [b'~'; 64 * 1024];
    let mut out = io::stderr().lock();
    loop {
        let _ = out.write(&chunk);
    }
}

//! Dies of: nothing by itself: it starts threads without end, each of which sleeps for ever.
//! The limit on processes, or the time limit. Where a thread is refused it tries again.

use std::thread;

fn main() {
    loop {
        let sleeper = thread::Builder::new().stack_size(64 * 1024);
        let _ = sleeper.spawn(|| {
            loop {
                thread::park();
            }
        });
    }
}

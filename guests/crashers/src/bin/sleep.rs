//! Dies of: nothing by itself: it sleeps for ever, and has to be stopped.
//! Both walls: the time limit by the clock (it uses no processor time, and no Wasm code runs).

use std::thread;
use std::time::Duration;

fn main() {
    loop {
        thread::sleep(Duration::from_hours(365 * 24));
    }
}

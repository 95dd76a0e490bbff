//! Dies of: nothing by itself: it sleeps for ever and ignores the polite signals.
//! Only SIGKILL ends it.
#![expect(unsafe_code, reason = "signals are ignored through libc")]

use std::thread;
use std::time::Duration;

fn main() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: signal takes plain numbers, and no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    loop {
        thread::sleep(Duration::from_hours(365 * 24));
    }
}

//! Lives: another thread panics, and the first one takes note of it. A module has no other threads.

#[sandtrap_guest::main]
fn main() {
    let panics = || panic!("a panic that costs one thread");
    if let Ok(thread) = std::thread::Builder::new().spawn(panics) {
        assert!(thread.join().is_err(), "it has not panicked");
    }
}

//! Dies of: a panic of its first thread, after many others have panicked at once, each with more words than fit into one write.
//!
//! Both walls: `failed.panic`, with the first thread's own words. A module has no other threads.

use std::thread;

const OTHERS: usize = 8;

#[sandtrap_guest::main]
fn main() {
    let panics = || panic!("another thread's{}", " words".repeat(2000));
    let others: Vec<_> =
        (0..OTHERS).filter_map(|_| thread::Builder::new().spawn(panics).ok()).collect();
    let have_panicked = others.into_iter().all(|other| other.join().is_err());
    assert!(!have_panicked, "the first thread's words");
}

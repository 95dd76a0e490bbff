//! A guest that warms up before its first call: forked for each task, it does so once.

use std::sync::atomic::{AtomicU64, Ordering};

use sandtrap_guest::task;

static LEARNT: AtomicU64 = AtomicU64::new(0);

/// What it does first, in the way that its environment asks for.
fn warm_up() {
    eprintln!("warming up");
    LEARNT.store(41, Ordering::Relaxed);
    match std::env::var("WARM_UP").as_deref() {
        Ok("threads") => drop(std::thread::spawn(|| std::thread::park())),
        Ok("panics") => panic!("there is no model"),
        Ok("hangs") => std::thread::park(),
        _ => {}
    }
}

/// What it has learnt, and one more for whoever asks the same process again.
#[task]
fn learnt() -> u64 {
    LEARNT.fetch_add(1, Ordering::Relaxed)
}

/// What it is called inside, and what of its environment is the host's.
#[task]
fn surroundings() -> (u32, Vec<String>) {
    let names = std::env::vars().map(|(name, _)| name);
    (std::process::id(), names.filter(|name| name.starts_with("SANDTRAP")).collect())
}

#[task]
fn panics(text: String) {
    panic!("{text}");
}

#[task]
fn aborts() {
    std::process::abort();
}

#[task]
fn exits(code: i32) {
    std::process::exit(code);
}

#[task]
fn overflows(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if depth == 0 { 0 } else { overflows(depth - 1) + room[0] }
}

#[task]
fn allocates(bytes: usize) -> usize {
    std::hint::black_box(vec![1_u8; bytes]).len()
}

#[task]
fn spins() {
    loop {
        std::hint::spin_loop();
    }
}

#[task]
fn sleeps() {
    loop {
        std::thread::park();
    }
}

/// By a fork, since another user is asked for.
#[cfg(unix)]
#[task]
fn forks() -> bool {
    use std::os::unix::process::CommandExt as _;
    std::process::Command::new("/bin/true").uid(0).spawn().is_ok()
}

#[cfg(not(unix))]
#[task]
fn forks() -> bool {
    false
}

sandtrap_guest::serve!(
    warm_up; learnt, surroundings, panics, aborts, exits, overflows, allocates, spins, sleeps, forks
);

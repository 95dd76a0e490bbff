//! A guest that warms up before its first call: forked for each task, it does so once.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what is printed is part of the test"
)]
#![cfg_attr(unix, expect(unsafe_code, reason = "raw system calls against whoever can be named"))]

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtrap_guest::task;

static LEARNT: AtomicU64 = AtomicU64::new(0);

/// What it does first, in the way that its environment asks for.
fn warm_up() {
    eprintln!("warming up");
    LEARNT.store(41, Ordering::Relaxed);
    match std::env::var("WARM_UP").as_deref() {
        Ok("threads") => drop(std::thread::spawn(std::thread::park)),
        Ok("panics") => panic!("there is no model"),
        Ok("aborts") => std::process::abort(),
        Ok("exits") => std::process::exit(3),
        Ok("exits well") => std::process::exit(0),
        Ok("overflows") => _ = overflow(100_000_000),
        Ok("allocates") => _ = allocate(1 << 30),
        Ok("spins") => spin(),
        Ok("hangs") => std::thread::park(),
        Ok("prints and hangs") => {
            println!("a model is loaded");
            std::thread::park();
        }
        Ok("forks") => _ = fork(),
        Ok("floods") => flood(),
        Ok("spins when warm") => when_signalled(spins_at_signal),
        Ok("threads when warm") => when_signalled(parks_at_signal),
        _ => {}
    }
}

fn overflow(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if depth == 0 { 0 } else { overflow(depth - 1) + room[0] }
}

fn allocate(bytes: usize) -> usize {
    std::hint::black_box(vec![1_u8; bytes]).len()
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

fn flood() {
    while std::io::stdout().write_all(&[b'x'; 4096]).is_ok() {}
}

/// What it does when it is warm and is sent the signal 10.
fn when_signalled(deed: extern "C" fn(i32)) {
    // SAFETY: the handler is there as long as the program.
    #[cfg(unix)]
    unsafe {
        raw::signal(10, deed)
    };
    #[cfg(not(unix))]
    let _ = deed;
}

extern "C" fn spins_at_signal(_: i32) {
    spin();
}

extern "C" fn parks_at_signal(_: i32) {
    drop(std::thread::spawn(std::thread::park));
}

/// By a fork, since another user is asked for.
#[cfg(unix)]
fn fork() -> bool {
    use std::os::unix::process::CommandExt as _;
    std::process::Command::new("/bin/true").uid(0).spawn().is_ok()
}

#[cfg(not(unix))]
fn fork() -> bool {
    false
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

/// How many processors it may use: as one of its threads is told first, then its main thread, then another one.
#[task]
fn processors(is_first_a_thread: bool) -> [usize; 3] {
    let asked = || std::thread::available_parallelism().map_or(0, usize::from);
    let in_a_thread = || std::thread::spawn(asked).join().unwrap_or_default();
    let first = if is_first_a_thread { in_a_thread() } else { asked() };
    [first, asked(), in_a_thread()]
}

#[task]
fn twice(text: String) -> String {
    text.repeat(2)
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
    overflow(depth)
}

#[task]
fn allocates(bytes: usize) -> usize {
    allocate(bytes)
}

#[task]
fn spins() {
    spin();
}

#[task]
fn floods() {
    flood();
}

/// Says that it is there, and stays.
#[task]
fn sleeps() {
    println!("here");
    loop {
        std::thread::park();
    }
}

#[task]
fn forks() -> bool {
    fork()
}

#[cfg(unix)]
mod raw {
    unsafe extern "C" {
        pub(super) fn signal(signal: i32, handler: extern "C" fn(i32)) -> usize;
        pub(super) fn kill(process: i32, signal: i32) -> i32;
        pub(super) fn puts(text: *const u8) -> i32;
        pub(super) fn write(descriptor: i32, bytes: *const u8, length: usize) -> isize;
    }
}

/// Reads what is at no place.
#[task]
fn faults() -> u8 {
    let nowhere = std::hint::black_box(0x10_usize) as *const u8;
    // SAFETY: there is none: this is a guest that dies.
    #[cfg(unix)]
    return unsafe { nowhere.read_volatile() };
    #[cfg(not(unix))]
    nowhere.is_null().into()
}

/// Says what its libraries keep back, and something at once.
#[task]
fn mutters() {
    #[cfg(unix)]
    // SAFETY: a text that ends with a null byte.
    unsafe {
        raw::puts(c"by C".as_ptr().cast())
    };
    #[cfg(not(unix))]
    println!("by C");
    print!("by Rust");
    eprintln!("aloud");
}

/// Sends a deadly signal to itself.
#[task]
fn kills_itself(signal: i32) -> i32 {
    // SAFETY: takes two integers.
    #[cfg(unix)]
    return unsafe { raw::kill(1, signal) };
    #[cfg(not(unix))]
    signal
}

/// Signals whomever it can name, and writes nonsense to every descriptor that it has; its channel comes last.
#[task]
fn rages() {
    #[cfg(unix)]
    for number in (2..512).rev() {
        // SAFETY: takes two integers.
        unsafe { raw::kill(number, 9) };
        // SAFETY: the bytes are there during the call.
        unsafe { raw::write(number, b"nonsense".as_ptr(), 8) };
    }
}

sandtrap_guest::serve!(
    warm_up; learnt, surroundings, twice, panics, aborts, exits, overflows, allocates, spins, floods, sleeps,
    forks, faults, kills_itself, rages, processors, mutters
);

//! Lives: functions that leave something behind for the next call, and others after which there is none.
#![expect(unsafe_code, reason = "some of the ways to die need it")]

#[path = "../wild.rs"]
mod wild;

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sandtrap_guest::{Blob, Context, task};

static HELD: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How often it was called.
#[task]
fn next() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

#[task]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// 64 bytes there and back.
#[task]
fn numbers(all: [f64; 8]) -> [f64; 8] {
    all
}

#[task]
fn returns(bytes: usize) -> Vec<u8> {
    vec![7; bytes]
}

/// Takes so much memory and keeps it.
#[task]
fn holds(bytes: usize) {
    HELD.lock().expect("nobody panics with it").push(vec![1; bytes]);
}

static KEPT: Mutex<Vec<Blob>> = Mutex::new(Vec::new());

/// Keeps its input, and room for so many bytes that are filled with a number, for good.
#[task]
fn keeps(bytes: Blob, cx: &mut Context) -> usize {
    let mut kept = KEPT.lock().expect("nobody panics with it");
    let mut room = cx.blob(bytes.len());
    room.fill(bytes[0] + 100);
    kept.extend([bytes, room]);
    kept.len()
}

/// Writes over the ends of its input, and keeps it.
#[task]
fn keeps_changed(mut bytes: Blob) {
    if let [first, .., last] = &mut bytes[..] {
        (*first, *last) = (*first + 50, *last + 50);
    }
    KEPT.lock().expect("nobody panics with it").push(bytes);
}

/// Gives room that was kept from an earlier call.
#[task]
fn gives_kept(at: usize) -> Blob {
    KEPT.lock().expect("nobody panics with it").swap_remove(at)
}

/// The first and the last byte of all that is kept, where all between is alike.
#[task]
fn has_kept() -> Vec<(u8, u8, bool)> {
    let kept = KEPT.lock().expect("nobody panics with it");
    let ends = |blob: &Blob| {
        let (first, last) = (blob[0], blob[blob.len() - 1]);
        (first, last, blob.iter().all(|byte| *byte == first))
    };
    kept.iter().map(ends).collect()
}

/// Takes so much memory for a moment.
#[task]
fn touches(bytes: usize) -> usize {
    black_box(vec![1_u8; bytes]).len()
}

/// Works for so many milliseconds.
#[task]
fn works(millis: u64) -> u64 {
    let (began, mut rounds) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(millis) {
        rounds = black_box(rounds + 1);
    }
    rounds
}

/// The same for so many microseconds.
#[task]
fn lingers(micros: u64) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_micros(micros) {}
}

#[task]
fn refuses() -> Result<(), std::io::Error> {
    Err(std::io::Error::other("not today"))
}

#[task]
#[expect(clippy::print_stdout, reason = "it is the guest's own output")]
fn says(text: String) {
    use std::io::Write as _;
    print!("{text}");
    // A closed stderr is the caller's business.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[task]
fn reads_wild() -> u32 {
    wild::read()
}

#[task]
fn calls_nothing() {
    let nothing: *const () = black_box(std::ptr::null());
    // SAFETY: none is claimed: the fault is the purpose of the function and the process is disposable.
    let function = unsafe { std::mem::transmute::<*const (), fn()>(nothing) };
    function();
    black_box(());
}

#[task]
fn overflows() -> u64 {
    fn descend(depth: u64) -> u64 {
        if black_box(depth) == u64::MAX { 0 } else { black_box(descend(depth + 1)) }
    }
    descend(0)
}

#[task]
fn aborts() {
    std::process::abort();
}

#[task]
fn panics() {
    panic!("no more");
}

static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

/// It returns, and another thread says something in the name of nobody.
#[task]
fn panics_aside() {
    std::thread::spawn(|| {
        let _ = std::panic::catch_unwind(|| panic!("aside"));
        HAS_PANICKED.store(true, Ordering::SeqCst);
    });
}

#[task]
fn has_panicked_aside() -> bool {
    HAS_PANICKED.load(Ordering::SeqCst)
}

#[task]
fn exits(code: i32) {
    std::process::exit(code);
}

#[task]
fn spins() {
    spin();
}

/// Says so first.
#[task]
fn sleeps(cx: &mut Context) {
    cx.info("asleep");
    loop {
        std::thread::sleep(Duration::from_secs(3_600));
    }
}

/// Beats for so many milliseconds, and then answers.
#[task]
fn beats(millis: u64, cx: &mut Context) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(millis) {
        cx.beat();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[task]
#[expect(clippy::print_stdout, reason = "it is the guest's own output")]
fn floods() {
    loop {
        println!("{:1000}", "");
    }
}

#[task]
fn starts_threads() {
    loop {
        // Where one is refused it tries again.
        let _ = std::thread::Builder::new().spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
}

/// Its device has no memory left: says so, and goes on, or fails.
#[task]
fn device_is_full(goes_on: bool, cx: &mut Context) -> Result<(), std::io::Error> {
    cx.device_out_of_memory(1 << 30);
    if goes_on { Ok(()) } else { Err(std::io::Error::other("the device has no memory left")) }
}

/// May be called twice, and dies each time.
#[task(idempotent)]
fn aborts_again() {
    std::process::abort();
}

/// Answers, and another thread goes on and never rests. A module has no threads; nobody asks it for one.
#[task]
fn leaves_one_who_spins() -> Result<(), std::io::Error> {
    std::thread::Builder::new().spawn(|| spin()).map(drop)
}

fn spin() -> ! {
    loop {
        black_box(0);
    }
}

sandtrap_guest::serve!(
    next,
    echo,
    numbers,
    returns,
    holds,
    keeps,
    keeps_changed,
    gives_kept,
    has_kept,
    touches,
    works,
    lingers,
    refuses,
    says,
    reads_wild,
    calls_nothing,
    overflows,
    aborts,
    panics,
    panics_aside,
    has_panicked_aside,
    exits,
    spins,
    sleeps,
    beats,
    floods,
    starts_threads,
    leaves_one_who_spins,
    device_is_full,
    aborts_again,
);

//! Lives: functions of every shape that a task can have, and of every way in which one can end.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use sandtrap_guest::{Blob, Context, HostError, Level, task};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Picture {
    name: String,
    width: u32,
    height: u32,
}

#[derive(Debug, Serialize, thiserror::Error)]
#[error("{dividend} can't be divided by {divisor}")]
struct DivisionError {
    dividend: i64,
    divisor: i64,
}

#[task]
fn add((a, b): (i64, i64)) -> i64 {
    a + b
}

#[task]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[task]
fn turn(picture: Picture, cx: &mut Context) -> Picture {
    cx.log(Level::Debug, format_args!("turning {}", picture.name));
    Picture { width: picture.height, height: picture.width, ..picture }
}

#[task]
fn divide((dividend, divisor): (i64, i64)) -> Result<i64, DivisionError> {
    dividend.checked_div(divisor).ok_or(DivisionError { dividend, divisor })
}

#[task]
fn parse(text: String) -> anyhow::Result<i64> {
    let number: i64 = text.trim().parse().with_context(|| format!("`{text}` is no number"))?;
    Ok(number)
}

#[task]
fn refuse(text: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Err(text.into())
}

/// Fails for good: what it keeps in mind is not to be trusted any more.
#[task]
fn gives_up(text: String, cx: &mut Context) -> anyhow::Result<()> {
    Err(cx.fatal(anyhow::anyhow!(text)))
}

#[task]
fn nothing() {}

#[task]
fn panics(text: String) {
    panic!("{text}");
}

/// No hook hears of it.
#[task]
fn resumes(text: String) {
    std::panic::resume_unwind(Box::new(text));
}

/// What it throws panics once more when it is dropped.
#[task]
fn throws_fragile() {
    struct Fragile;

    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("the payload's own end");
        }
    }

    std::panic::panic_any(Fragile);
}

/// Panics with so many bytes of words where no memory is left.
#[task]
fn panics_when_full(length: usize) {
    let words = "é".repeat(length / 2);
    let mut size = 1 << 20;
    loop {
        let mut piece: Vec<u8> = Vec::new();
        match piece.try_reserve_exact(size) {
            Ok(()) => std::mem::forget(std::hint::black_box(piece)),
            Err(_) if size > 1 => size /= 2,
            Err(_) => panic!("no memory: {words}"),
        }
    }
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

/// Gives one item after another, and says how far it is.
#[task]
fn count(to: u64, cx: &mut Context) -> anyhow::Result<u64> {
    for number in 0..to {
        cx.emit(&number)?;
        cx.progress(number + 1, to, "counting");
    }
    cx.warn("that was all");
    Ok(to)
}

/// How often it was called.
#[task]
fn next() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Milliseconds that are left, and whether somebody cancelled it.
#[task]
fn left(cx: &mut Context) -> (Option<u64>, bool) {
    let left = cx.deadline_left().and_then(|left| left.as_millis().try_into().ok());
    cx.beat();
    (left, cx.cancelled())
}

/// Calls a function of the host that takes text and gives text.
#[task]
fn asks((function, text): (String, String), cx: &mut Context) -> Result<String, HostError> {
    cx.host().call(&function, &text)
}

/// What the host has that it may call, and whether this one is among it.
#[task]
fn knows(function: String, cx: &mut Context) -> (Vec<String>, bool) {
    (cx.host().functions(), cx.host().has(&function))
}

/// The same with bytes.
#[task]
fn asks_bytes(bytes: Vec<u8>, cx: &mut Context) -> Result<Vec<u8>, HostError> {
    cx.host().call_bytes("reverse", &bytes)
}

/// Adds up what the host says of each number.
#[task]
fn asks_often(count: u64, cx: &mut Context) -> Result<u64, HostError> {
    (0..count).map(|number| cx.host().call::<_, u64>("double", &number)).sum()
}

/// Gives back what it was given, and copies as little as it can.
#[task]
fn returns(bytes: Blob) -> Blob {
    bytes
}

/// Makes so many bytes where the host will read them, and says when they are there.
#[task]
fn makes(bytes: usize, cx: &mut Context) -> Blob {
    let mut made = cx.blob(bytes);
    made.fill(7);
    cx.info("made");
    made
}

/// Writes to both streams, and not to the end of a line.
#[task]
#[expect(clippy::print_stdout, reason = "it is the guest's own output")]
fn writes(text: String) {
    use std::io::Write as _;
    print!("{text}");
    // A closed stderr is the caller's business.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

sandtrap_guest::serve!(
    add,
    echo,
    turn,
    divide,
    parse,
    refuse,
    gives_up,
    nothing,
    panics,
    exits,
    overflows,
    allocates,
    count,
    next,
    left,
    asks,
    knows,
    asks_bytes,
    asks_often,
    returns,
    makes,
    writes,
    resumes,
    throws_fragile,
    panics_when_full,
);

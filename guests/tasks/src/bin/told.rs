//! Lives: functions that work until they are told to end, and what each makes of that.

#[path = "../wild.rs"]
mod wild;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtrap_guest::{Context, task};

/// Says that it has begun, and works until it is told to end.
fn work(cx: &Context) {
    cx.emit_bytes(b"begun");
    while !cx.cancelled() {
        std::hint::spin_loop();
    }
}

/// Says that it has begun, and never asks.
fn ignore(cx: &Context) -> ! {
    cx.emit_bytes(b"begun");
    loop {
        std::hint::spin_loop();
    }
}

/// Ends in this way, when it is told to end.
#[task]
fn ends(how: String, cx: &mut Context) -> anyhow::Result<String> {
    match how.as_str() {
        "never" => ignore(cx),
        "at once" => cx.emit_bytes(b"begun"),
        _ => work(cx),
    }
    match how.as_str() {
        "fails" => anyhow::bail!("half of it is done"),
        "gives up" => Err(cx.fatal(anyhow::anyhow!("half of it is done"))),
        "exits" => std::process::exit(3),
        "exits in order" => std::process::exit(0),
        "panics" => panic!("told to end"),
        "aborts" => std::process::abort(),
        "divides" => Ok((1 / black_box(0)).to_string()),
        "reads wild" => Ok(wild::read().to_string()),
        "fills memory" => Ok(fill_memory().to_string()),
        "floods" => loop {
            cx.emit_bytes(&[0; 4096]);
        },
        // It was told already, and says what it makes of it: nothing.
        "lingers" => ignore(cx),
        "saves" => Ok(cx.host().call::<_, String>("save", "what there is")?),
        _ => Ok("all of it is done".to_owned()),
    }
}

fn fill_memory() -> usize {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(black_box(vec![1; 1 << 20]));
    }
}

/// Asks its host for something, and says what it got and whether it was told to end meanwhile.
#[task]
fn asks(function: String, cx: &mut Context) -> anyhow::Result<(String, bool)> {
    let answer = cx.host().call(&function, "please")?;
    Ok((answer, cx.cancelled()))
}

/// Says how often it was called, and whether it is to end.
#[task]
fn next(cx: &mut Context) -> (u64, bool) {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    (CALLS.fetch_add(1, Ordering::Relaxed) + 1, cx.cancelled())
}

sandtrap_guest::serve!(ends, asks, next);

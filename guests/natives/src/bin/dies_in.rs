//! Lives: without the variables PHASE and KIND it only says so; with them it dies in that phase of its life, in that way.
//!
//! It speaks the channel by hand, so that a phase may end anywhere: `boot` before its first word, `handshake` in the midst of its
//! greeting, `receive` while its call comes, `decode` when it is there, `run` after a sign of life, `encode` after the length of
//! its answer, `send` after a part of it, `teardown` when it has answered and shall go, `idle` when it has answered and is sent
//! SIGUSR1, `drain` when its host has answered the call of its function `wait`. A call for `fine` is answered.
#![expect(
    unsafe_code,
    reason = "to break things is the purpose of the file, and an inherited descriptor"
)]

#[path = "../victim/endings.rs"]
mod endings;
#[path = "../victim/faults.rs"]
mod faults;
#[path = "../victim/resources.rs"]
mod resources;
#[path = "../victim/stacks.rs"]
mod stacks;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, FromRawFd as _};

/// A cause and how to die of it.
type Way = (&'static str, fn());

const HELLO: [u8; 6] = [2, 0, 0, 0, 0, 1];
const BEAT: [u8; 5] = [1, 0, 0, 0, 11];
/// Calls the host's function `wait`, with nothing.
const WAIT: [u8; 12] = [8, 0, 0, 0, 10, 1, 0, 4, b'w', b'a', b'i', b't'];
/// What an answer holds: more than a socket takes at once.
const ANSWER: usize = 1 << 20;

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (phase, kind) = (variable("PHASE"), variable("KIND"));
    if phase.is_empty() {
        // Whoever started it may be gone.
        let _ = writeln!(std::io::stdout(), "PHASE and KIND say where and how");
        return;
    }
    let dies_in = |now: &str| {
        if now == phase {
            die(&kind);
        }
    };
    if phase == "idle" {
        hold_back_the_signal();
    }
    dies_in("boot");
    if phase == "handshake" {
        say(&HELLO[..3]);
        die(&kind);
    }
    say(&HELLO);
    let mut ear = Ear::default();
    ear.frame();
    loop {
        if phase == "receive" {
            // The call is longer than this, and the host is in the midst of it.
            ear.hear(5_000);
            die(&kind);
        }
        let Some(frame) = ear.frame() else { break };
        // Kind 1 is a call, kind 4 the end.
        match frame.first() {
            Some(1) if is_fine(&frame) => answer(frame[1], &[]),
            Some(1) => {
                dies_in("decode");
                say(&BEAT);
                dies_in("run");
                if phase == "drain" {
                    say(&WAIT);
                    // Kind 2 is the reply. That there will be no more calls may be said before it.
                    while ear.frame().is_some_and(|frame| frame.first() != Some(&2)) {}
                    die(&kind);
                }
                give(frame[1], &phase, &kind);
                if phase == "idle" {
                    wait_for_the_signal();
                    die(&kind);
                }
            }
            Some(4) => break,
            _ => {}
        }
    }
    dies_in("teardown");
}

fn the_signal() -> libc::sigset_t {
    // SAFETY: a set is plain numbers, and without any it is empty.
    let mut set = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours.
    unsafe { libc::sigaddset(&mut set, libc::SIGUSR1) };
    set
}

/// From now on it waits until somebody takes it.
fn hold_back_the_signal() {
    // SAFETY: the set is there for as long as the call takes, and the one before is not wanted.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &the_signal(), std::ptr::null_mut()) };
}

fn wait_for_the_signal() {
    let mut signal = 0;
    // SAFETY: the set is there for as long as the call takes, and the number is written to a place of ours.
    unsafe { libc::sigwait(&the_signal(), &mut signal) };
}

/// Answers, or dies in the midst of it.
fn give(call: u8, phase: &str, kind: &str) {
    let value = vec![7; ANSWER];
    match phase {
        "encode" => {
            say(&head(call, ANSWER));
            die(kind);
        }
        "send" => {
            say(&head(call, ANSWER));
            say(&value[..ANSWER / 3]);
            die(kind);
        }
        _ => answer(call, &value),
    }
}

fn answer(call: u8, value: &[u8]) {
    say(&head(call, value.len()));
    say(value);
}

/// The beginning of a Return of raw bytes.
fn head(call: u8, value: usize) -> [u8; 7] {
    let [a, b, c, d] = (value as u32 + 3).to_le_bytes();
    [a, b, c, d, 5, call, 0]
}

fn is_fine(frame: &[u8]) -> bool {
    frame.windows(4).take(20).any(|word| word == b"fine")
}

fn die(kind: &str) -> ! {
    let ways = [faults::WAYS, stacks::WAYS, endings::WAYS, resources::WAYS];
    match kind {
        "exit-0" => std::process::exit(0),
        "closes" => {
            // SAFETY: nobody speaks any more.
            unsafe { libc::close(channel().as_raw_fd()) };
            std::process::abort()
        }
        "refused" => {
            // SAFETY: plain numbers. No profile of calls has this one.
            unsafe { libc::syscall(libc::SYS_reboot, 0, 0, 0, 0) };
        }
        _ => {
            if let Some((_, way)) = ways.into_iter().flatten().find(|(cause, _)| *cause == kind) {
                way();
            }
        }
    }
    std::process::exit(99)
}

fn channel() -> ManuallyDrop<File> {
    // SAFETY: the host left this descriptor, and only the death by `closes` closes it.
    ManuallyDrop::new(unsafe { File::from_raw_fd(3) })
}

fn say(bytes: &[u8]) {
    // The host hangs up when it has had enough.
    let _ = channel().write_all(bytes);
}

/// What has come.
#[derive(Default)]
struct Ear(Vec<u8>);

impl Ear {
    /// Waits until so many bytes are there. Says whether they came.
    fn hear(&mut self, wanted: usize) -> bool {
        let mut buffer = [0; 4096];
        while self.0.len() < wanted {
            match channel().read(&mut buffer) {
                Ok(0) | Err(_) => return false,
                Ok(count) => self.0.extend_from_slice(&buffer[..count]),
            }
        }
        true
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        if !self.hear(4) {
            return None;
        }
        let length = u32::from_le_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]) as usize;
        if !self.hear(4 + length) {
            return None;
        }
        let rest = self.0.split_off(4 + length);
        let frame = std::mem::replace(&mut self.0, rest);
        Some(frame[4..].to_vec())
    }
}

//! This end of the lane: memory that is shared with the host, in which the next call is looked for before the channel is
//! waited for.
//!
//! Its descriptor is closed as soon as it is mapped: what is written there can be mapped as code by nobody then.
#![expect(
    unsafe_code,
    reason = "an inherited descriptor, a mapping of it, and a wait on a word of it"
)]

use std::cell::OnceCell;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sandtrap_protocol::{Came, Hope, LANE_BYTES, LANE_MOST, LANE_VARIABLE, Laid, Lane, Tally};

static LANE: OnceLock<Option<&'static Lane>> = OnceLock::new();

/// Bytes that have come over the channel.
static HEARD: AtomicU64 = AtomicU64::new(0);

/// And bytes that have gone over it.
static SAID: AtomicU64 = AtomicU64::new(0);

/// What they were when the call at hand was taken.
static SAID_BEFORE: AtomicU64 = AtomicU64::new(0);

static TALLY: Mutex<Tally> = Mutex::new(Tally::new());

/// Takes the lane that the host offers, if it does. Before there is a second thread.
pub(crate) fn open() {
    LANE.get_or_init(|| {
        let number = std::env::var(LANE_VARIABLE).ok()?.parse().ok()?;
        // SAFETY: the variable is set by the host alone, which made this descriptor for us; nobody else in this
        // process knows of it. It is closed when it has been mapped.
        let inherited = unsafe { OwnedFd::from_raw_fd(number) };
        // SAFETY: this runs first in `main`, before there is a second thread that could read it.
        unsafe { std::env::remove_var(LANE_VARIABLE) };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let (file, kind) = (inherited.as_raw_fd(), libc::MAP_SHARED);
        // SAFETY: asks for memory at no particular place, which nothing else is in.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), LANE_BYTES, access, kind, file, 0) };
        let start = NonNull::new(start.cast::<Lane>()).filter(|_| start != libc::MAP_FAILED)?;
        // SAFETY: so many bytes are mapped there, at the beginning of a page, and stay until this process ends. They are
        // all atomic integers, of which every value is valid.
        Some(unsafe { start.as_ref() })
    });
}

/// Whether one was taken, which the host has to be told.
pub(crate) fn is_taken() -> bool {
    LANE.get().is_some_and(Option::is_some)
}

/// The lane, if the host uses it, and for how long it is watched.
fn lane() -> Option<(&'static Lane, Duration)> {
    let lane = LANE.get().copied().flatten()?;
    let micros = lane.to_guest.patience()?;
    Some((lane, Duration::from_micros(micros.into())))
}

/// So many bytes have come over the channel.
pub(crate) fn heard(bytes: usize) {
    HEARD.fetch_add(bytes as u64, Ordering::SeqCst);
}

/// So many bytes have gone over the channel: the host need not look here any more. Whoever calls has the turn to send.
pub(crate) fn said_elsewhere(bytes: usize) {
    let said = SAID.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
    if let Some((lane, _)) = lane()
        && lane.to_host.sent_elsewhere(said, &lane.to_guest)
    {
        wake(lane.to_host.ring());
    }
}

/// Lays the last word about a call down. Says whether the host will see it there. From then on the next call may come
/// here, too. Whoever calls has the turn to send.
pub(crate) fn answer(head: &[u8], tail: &[u8]) -> bool {
    let Some((lane, _)) = lane() else { return false };
    let mut tally = TALLY.lock().unwrap_or_else(PoisonError::into_inner);
    // What was said of this call over the channel is to be heard first.
    let is_first = SAID.load(Ordering::Relaxed) == SAID_BEFORE.load(Ordering::Relaxed);
    let laid = match is_first {
        true => tally.lay(&lane.to_host, &lane.to_guest, (head, tail), processor()),
        false => Laid::Nowhere,
    };
    match laid {
        Laid::Seen => true,
        Laid::Asleep => {
            wake(lane.to_host.ring());
            true
        }
        Laid::Nowhere => {
            lane.to_host.looks();
            false
        }
    }
}

/// Waits here for a call. `None` if the channel has to be waited for.
pub(crate) fn receive(buffer: &mut [u8], hope: &mut Hope) -> Option<usize> {
    let (lane, patience) = lane().filter(|_| buffer.len() >= LANE_MOST)?;
    let (own, host) = (&lane.to_host, &lane.to_guest);
    // Nobody else counts while this one waits: who answers is who has waited.
    let mut tally = TALLY.lock().unwrap_or_else(PoisonError::into_inner);
    // On one processor the host can't call while this one watches.
    let watches = !patience.is_zero() && !host.is_on(processor()) && hope.watches();
    let (began, mut has_time) = (OnceCell::new(), true);
    let known = HEARD.load(Ordering::SeqCst);
    let came = tally.wait(
        own,
        host,
        |bytes| bytes > known,
        || {
            has_time = match began.get() {
                Some(began) => Instant::elapsed(began) < patience,
                // What is there soon is found without a clock.
                None => began.set(Instant::now()).is_ok(),
            };
            watches && has_time
        },
        sleep,
    );
    if watches {
        hope.learn(has_time);
    }
    if came != Came::Message {
        return None;
    }
    SAID_BEFORE.store(SAID.load(Ordering::Relaxed), Ordering::Relaxed);
    Some(tally.take(own, host, buffer))
}

/// The processor on which this runs.
fn processor() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::sched_getcpu() }.cast_unsigned()
}

/// Sleeps until the word is another one, or somebody wakes it. Always says that it may be tried again: whoever serves its
/// host ends with it.
fn sleep(word: &AtomicU32, is: u32) -> bool {
    let (operation, none) = (libc::FUTEX_WAIT, std::ptr::null::<libc::timespec>());
    // SAFETY: the word is there during the call, and is only read.
    unsafe { libc::syscall(libc::SYS_futex, word, operation, is, none) };
    true
}

/// Wakes whoever sleeps on the word.
fn wake(word: &AtomicU32) {
    // SAFETY: the kernel looks for those who sleep at this address, and writes nothing.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1) };
}

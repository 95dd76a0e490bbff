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
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sandtrap_protocol::{
    Came, Hope, LANE_BYTES, LANE_LOOKS, LANE_MOST, LANE_VARIABLE, Laid, Lane, Tally,
};

static LANE: OnceLock<Option<&'static Lane>> = OnceLock::new();

/// Bytes that have come over the channel.
static HEARD: AtomicU64 = AtomicU64::new(0);

/// And bytes that have gone over it.
static SAID: AtomicU64 = AtomicU64::new(0);

/// What they were when the call at hand was taken.
static SAID_BEFORE: AtomicU64 = AtomicU64::new(0);

/// The counts. One thread takes calls and answers them: nobody else looks here.
static TALLY: AtomicU64 = AtomicU64::new(0);

fn tally() -> Tally {
    Tally::of(TALLY.load(Ordering::Relaxed))
}

fn count(tally: Tally) {
    TALLY.store(tally.bits(), Ordering::Relaxed);
}

/// So often this end gives way to a host that does so, too, before it sleeps. Once is enough as long as both do; whoever has slept
/// comes first for a while, and has to give way several times until it is the other's turn.
const WAYS: u32 = 8;

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
    // What was said of this call over the channel is to be heard first.
    let is_first = SAID.load(Ordering::Relaxed) == SAID_BEFORE.load(Ordering::Relaxed);
    let mut tally = tally();
    let is_laid = is_first && lay(lane, &mut tally, (head, tail));
    count(tally);
    if !is_laid {
        lane.to_host.looks();
    }
    is_laid
}

/// Lays a message down and wakes whoever sleeps for it. Says whether it will be seen.
fn lay(lane: &Lane, tally: &mut Tally, parts: (&[u8], &[u8])) -> bool {
    let laid = tally.lay(&lane.to_host, &lane.to_guest, parts, processor());
    if laid == Laid::Asleep {
        wake(lane.to_host.ring());
    }
    laid != Laid::Nowhere
}

/// Waits here for a call. `None` if the channel has to be waited for.
pub(crate) fn receive(buffer: &mut [u8], hope: &mut Hope) -> Option<usize> {
    let (lane, patience) = lane().filter(|_| buffer.len() >= LANE_MOST)?;
    let mut tally = tally();
    let length = wait(lane, &mut tally, patience, buffer, hope);
    count(tally);
    let length = length?;
    SAID_BEFORE.store(SAID.load(Ordering::Relaxed), Ordering::Relaxed);
    Some(length)
}

fn wait(
    lane: &Lane,
    tally: &mut Tally,
    patience: Duration,
    buffer: &mut [u8],
    hope: &mut Hope,
) -> Option<usize> {
    let (own, host) = (&lane.to_host, &lane.to_guest);
    // On one processor the host can't call while this one watches.
    let watches = !patience.is_zero() && !host.is_on(processor()) && hope.watches();
    let mut ways = WAYS;
    let (began, mut is_first, mut has_time) = (OnceCell::new(), true, true);
    let known = HEARD.load(Ordering::SeqCst);
    let came = tally.wait(
        own,
        host,
        |bytes| bytes > known,
        near,
        || {
            if ways > 0 && host.is_giving_way() {
                ways -= 1;
                std::thread::yield_now();
                return 1;
            }
            // What is there soon is found without a clock.
            if watches && !std::mem::take(&mut is_first) {
                has_time = began.get_or_init(Instant::now).elapsed() < patience;
            }
            if watches && has_time { LANE_LOOKS } else { 0 }
        },
        sleep,
    );
    if watches {
        hope.learn(has_time);
    }
    (came == Came::Message).then(|| tally.take(own, host, buffer))
}

/// Goes the way of a call and its answer once, in a lane of which nobody knows: what has to be fetched for it is there then.
pub(crate) fn rehearse(call: &[u8], serve: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let (stage, mut host, mut own) = (Box::new(Lane::new()), Tally::new(), Tally::new());
    let Lane { to_guest, to_host } = &*stage;
    to_host.looks();
    host.lay(to_guest, to_host, (call, &[]), processor());
    let mut buffer = vec![0; LANE_MOST];
    let came = wait(&stage, &mut own, Duration::ZERO, &mut buffer, &mut Hope::default());
    buffer.truncate(came.unwrap_or(0));
    if let Some(answer) = serve(buffer) {
        lay(&stage, &mut own, (&answer, &[]));
    }
}

/// Has the processor get a part of the memory that may be wanted soon.
fn near(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it reads nothing that the program could see, and changes nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(word.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

/// The processor on which this runs.
fn processor() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::sched_getcpu() }.cast_unsigned()
}

/// When this is, by the clock as of its last tick, which is some milliseconds ago at most: what that costs is a part of
/// what it costs to ask for the exact time.
pub(crate) fn about_now() -> Instant {
    static BASE: OnceLock<(Instant, Duration)> = OnceLock::new();
    let (then, at) = *BASE.get_or_init(|| (Instant::now(), clock(libc::CLOCK_MONOTONIC)));
    // Between the two of them it may have ticked: earlier than that it is not.
    then + clock(libc::CLOCK_MONOTONIC_COARSE).saturating_sub(at)
}

fn clock(which: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one time to where it may. It fails for clocks only that are not known.
    unsafe { libc::clock_gettime(which, &mut time) };
    let seconds = Duration::from_secs(time.tv_sec.cast_unsigned());
    seconds + Duration::from_nanos(time.tv_nsec.cast_unsigned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_now_is_no_later_than_now_and_goes_on() {
        let first = about_now();
        assert!(first <= Instant::now());
        // A tick is ten milliseconds at most.
        let until = Instant::now() + Duration::from_millis(30);
        while Instant::now() < until {
            let (about, now) = (about_now(), Instant::now());
            assert!(about <= now);
        }
        assert!(about_now() > first);
    }
}

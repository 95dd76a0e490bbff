//! The clocks that a guest reads: the host's, or made-up ones that show the same in every run.
//!
//! Made-up clocks begin at a fixed date. They move on a little with every look at them, so that whoever waits
//! for one does not wait for ever, and whoever sleeps finds the time gone when it wakes, at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasmtime_wasi::clocks::{MonotonicClock, WallClock};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// When made-up clocks begin: on the first of January 2000.
const BEGIN: Duration = Duration::from_secs(946_684_800);

/// How far made-up clocks move on with every look, in nanoseconds.
const TICK: u64 = 1_000;

/// Both clocks of one guest. Clones show the same time.
#[derive(Clone)]
pub(super) struct Clocks(Kind);

#[derive(Clone)]
enum Kind {
    Host(Arc<MonotonicClock>),
    /// Nanoseconds since the beginning.
    MadeUp(Arc<AtomicU64>),
}

/// A moment that is waited for.
#[derive(Clone, Copy)]
pub(super) enum Due {
    /// By the host's time.
    At(Instant),
    /// By made-up time.
    MadeUp(u64),
    /// Further away than any clock can show.
    Never,
}

impl Clocks {
    /// The host's own time; the monotonic clock begins now.
    pub(super) fn of_this_host() -> Self {
        Self(Kind::Host(Arc::new(MonotonicClock::new())))
    }

    /// The same time in every run.
    pub(super) fn made_up() -> Self {
        Self(Kind::MadeUp(Arc::default()))
    }

    /// When the monotonic clock will show `time`, or be so much further on.
    pub(super) fn due(&self, time: u64, is_absolute: bool) -> Due {
        match &self.0 {
            Kind::Host(clock) => {
                let passed = if is_absolute { clock.now() } else { 0 };
                let left = Duration::from_nanos(time.saturating_sub(passed));
                Instant::now().checked_add(left).map_or(Due::Never, Due::At)
            }
            Kind::MadeUp(_) if is_absolute => Due::MadeUp(time),
            Kind::MadeUp(now) => Due::MadeUp(now.load(Ordering::Relaxed).saturating_add(time)),
        }
    }

    /// Whether a moment has come.
    pub(super) fn has_come(&self, due: Due) -> bool {
        match (due, &self.0) {
            (Due::At(due), _) => due <= Instant::now(),
            (Due::MadeUp(due), Kind::MadeUp(now)) => due <= now.load(Ordering::Relaxed),
            (Due::MadeUp(_), Kind::Host(_)) | (Due::Never, _) => false,
        }
    }

    /// Whether time passes only here.
    pub(super) fn are_made_up(&self) -> bool {
        matches!(self.0, Kind::MadeUp(_))
    }

    /// Has made-up time pass until the first of these moments, if none has come.
    pub(super) fn pass(&self, moments: impl Iterator<Item = Due>) {
        let Kind::MadeUp(now) = &self.0 else { return };
        let first = moments.filter_map(|due| match due {
            Due::MadeUp(due) => Some(due),
            Due::At(_) | Due::Never => None,
        });
        if let Some(first) = first.min() {
            now.fetch_max(first, Ordering::Relaxed);
        }
    }

    /// Nanoseconds since the epoch.
    pub(super) fn wall(&self) -> u64 {
        u64::try_from(HostWallClock::now(self).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl HostMonotonicClock for Clocks {
    fn resolution(&self) -> u64 {
        match &self.0 {
            Kind::Host(clock) => clock.resolution(),
            Kind::MadeUp(_) => TICK,
        }
    }

    fn now(&self) -> u64 {
        match &self.0 {
            Kind::Host(clock) => clock.now(),
            Kind::MadeUp(now) => {
                // Only the guest's own thread looks at it, and after half a thousand years it stands still.
                let time = now.load(Ordering::Relaxed);
                now.store(time.saturating_add(TICK), Ordering::Relaxed);
                time
            }
        }
    }
}

impl HostWallClock for Clocks {
    fn resolution(&self) -> Duration {
        match &self.0 {
            Kind::Host(_) => WallClock::new().resolution(),
            Kind::MadeUp(_) => Duration::from_nanos(TICK),
        }
    }

    fn now(&self) -> Duration {
        match &self.0 {
            Kind::Host(_) => WallClock::new().now(),
            Kind::MadeUp(_) => {
                BEGIN.saturating_add(Duration::from_nanos(HostMonotonicClock::now(self)))
            }
        }
    }
}

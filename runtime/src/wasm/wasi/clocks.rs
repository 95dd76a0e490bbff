//! The clocks that a guest reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime_wasi::clocks::{MonotonicClock, WallClock};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// Both clocks of one guest. Clones show the same time.
#[derive(Clone)]
pub(super) struct Clocks {
    monotonic: Arc<MonotonicClock>,
}

impl Clocks {
    /// The host's own time; the monotonic clock begins now.
    pub(super) fn of_this_host() -> Self {
        Self { monotonic: Arc::new(MonotonicClock::new()) }
    }

    /// When the monotonic clock will show `time`, or be so much further on. `None` is too far away to come.
    pub(super) fn due(&self, time: u64, is_absolute: bool) -> Option<Instant> {
        let passed = if is_absolute { self.monotonic.now() } else { 0 };
        Instant::now().checked_add(Duration::from_nanos(time.saturating_sub(passed)))
    }

    /// Nanoseconds since the epoch.
    pub(super) fn wall(&self) -> u64 {
        u64::try_from(HostWallClock::now(self).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl HostMonotonicClock for Clocks {
    fn resolution(&self) -> u64 {
        self.monotonic.resolution()
    }

    fn now(&self) -> u64 {
        self.monotonic.now()
    }
}

impl HostWallClock for Clocks {
    fn resolution(&self) -> Duration {
        WallClock::new().resolution()
    }

    fn now(&self) -> Duration {
        WallClock::new().now()
    }
}

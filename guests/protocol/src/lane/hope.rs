//! Whether a lane is worth watching, as far as that can be told from how it was the last times.

/// After a watch that was for nothing, so many waits at most are not watched.
const MOST_SKIPPED: u32 = 63;

/// Whether it is worth while to watch: after each time that it was for nothing, that is left off for longer. Not after the
/// first, for that is how calls in a row end, and they may go on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hope {
    skips: u32,
    left: u32,
}

impl Hope {
    /// Whether to watch this time.
    pub fn watches(&mut self) -> bool {
        let watches = self.left == 0;
        self.left = self.left.saturating_sub(1);
        watches
    }

    /// What came of it.
    pub fn learn(&mut self, came: bool) {
        self.left = if came { 0 } else { self.skips };
        self.skips = if came { 0 } else { (2 * self.skips + 1).min(MOST_SKIPPED) };
    }
}

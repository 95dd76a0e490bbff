//! What takes calls of the system to find out, and is asked again only when it can have changed by something that matters.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// In less time nobody uses processor time, or fills memory, that would matter: a call that is shorter than this is not
/// asked what it used.
pub(super) const EXACT: Duration = Duration::from_micros(100);

/// What somebody sets, and nothing uses up, is hardly ever another one.
pub(super) const SET: Duration = Duration::from_millis(10);

/// An answer, and when it was given.
#[derive(Debug)]
pub(super) struct Lately<T: Copy>(Cell<Option<(Instant, T)>>);

impl<T: Copy> Default for Lately<T> {
    fn default() -> Self {
        Self(Cell::new(None))
    }
}

impl<T: Copy> Lately<T> {
    /// The last answer if it is from a moment ago, else a new one.
    pub(super) fn get(&self, ask: impl FnOnce() -> T) -> T {
        self.get_within(EXACT, ask)
    }

    /// The same, where a moment is as long as this.
    pub(super) fn get_within(&self, moment: Duration, ask: impl FnOnce() -> T) -> T {
        let now = Instant::now();
        match self.0.get() {
            Some((when, answer)) if now.saturating_duration_since(when) < moment => answer,
            _ => self.note(now, ask()),
        }
    }

    /// Keeps an answer that was had anyway.
    pub(super) fn note(&self, now: Instant, answer: T) -> T {
        self.0.set(Some((now, answer)));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_a_moment_ago_is_not_asked_again() {
        let lately = Lately::default();
        assert_eq!(lately.get(|| 1), 1);
        let now = Instant::now();
        lately.note(now + Duration::from_secs(60), 2);
        assert_eq!(lately.get(|| 3), 2);
        lately.note(now.checked_sub(EXACT).unwrap(), 4);
        assert_eq!(lately.get(|| 5), 5);
    }
}

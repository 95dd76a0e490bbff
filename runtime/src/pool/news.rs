//! What is told of a pool, in the order in which it happened.
//!
//! Nothing is told under the lock. Were each thread to tell what it saw, a task could be told to run before it was told to
//! wait. So one of them tells it all, and again what the others leave behind meanwhile. A callback that uses the pool
//! itself leaves its news behind in the same way.

use std::mem;

use crate::telemetry::Happening;

/// So much may be left to the one who tells. A callback that is slower than what happens must not have it grow without
/// end: from here on everybody tells, which is no longer in order, and slows down whoever is too fast for it.
const MOST_LEFT: usize = 1000;

#[derive(Default)]
pub(super) struct News {
    untold: Vec<Happening>,
    /// Somebody is telling, and will look again.
    telling: bool,
}

impl News {
    pub(super) fn add(&mut self, happening: Happening) {
        self.untold.push(happening);
    }

    /// Whether this thread is the one to tell it.
    pub(super) fn is_ours(&self) -> bool {
        let least = if self.telling { MOST_LEFT } else { 1 };
        self.untold.len() >= least
    }

    /// What this thread is to tell, until [`News::told`] has no more for it.
    pub(super) fn take(&mut self) -> Option<Vec<Happening>> {
        self.is_ours().then(|| {
            self.telling = true;
            mem::take(&mut self.untold)
        })
    }

    /// All is told. Gives what has happened meanwhile.
    pub(super) fn told(&mut self) -> Option<Vec<Happening>> {
        self.telling = false;
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(worker: u64) -> Happening {
        Happening::WorkerStarted { worker }
    }

    #[test]
    fn what_happens_while_somebody_tells_is_told_after_it() {
        let mut news = News::default();
        assert_eq!(news.take(), None);
        news.add(started(1));
        assert_eq!(news.take(), Some(vec![started(1)]));
        for worker in [2, 3] {
            news.add(started(worker));
            assert_eq!(news.take(), None, "another one tells");
        }
        assert_eq!(news.told(), Some(vec![started(2), started(3)]));
        assert_eq!(news.told(), None);
        news.add(started(4));
        assert_eq!(news.take(), Some(vec![started(4)]));
    }

    #[test]
    fn what_a_slow_callback_leaves_behind_is_bounded() {
        let mut news = News::default();
        news.add(started(0));
        assert!(news.take().is_some());
        let left = 1..=MOST_LEFT as u64;
        let told: Vec<_> = left
            .filter_map(|worker| {
                news.add(started(worker));
                news.take()
            })
            .collect();
        assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [MOST_LEFT]);
    }
}

//! What is told of a pool, in the order in which it happened.
//!
//! Nothing is told under the lock. Were each thread to tell what it saw, a task could be told to run before it was told to
//! wait. So one of them at a time tells what there is, and what the others leave behind meanwhile is told by the next one
//! that has news, or by the supervisor. A callback that uses the pool itself leaves its news behind in the same way.

use std::mem;

use crate::telemetry::Happening;

/// So much may be left to the one who tells. A callback that is slower than what happens must not have it grow without
/// end: from here on everybody tells, which is no longer in order, and slows down whoever is too fast for it.
const MOST_LEFT: usize = 1000;

#[derive(Default)]
pub(super) struct News {
    untold: Vec<Happening>,
    /// So many are telling.
    tellers: usize,
}

impl News {
    pub(super) fn add(&mut self, happening: Happening) {
        self.untold.push(happening);
    }

    /// Whether this thread is the one to tell it.
    pub(super) fn is_ours(&self) -> bool {
        let least = if self.tellers > 0 { MOST_LEFT } else { 1 };
        self.untold.len() >= least
    }

    /// What this thread is to tell, and then say so: [`News::told`].
    pub(super) fn take(&mut self) -> Option<Vec<Happening>> {
        self.is_ours().then(|| {
            self.tellers += 1;
            mem::take(&mut self.untold)
        })
    }

    /// It is told. Says whether something has happened meanwhile that somebody has to be found for: nobody tells for ever,
    /// as he has a task to run.
    pub(super) fn told(&mut self) -> bool {
        self.tellers -= 1;
        self.is_ours()
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
        assert!(news.told(), "somebody has to tell the rest");
        news.add(started(4));
        assert_eq!(news.take(), Some(vec![started(2), started(3), started(4)]));
        assert!(!news.told());
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

//! One after another: of many threads that want the same thing compiled, one does it and the others find it.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::isolation::StopHandle;

/// How soon a thread that waits sees that it was stopped.
const LOOK: Duration = Duration::from_millis(20);

/// What is just being made, by name.
#[derive(Debug, Default)]
pub(super) struct Turns {
    under_way: Mutex<HashSet<String>>,
    ended: Condvar,
}

/// Somebody's turn. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    name: Option<String>,
}

impl Turns {
    /// Waits until nobody else makes it. Who has waited until `end`, or was stopped, goes on all the same.
    pub(super) fn take(
        self: &Arc<Self>,
        name: &str,
        end: Option<Instant>,
        stop: &StopHandle,
    ) -> Turn {
        let mut under_way = self.under_way();
        loop {
            if under_way.insert(name.to_owned()) {
                return Turn { turns: Arc::clone(self), name: Some(name.to_owned()) };
            }
            if stop.reason().is_some() || end.is_some_and(|end| end <= Instant::now()) {
                return Turn { turns: Arc::clone(self), name: None };
            }
            let woken = self.ended.wait_timeout(under_way, LOOK);
            under_way = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<String>> {
        // A name is there or not; nothing is ever half done.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.turns.under_way().remove(name);
            self.turns.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::StopReason;
    use std::sync::mpsc;

    #[test]
    fn the_same_thing_is_made_by_one_at_a_time_and_others_meanwhile() {
        let (turns, stop) = (Arc::new(Turns::default()), StopHandle::new());
        let first = turns.take("a", None, &stop);
        drop(turns.take("b", None, &stop));
        let (said, heard) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = turns.take("a", None, &stop);
                said.send("second").unwrap();
            });
            said.send("first").unwrap();
            drop(first);
        });
        assert_eq!([heard.recv().unwrap(), heard.recv().unwrap()], ["first", "second"]);
    }

    #[test]
    fn nobody_waits_beyond_the_end_or_a_stop_and_leaves_the_turn_to_its_owner() {
        let (turns, stop) = (Arc::new(Turns::default()), StopHandle::new());
        let _first = turns.take("a", None, &stop);
        drop(turns.take("a", Some(Instant::now()), &stop));
        let stopped = StopHandle::new();
        stopped.stop(StopReason::Cancelled);
        drop(turns.take("a", None, &stopped));
        assert!(turns.under_way().contains("a"));
    }
}

//! The queue: by priority, and within one priority caller by caller in turn.
//!
//! A caller with a million tasks delays another one's single task by one task. Putting in, taking out and removing from
//! the middle cost the same however many wait.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::order::Priority;
use crate::quantity::ByteSize;
use crate::rejection::Rejection;

/// Where something stands in the queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) number: u64,
    pub(super) priority: Priority,
    pub(super) caller: Arc<str>,
}

/// What waits, bounded by its number and by what it holds.
#[derive(Debug)]
pub(super) struct Queue<T> {
    lanes: [Lane<T>; 3],
    most: usize,
    most_bytes: ByteSize,
    waiting: usize,
    bytes: u64,
}

#[derive(Debug)]
struct Lane<T> {
    /// Callers whose turn comes, each once. One that has nothing left is skipped.
    turns: VecDeque<Arc<str>>,
    callers: HashMap<Arc<str>, BTreeMap<u64, (u64, T)>>,
}

impl<T> Queue<T> {
    pub(super) fn new(most: usize, most_bytes: ByteSize) -> Self {
        let lane = || Lane { turns: VecDeque::new(), callers: HashMap::new() };
        Self { lanes: [lane(), lane(), lane()], most, most_bytes, waiting: 0, bytes: 0 }
    }

    /// Whether something of this size may be put in now. An input larger than the whole bound may, if nothing else waits:
    /// it would have to wait for ever otherwise.
    pub(super) fn admits(&self, bytes: u64) -> Result<(), Rejection> {
        if self.waiting >= self.most {
            return Err(Rejection::QueueFull { most: self.most });
        }
        if self.waiting > 0 && self.bytes.saturating_add(bytes) > self.most_bytes.as_u64() {
            return Err(Rejection::QueueBytes { most: self.most_bytes });
        }
        Ok(())
    }

    pub(super) fn push(&mut self, key: &Key, bytes: u64, item: T) {
        let lane = &mut self.lanes[key.priority as usize];
        let caller = lane.callers.entry(Arc::clone(&key.caller)).or_insert_with(|| {
            lane.turns.push_back(Arc::clone(&key.caller));
            BTreeMap::new()
        });
        caller.insert(key.number, (bytes, item));
        self.waiting += 1;
        self.bytes += bytes;
    }

    /// The next one, and how much it held.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (bytes, item) = self.lanes.iter_mut().find_map(Lane::pop)?;
        self.waiting -= 1;
        self.bytes -= bytes;
        Some(item)
    }

    /// Takes one out of the middle.
    pub(super) fn remove(&mut self, key: &Key) -> Option<T> {
        let caller = self.lanes[key.priority as usize].callers.get_mut(&key.caller)?;
        let (bytes, item) = caller.remove(&key.number)?;
        self.waiting -= 1;
        self.bytes -= bytes;
        Some(item)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl<T> Lane<T> {
    fn pop(&mut self) -> Option<(u64, T)> {
        while let Some(caller) = self.turns.pop_front() {
            let Some(tasks) = self.callers.get_mut(&caller) else { continue };
            let first = tasks.pop_first();
            if tasks.is_empty() {
                self.callers.remove(&caller);
            } else {
                self.turns.push_back(caller);
            }
            if let Some((_, item)) = first {
                return Some(item);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64, priority: Priority, caller: &str) -> Key {
        Key { number, priority, caller: caller.into() }
    }

    fn queue() -> Queue<u64> {
        Queue::new(100, ByteSize::bytes(1_000))
    }

    fn all(queue: &mut Queue<u64>) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn callers_take_turns_and_each_ones_tasks_stay_in_order() {
        let mut queue = queue();
        for (number, caller) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c"), (6, "c")] {
            queue.push(&key(number, Priority::Normal, caller), 1, number);
        }
        assert_eq!(all(&mut queue), [1, 4, 5, 2, 6, 3]);
    }

    #[test]
    fn higher_priorities_come_first_whoever_asks() {
        let mut queue = queue();
        let order = [(1, Priority::Low), (2, Priority::Normal), (3, Priority::High)];
        for (number, priority) in order {
            queue.push(&key(number, priority, "a"), 1, number);
        }
        assert_eq!(all(&mut queue), [3, 2, 1]);
    }

    #[test]
    fn what_is_removed_is_neither_counted_nor_served() {
        let mut queue = queue();
        for number in 1..=3 {
            queue.push(&key(number, Priority::Normal, "a"), 10, number);
        }
        assert_eq!(queue.remove(&key(2, Priority::Normal, "a")), Some(2));
        assert_eq!(queue.remove(&key(2, Priority::Normal, "a")), None);
        assert_eq!((queue.waiting(), queue.bytes()), (2, 20));
        assert_eq!(all(&mut queue), [1, 3]);
        // A caller that had removed all of its own is served again when it comes back, and once for each turn.
        queue.push(&key(4, Priority::Normal, "a"), 1, 4);
        queue.remove(&key(4, Priority::Normal, "a"));
        queue.push(&key(5, Priority::Normal, "a"), 1, 5);
        queue.push(&key(6, Priority::Normal, "b"), 1, 6);
        queue.push(&key(7, Priority::Normal, "a"), 1, 7);
        assert_eq!(all(&mut queue), [5, 6, 7]);
        assert_eq!((queue.waiting(), queue.bytes()), (0, 0));
    }

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let mut queue: Queue<u64> = Queue::new(2, ByteSize::bytes(100));
        assert!(queue.admits(1_000).is_ok(), "it would never get in otherwise");
        queue.push(&key(1, Priority::Normal, "a"), 60, 1);
        assert!(queue.admits(40).is_ok());
        assert!(matches!(queue.admits(41), Err(Rejection::QueueBytes { .. })));
        queue.push(&key(2, Priority::Normal, "a"), 1, 2);
        assert!(matches!(queue.admits(0), Err(Rejection::QueueFull { most: 2 })));
    }
}

//! The queue: by priority, and within one priority caller by caller in turn.
//!
//! A caller with a million tasks delays another one's single task by one task. Putting in, taking out and removing from
//! the middle cost the same however many wait: what one caller has waiting stands in blocks, one after another, and its number
//! says where. So what is next is beside what was last, and nothing is kept of a task but the task.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::order::Priority;
use crate::quantity::ByteSize;
use crate::rejection::Rejection;

/// Where something stands in the queue. No two things that ever stood there have the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) number: u64,
    pub(super) priority: Priority,
    pub(super) caller: Arc<str>,
}

/// Something that can wait here.
pub(super) trait Waits {
    fn priority(&self) -> Priority;
    fn caller(&self) -> &Arc<str>;
    /// How much it holds meanwhile.
    fn bytes(&self) -> u64;
}

/// What waits, bounded by its number and by what it holds.
#[derive(Debug)]
pub(super) struct Queue<T> {
    lanes: [Lane<T>; 3],
    most: usize,
    most_bytes: ByteSize,
    waiting: usize,
    bytes: u64,
    /// How many were ever put in.
    total: u64,
    /// How many never stood in it, and have a name all the same.
    aside: u64,
}

#[derive(Debug)]
struct Lane<T> {
    /// Callers whose turn comes, each once. One that has nothing left is skipped.
    turns: VecDeque<Arc<str>>,
    callers: HashMap<Arc<str>, Line<T>>,
}

/// What one caller has waiting, oldest first.
#[derive(Debug)]
struct Line<T> {
    /// The number of the first place of the first block.
    first: u64,
    /// Blocks of places. One in which nothing is left, and nothing will be, is given back.
    blocks: VecDeque<Option<Box<Block<T>>>>,
    /// Places of the first block before which nothing is left.
    head: usize,
    /// Places taken in the last block.
    taken: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Block<T> {
    places: [Option<T>; PLACES],
    waiting: usize,
}

/// So many that blocks are rarely made, and so few that a caller with one task holds little.
const PLACES: usize = 16;

impl<T: Waits> Queue<T> {
    pub(super) fn new(most: usize, most_bytes: ByteSize) -> Self {
        let lane = || Lane { turns: VecDeque::new(), callers: HashMap::new() };
        let lanes = [lane(), lane(), lane()];
        Self { lanes, most, most_bytes, waiting: 0, bytes: 0, total: 0, aside: 0 }
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

    /// Puts it at the end of its line, and says where that is.
    pub(super) fn push(&mut self, item: T) -> Key {
        let (priority, caller) = (item.priority(), Arc::clone(item.caller()));
        let lane = &mut self.lanes[priority as usize];
        // A line that begins anew goes on with numbers that no earlier one of the same caller has had.
        let line = lane.callers.entry(Arc::clone(&caller)).or_insert_with(|| {
            lane.turns.push_back(Arc::clone(&caller));
            Line { first: self.total, blocks: VecDeque::new(), head: 0, taken: PLACES, waiting: 0 }
        });
        self.total += 1;
        self.waiting += 1;
        self.bytes += item.bytes();
        Key { number: line.push(item), priority, caller }
    }

    /// A key for something that does not wait: like no other, as numbers of places never grow as large.
    pub(super) fn aside(&mut self, item: &T) -> Key {
        self.aside += 1;
        let (priority, caller) = (item.priority(), Arc::clone(item.caller()));
        Key { number: u64::MAX - self.aside, priority, caller }
    }

    /// The next one, and where it stood.
    pub(super) fn pop(&mut self) -> Option<(Key, T)> {
        let (number, item) = self.lanes.iter_mut().find_map(Lane::pop)?;
        let key = Key { number, priority: item.priority(), caller: Arc::clone(item.caller()) };
        self.left(&item);
        Some((key, item))
    }

    /// Takes one out of the middle.
    pub(super) fn remove(&mut self, key: &Key) -> Option<T> {
        let item =
            self.lanes[key.priority as usize].callers.get_mut(&key.caller)?.remove(key.number)?;
        self.left(&item);
        Some(item)
    }

    fn left(&mut self, item: &T) {
        self.waiting -= 1;
        self.bytes -= item.bytes();
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
            let Some(line) = self.callers.get_mut(&caller) else { continue };
            let first = line.pop();
            if line.waiting == 0 {
                self.callers.remove(&caller);
            } else {
                self.turns.push_back(caller);
            }
            if first.is_some() {
                return first;
            }
        }
        None
    }
}

impl<T> Line<T> {
    fn push(&mut self, item: T) -> u64 {
        if self.taken == PLACES {
            let places = std::array::from_fn(|_| None);
            self.blocks.push_back(Some(Box::new(Block { places, waiting: 0 })));
            self.taken = 0;
        }
        let number = self.first + ((self.blocks.len() - 1) * PLACES + self.taken) as u64;
        if let Some(Some(block)) = self.blocks.back_mut() {
            block.places[self.taken] = Some(item);
            block.waiting += 1;
        }
        self.taken += 1;
        self.waiting += 1;
        number
    }

    fn pop(&mut self) -> Option<(u64, T)> {
        loop {
            let is_last = self.blocks.len() == 1;
            match self.blocks.front_mut()? {
                Some(block) if block.waiting > 0 => {
                    let left = &block.places[self.head..];
                    self.head += left.iter().position(Option::is_some)?;
                    let number = self.first + self.head as u64;
                    return self.remove(number).map(|item| (number, item));
                }
                _ if is_last => return None,
                _ => {
                    self.blocks.pop_front();
                    self.head = 0;
                    self.first += PLACES as u64;
                }
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<T> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let is_full = at / PLACES + 1 < self.blocks.len() || self.taken == PLACES;
        let place = self.blocks.get_mut(at / PLACES)?;
        let block = place.as_mut()?;
        let item = block.places[at % PLACES].take()?;
        block.waiting -= 1;
        self.waiting -= 1;
        if block.waiting == 0 && is_full {
            *place = None;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Item(u64, Priority, Arc<str>, u64);

    impl Waits for Item {
        fn priority(&self) -> Priority {
            self.1
        }
        fn caller(&self) -> &Arc<str> {
            &self.2
        }
        fn bytes(&self) -> u64 {
            self.3
        }
    }

    fn item(number: u64, priority: Priority, caller: &str) -> Item {
        Item(number, priority, caller.into(), 10)
    }

    fn of(caller: &str, number: u64) -> Item {
        item(number, Priority::Normal, caller)
    }

    fn queue() -> Queue<Item> {
        Queue::new(10_000, ByteSize::kib(1_000))
    }

    fn all(queue: &mut Queue<Item>) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop().map(|(_, item)| item.0)).collect()
    }

    #[test]
    fn callers_take_turns_and_each_ones_tasks_stay_in_order() {
        let mut queue = queue();
        for (number, caller) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c"), (6, "c")] {
            queue.push(of(caller, number));
        }
        assert_eq!(all(&mut queue), [1, 4, 5, 2, 6, 3]);
    }

    #[test]
    fn higher_priorities_come_first_whoever_asks() {
        let mut queue = queue();
        let order = [(1, Priority::Low), (2, Priority::Normal), (3, Priority::High)];
        for (number, priority) in order {
            queue.push(item(number, priority, "a"));
        }
        assert_eq!(all(&mut queue), [3, 2, 1]);
    }

    #[test]
    fn what_is_removed_is_neither_counted_nor_served() {
        let mut queue = queue();
        let keys: Vec<Key> = (1..=3).map(|number| queue.push(of("a", number))).collect();
        assert_eq!(queue.remove(&keys[1]), Some(of("a", 2)));
        assert_eq!(queue.remove(&keys[1]), None);
        assert_eq!((queue.waiting(), queue.bytes()), (2, 20));
        assert_eq!(all(&mut queue), [1, 3]);
        // A caller that had removed all of its own is served again when it comes back, and once for each turn.
        let key = queue.push(of("a", 4));
        queue.remove(&key);
        queue.push(of("a", 5));
        queue.push(of("b", 6));
        queue.push(of("a", 7));
        assert_eq!(all(&mut queue), [5, 6, 7]);
        assert_eq!((queue.waiting(), queue.bytes()), (0, 0));
    }

    #[test]
    fn an_old_key_never_finds_what_came_later() {
        let mut queue = queue();
        let mut old = Vec::new();
        for number in 0..100 {
            old.push(queue.push(of("a", number)));
            if number % 7 == 0 {
                all(&mut queue);
            }
        }
        all(&mut queue);
        let new: Vec<Key> = (0..100).map(|number| queue.push(of("a", number))).collect();
        assert!(old.iter().all(|key| queue.remove(key).is_none() && !new.contains(key)));
        assert_eq!(queue.waiting(), 100);
    }

    #[test]
    fn many_blocks_are_like_one_list() {
        let (mut queue, mut expected, mut keys) = (queue(), VecDeque::new(), Vec::new());
        let mut random: u64 = 1;
        for number in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match random >> 61 {
                0..=3 => {
                    keys.push((number, queue.push(of("a", number))));
                    expected.push_back(number);
                }
                4 | 5 => {
                    let next = queue.pop().map(|(key, item)| {
                        assert!(keys.contains(&(item.0, key)));
                        item.0
                    });
                    assert_eq!(next, expected.pop_front());
                }
                _ if keys.is_empty() => {}
                _ => {
                    let (number, key) = &keys[(random >> 20) as usize % keys.len()];
                    let at = expected.iter().position(|waits| waits == number);
                    assert_eq!(
                        queue.remove(key).map(|item| item.0),
                        at.and_then(|at| expected.remove(at))
                    );
                }
            }
            assert_eq!(queue.waiting(), expected.len());
        }
        assert_eq!(all(&mut queue), Vec::from(expected));
    }

    #[test]
    fn who_cancels_behind_a_task_that_waits_for_ever_holds_next_to_nothing() {
        let mut queue = queue();
        queue.push(of("a", 0));
        for number in 1..10_000 {
            let key = queue.push(of("a", number));
            queue.remove(&key);
        }
        let line = &queue.lanes[Priority::Normal as usize].callers["a"];
        assert!(line.blocks.iter().filter(|block| block.is_some()).count() <= 2);
        assert_eq!(all(&mut queue), [0]);
    }

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let mut queue: Queue<Item> = Queue::new(2, ByteSize::bytes(100));
        assert!(queue.admits(1_000).is_ok(), "it would never get in otherwise");
        queue.push(Item(1, Priority::Normal, "a".into(), 60));
        assert!(queue.admits(40).is_ok());
        assert!(matches!(queue.admits(41), Err(Rejection::QueueBytes { .. })));
        queue.push(Item(2, Priority::Normal, "a".into(), 1));
        assert!(matches!(queue.admits(0), Err(Rejection::QueueFull { most: 2 })));
    }
}

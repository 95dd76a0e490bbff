//! The queue: by priority, and within one priority caller by caller in turn.
//!
//! A caller with a million tasks delays another one's single task by one task. Putting in, taking out and removing from
//! the middle cost the same however many wait: what one caller has waiting stands in blocks, one after another, and its number
//! says where. So what is next is beside what was last, and nothing is kept of a task but the task. Empty blocks are used again.

use std::collections::{BTreeSet, HashMap, VecDeque};
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
    /// How many never stood in it.
    aside: u64,
    empty: Blocks<T>,
}

/// Blocks without anything in them.
pub(super) type Blocks<T> = Vec<Box<Block<T>>>;

#[derive(Debug)]
struct Lane<T> {
    /// Whose turn comes, each once, and which line of his it is for. One that is no more is skipped.
    turns: VecDeque<(Arc<str>, u64)>,
    callers: HashMap<Arc<str>, Line<T>>,
}

/// What one caller has waiting, oldest first.
#[derive(Debug)]
struct Line<T> {
    /// No two lines have the same: a turn of an earlier one of the same caller is none of this one.
    began: u64,
    /// The number of the first place of the first block.
    first: u64,
    /// Blocks of places. One in which nothing is left, and nothing will be, is there for others.
    blocks: VecDeque<Option<Box<Block<T>>>>,
    /// Places of the first block before which nothing is left.
    head: usize,
    /// Places taken in the last block.
    taken: usize,
    waiting: usize,
}

#[derive(Debug)]
pub(super) struct Block<T> {
    places: [Option<T>; PLACES],
    waiting: usize,
}

fn key(number: u64, item: &impl Waits) -> Key {
    Key { number, priority: item.priority(), caller: Arc::clone(item.caller()) }
}

/// So many that blocks are rarely made, and so few that a caller with one task holds little.
const PLACES: usize = 16;

impl<T: Waits> Queue<T> {
    pub(super) fn new(most: usize, most_bytes: ByteSize) -> Self {
        let lane = || Lane { turns: VecDeque::new(), callers: HashMap::new() };
        let lanes = [lane(), lane(), lane()];
        Self {
            lanes,
            most,
            most_bytes,
            waiting: 0,
            bytes: 0,
            total: 0,
            aside: 0,
            empty: Vec::new(),
        }
    }

    /// Whether something of this size may be put in now. One larger than the whole bound may, if nothing else waits.
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
        let (lane, began) = (&mut self.lanes[priority as usize], self.total);
        let line = lane.callers.entry(Arc::clone(&caller)).or_insert_with(|| {
            lane.turns.push_back((Arc::clone(&caller), began));
            Line::new(began)
        });
        self.total += 1;
        self.waiting += 1;
        self.bytes += item.bytes();
        Key { number: line.push(item, &mut self.empty), priority, caller }
    }

    /// A key for something that does not wait: like no other, as numbers of places never grow as large.
    pub(super) fn aside(&mut self, priority: Priority, caller: &Arc<str>) -> Key {
        self.aside += 1;
        Key { number: u64::MAX - self.aside, priority, caller: Arc::clone(caller) }
    }

    /// The next one, and where it stood.
    pub(super) fn pop(&mut self) -> Option<(Key, T)> {
        let empty = &mut self.empty;
        let (number, item) = self.lanes.iter_mut().find_map(|lane| lane.pop(empty))?;
        self.left(&item);
        Some((key(number, &item), item))
    }

    /// Takes one out of the middle.
    pub(super) fn remove(&mut self, key: &Key) -> Option<T> {
        let item = self.lanes[key.priority as usize].remove(key, &mut self.empty)?;
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

    /// The keys of those of whom this is true.
    pub(super) fn keys_of(&self, is_so: impl Fn(&T) -> bool) -> BTreeSet<Key> {
        let lines = self.lanes.iter().flat_map(|lane| lane.callers.values());
        lines
            .flat_map(Line::all)
            .filter(|(_, item)| is_so(item))
            .map(|(at, it)| key(at, it))
            .collect()
    }

    pub(super) fn has_empty(&self) -> bool {
        !self.empty.is_empty()
    }

    /// What is kept for those who come next, to be given back.
    pub(super) fn take_empty(&mut self) -> Blocks<T> {
        std::mem::take(&mut self.empty)
    }
}

impl<T> Lane<T> {
    fn pop(&mut self, empty: &mut Blocks<T>) -> Option<(u64, T)> {
        while let Some((caller, began)) = self.turns.pop_front() {
            let line = self.callers.get_mut(&caller).filter(|line| line.began == began);
            let Some(line) = line else { continue };
            let first = line.pop(empty);
            if line.waiting == 0 {
                self.end(&caller, empty);
            } else {
                self.turns.push_back((caller, began));
            }
            if first.is_some() {
                return first;
            }
        }
        None
    }

    /// Takes one out of the middle. A line that is empty then is no more; its turn is left behind, for there may be many.
    fn remove(&mut self, key: &Key, empty: &mut Blocks<T>) -> Option<T> {
        let line = self.callers.get_mut(&key.caller)?;
        let item = line.remove(key.number, empty)?;
        if line.waiting == 0 {
            self.end(&key.caller, empty);
            // As many are left behind as it costs to look at all.
            if self.turns.len() > 2 * self.callers.len() + PLACES {
                let lines = &self.callers;
                self.turns.retain(|(of, began)| lines.get(of).is_some_and(|it| it.began == *began));
            }
        }
        Some(item)
    }

    fn end(&mut self, caller: &Arc<str>, empty: &mut Blocks<T>) {
        let line = self.callers.remove(caller);
        empty.extend(line.into_iter().flat_map(|line| line.blocks).flatten());
    }
}

impl<T> Block<T> {
    fn new() -> Box<Self> {
        Box::new(Self { places: std::array::from_fn(|_| None), waiting: 0 })
    }
}

impl<T> Line<T> {
    /// One that begins when so many were ever put in: with numbers that no earlier one of the same caller has had.
    fn new(began: u64) -> Self {
        Self { began, first: began, blocks: VecDeque::new(), head: 0, taken: PLACES, waiting: 0 }
    }

    /// All that waits in it, and where.
    fn all(&self) -> impl Iterator<Item = (u64, &T)> {
        let blocks = self.blocks.iter().zip(0_u64..);
        blocks.filter_map(|(block, at)| Some((block.as_ref()?, at))).flat_map(move |(block, at)| {
            let first = self.first + at * PLACES as u64;
            block.places.iter().zip(first..).filter_map(|(it, at)| Some((at, it.as_ref()?)))
        })
    }

    fn push(&mut self, item: T, empty: &mut Blocks<T>) -> u64 {
        if self.taken == PLACES {
            self.blocks.push_back(Some(empty.pop().unwrap_or_else(Block::new)));
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

    fn pop(&mut self, empty: &mut Blocks<T>) -> Option<(u64, T)> {
        loop {
            let is_last = self.blocks.len() == 1;
            match self.blocks.front_mut()? {
                Some(block) if block.waiting > 0 => {
                    let left = &block.places[self.head..];
                    self.head += left.iter().position(Option::is_some)?;
                    let number = self.first + self.head as u64;
                    return self.remove(number, empty).map(|item| (number, item));
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

    fn remove(&mut self, number: u64, empty: &mut Blocks<T>) -> Option<T> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let is_full = at / PLACES + 1 < self.blocks.len() || self.taken == PLACES;
        let place = self.blocks.get_mut(at / PLACES)?;
        let block = place.as_mut()?;
        let item = block.places[at % PLACES].take()?;
        block.waiting -= 1;
        self.waiting -= 1;
        if block.waiting == 0 && is_full {
            empty.extend(place.take());
        }
        Some(item)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;

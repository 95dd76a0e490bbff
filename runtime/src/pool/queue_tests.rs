//! The queue against what it says about itself, and against a plain list.

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
    assert!(queue.empty.len() <= 2);
}

#[test]
fn callers_who_have_cancelled_all_of_theirs_leave_nothing_behind_though_nobody_is_served() {
    let mut queue = queue();
    // These wait all the time: before one line, and behind it.
    queue.push(item(0, Priority::High, "other"));
    queue.push(of("first", 1));
    for number in 0..10_000 {
        let key = queue.push(of(&format!("caller {number}"), number));
        assert!(queue.remove(&key).is_some());
        let again = queue.push(of("comes back", number));
        assert!(queue.remove(&again).is_some());
    }
    let lane = &queue.lanes[Priority::Normal as usize];
    assert_eq!(lane.callers.keys().map(|it| &**it).collect::<Vec<_>>(), ["first"]);
    assert!(lane.turns.len() <= 3 * PLACES, "{} turns are left", lane.turns.len());
    assert!(queue.empty.len() <= 2, "{} blocks are left", queue.empty.len());
    // Turns that were left behind give nobody more of them.
    for number in [2, 3, 4] {
        queue.push(of("comes back", number));
    }
    queue.push(of("first", 5));
    assert_eq!(all(&mut queue), [0, 1, 2, 5, 3, 4]);
    assert!(queue.lanes.iter().all(|lane| lane.turns.is_empty() && lane.callers.is_empty()));
}

#[test]
fn blocks_are_used_again_and_given_back_when_somebody_asks_for_them() {
    let mut queue = queue();
    for _ in 0..3 {
        (0..1_000).for_each(|number| drop(queue.push(of("a", number))));
        (0..1_000).for_each(|number| drop(queue.push(of("b", number))));
        assert_eq!(all(&mut queue).len(), 2_000);
        assert_eq!(queue.empty.len(), 2 * 1_000_usize.div_ceil(PLACES));
        assert!(queue.empty.iter().all(|block| block.places.iter().all(Option::is_none)));
    }
    assert_eq!((queue.take_empty().is_empty(), queue.has_empty()), (false, false));
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

//! Whose function of the host is begun next. A program has no more of them at work than it leaves for all others: one
//! alone has half of what there is, a second one half of the rest, and none is there so often that another has to wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What is to be done for programs, in the order in which it may begin.
pub(super) struct Turns<T> {
    /// So much may be at work at once.
    most: usize,
    at_work: usize,
    /// Of each program for which something is to be done.
    lines: BTreeMap<Arc<str>, Line<T>>,
    /// The programs that wait, each once: who had a turn goes to the end.
    round: VecDeque<Arc<str>>,
}

struct Line<T> {
    at_work: usize,
    waiting: VecDeque<T>,
}

impl<T> Turns<T> {
    pub(super) const fn new(most: usize) -> Self {
        Self { most, at_work: 0, lines: BTreeMap::new(), round: VecDeque::new() }
    }

    /// Puts it behind what waits for the same program already.
    pub(super) fn wait(&mut self, program: Arc<str>, what: T) {
        let empty = || Line { at_work: 0, waiting: VecDeque::new() };
        let line = self.lines.entry(Arc::clone(&program)).or_insert_with(empty);
        if line.waiting.is_empty() {
            self.round.push_back(program);
        }
        line.waiting.push_back(what);
    }

    /// What may begin now, if anything. It is at work from here on.
    pub(super) fn begin(&mut self) -> Option<T> {
        let left = self.most - self.at_work;
        let is_due = |program: &Arc<str>| self.lines[program].at_work < left;
        let at = self.round.iter().position(is_due)?;
        let program = self.round.remove(at)?;
        let line = self.lines.get_mut(&program)?;
        let next = line.waiting.pop_front()?;
        line.at_work += 1;
        self.at_work += 1;
        if !line.waiting.is_empty() {
            self.round.push_back(program);
        }
        Some(next)
    }

    /// Something of this program is not at work any more.
    pub(super) fn end(&mut self, program: &str) {
        let Some(line) = self.lines.get_mut(program) else { return };
        line.at_work -= 1;
        self.at_work -= 1;
        if line.at_work == 0 && line.waiting.is_empty() {
            self.lines.remove(program);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What begins of all that may begin.
    fn begun(turns: &mut Turns<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.begin()).collect()
    }

    fn wait(turns: &mut Turns<&'static str>, program: &'static str, count: usize) {
        (0..count).for_each(|_| turns.wait(program.into(), program));
    }

    #[test]
    fn a_program_leaves_as_much_for_the_others_as_it_takes() {
        let mut turns = Turns::new(16);
        wait(&mut turns, "a", 100);
        assert_eq!(begun(&mut turns), ["a"; 8]);
        wait(&mut turns, "b", 100);
        assert_eq!(begun(&mut turns), ["b"; 4]);
        wait(&mut turns, "c", 1);
        assert_eq!(begun(&mut turns), ["c"]);
        // What ends is left to those that have less.
        turns.end("a");
        assert_eq!(turns.begin(), None);
        turns.end("b");
        assert_eq!(begun(&mut turns), ["b"]);
        turns.end("c");
        assert_eq!(begun(&mut turns), ["b"]);
    }

    #[test]
    fn programs_take_turns_whoever_came_with_more() {
        let mut turns = Turns::new(16);
        wait(&mut turns, "a", 100);
        wait(&mut turns, "b", 2);
        wait(&mut turns, "c", 1);
        assert_eq!(begun(&mut turns)[..6], ["a", "b", "c", "a", "b", "a"]);
    }

    #[test]
    fn the_last_one_is_given_to_whoever_has_none_and_no_more_than_all_are() {
        let mut turns = Turns::new(4);
        for (program, count) in [("a", 1), ("b", 9), ("c", 9), ("d", 9)] {
            wait(&mut turns, program, count);
        }
        assert_eq!(begun(&mut turns), ["a", "b", "c", "d"]);
        wait(&mut turns, "e", 1);
        assert_eq!(turns.begin(), None);
        turns.end("a");
        assert_eq!(begun(&mut turns), ["e"], "who has none is before who has one");
    }

    #[test]
    fn one_that_ends_may_let_two_begin() {
        let mut turns = Turns::new(12);
        wait(&mut turns, "a", 9);
        assert_eq!(begun(&mut turns), ["a"; 6]);
        wait(&mut turns, "b", 9);
        assert_eq!(begun(&mut turns), ["b"; 3]);
        turns.end("a");
        assert_eq!(begun(&mut turns), ["b"]);
        turns.end("a");
        assert!(begun(&mut turns).is_empty());
        turns.end("b");
        assert_eq!(begun(&mut turns), ["a", "b"]);
    }

    #[test]
    fn nothing_is_kept_of_programs_for_which_nothing_is_to_be_done() {
        let mut turns = Turns::new(4);
        wait(&mut turns, "a", 3);
        for _ in 0..3 {
            assert_eq!(turns.begin(), Some("a"));
            turns.end("a");
        }
        assert_eq!((turns.begin(), turns.at_work, turns.lines.len()), (None, 0, 0));
        assert!(turns.round.is_empty());
    }
}

//! Groups whose tasks are over, for the next tasks of the same program.

use std::sync::{Mutex, PoisonError};

use crate::limits::Limits;

use super::Group;

/// At most so many wait; what ran beside them is removed. Each has a few open files.
const MOST: usize = 16;

/// The groups of a program that wait for their next task. Those that are there at its end go with it.
#[derive(Debug, Default)]
pub(in crate::native) struct Shelf {
    groups: Mutex<Vec<Group>>,
}

impl Shelf {
    /// One that is as good as a new one with these limits, if there is any.
    pub(in crate::native) fn take(&self, limits: &Limits) -> Option<Group> {
        let found = {
            // Each change is one call on a std type, so a panic elsewhere leaves nothing half done.
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            let place = groups.iter().rposition(|group| group.suits(limits))?;
            groups.swap_remove(place)
        };
        // What could not be made as good as new is removed here.
        let mut group = found;
        group.begin_anew(limits).is_ok().then_some(group)
    }

    /// Removes those that wait.
    pub(in crate::native) fn clear(&self) {
        let groups =
            std::mem::take(&mut *self.groups.lock().unwrap_or_else(PoisonError::into_inner));
        drop(groups);
    }

    /// Keeps one whose task is over, if nothing of that task is left in it and there is room; else gives it back, to be removed.
    /// Its processes must all be gone; so often the kernel has killed one of them.
    pub(in crate::native) fn put(&self, group: Group, oom_kills: u64) -> Option<Group> {
        if oom_kills > 0 || group.is_closed() {
            return Some(group);
        }
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= MOST {
            return Some(group);
        }
        groups.push(group);
        None
    }
}

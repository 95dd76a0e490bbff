//! What is cleared away behind a report: the process of a call that was answered, killed and about to end.
//!
//! Whoever ran it has its report, and waits for none of this. The thread that hears of the end clears it away: its descriptors are
//! closed, and its group is there for the next task. A caller who runs task after task outruns that by [`MOST`] of them; then he
//! waits for his own. Nothing of it outlives the program that was loaded.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::group::{Group, Shelf};
use super::process::Process;

/// So many may be about to end at the same time, for each program.
const MOST: usize = 4;

/// The processes of one program that are about to end, and what is left of those that have.
#[derive(Default)]
pub(super) struct Behind {
    /// Groups whose tasks are over.
    pub(super) shelf: Shelf,
    going: Mutex<Vec<(u64, Box<Process>)>>,
    /// Held while one of them is cleared away.
    clearing: Mutex<()>,
    /// Groups of which something is left to do that takes time: whoever hears of ends has none.
    spent: Mutex<Vec<Group>>,
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").field("going", &self.going().len()).finish_non_exhaustive()
    }
}

impl Behind {
    /// Has one cleared away that was killed, when its end is heard of.
    pub(super) fn leave(self: &Arc<Self>, process: Box<Process>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Not while it is locked: whoever hears of ends may want to add one.
        drop(self.take_spent());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let done = Arc::clone(&process.launched.done);
        {
            let mut going = self.going();
            if going.len() >= MOST {
                drop(going);
                return self.clear(process);
            }
            going.push((number, process));
        }
        let own = Arc::downgrade(self);
        let clear = move || {
            if let Some(own) = own.upgrade() {
                own.has_ended(number);
            }
        };
        done.call(Arc::new(clear));
        if done.was_rung() {
            // It may have been before there was anybody to be called.
            self.has_ended(number);
        }
    }

    /// Waits for its end.
    pub(super) fn clear(&self, process: Box<Process>) {
        // What is not kept is removed.
        drop(process.into_group().and_then(|group| self.keep(group)));
    }

    /// Clears all of them away. Nobody leaves any more.
    pub(super) fn clear_all(&self) {
        // Whoever tells of their ends must not wait for whoever waits for them.
        let going = std::mem::take(&mut *self.going());
        going.into_iter().for_each(|(_, process)| self.clear(process));
        drop(self.clearing());
        drop(self.take_spent());
        // Here, and not where the last one happens to be who knows of it.
        self.shelf.clear();
    }

    fn has_ended(&self, number: u64) {
        let _clearing = self.clearing();
        let process = {
            let mut going = self.going();
            let place = going.iter().position(|(known, _)| *known == number);
            place.map(|place| going.swap_remove(place).1)
        };
        let group = process.and_then(|process| process.into_group());
        let spent = group.and_then(|group| self.keep(group));
        spent.into_iter().for_each(|group| self.spent().push(group));
    }

    fn keep(&self, group: Group) -> Option<Group> {
        let kills = group.oom_kills();
        self.shelf.put(group, kills)
    }

    fn take_spent(&self) -> Vec<Group> {
        std::mem::take(&mut *self.spent())
    }

    fn spent(&self) -> MutexGuard<'_, Vec<Group>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn going(&self) -> MutexGuard<'_, Vec<(u64, Box<Process>)>> {
        // Each change is one call on a std type, so a panic elsewhere leaves nothing half done.
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clearing(&self) -> MutexGuard<'_, ()> {
        self.clearing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Reports that nobody takes are memory, too. While they hold more than they may, only those tasks begin that somebody waits
//! for, or whose report nobody will ever have; the others go on when no more than half of it is left.
//!
//! ```text
//!              a report comes, and all hold too much
//!   everybody -------------------------------------> only those who are waited for
//!       ^                                                          |
//!       +----------------------------------------------------------+
//!                    half of what they may is left
//! ```
//!
//! So a caller who reads late has his memory bounded, and nobody who waits is kept waiting by reports that are not his. Who
//! waits for room in a full queue waits, too, for whatever leaves it: for him one of those that were held back begins.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::report::Report;

use super::queue::Key;
use super::shared::Shared;
use super::state::State;

/// What a report holds besides what it carries, about.
const REPORT: u64 = 1024;

/// What reports hold that are there and that nobody has taken.
#[derive(Debug)]
pub(super) struct Unread {
    pool: Weak<Shared>,
    bytes: AtomicU64,
    /// Whether it is too much. Set under the pool's lock, where it stands once more.
    is_too_much: AtomicBool,
}

impl Unread {
    pub(super) fn of(pool: Weak<Shared>) -> Arc<Self> {
        Arc::new(Self { pool, bytes: AtomicU64::new(0), is_too_much: AtomicBool::new(false) })
    }
}

/// A report's part of it, until it is taken or dropped.
#[derive(Debug)]
pub(super) struct Hold {
    bytes: u64,
    of: Arc<Unread>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        if self.of.is_too_much.load(Ordering::SeqCst)
            && let Some(pool) = self.of.pool.upgrade()
        {
            pool.is_taken();
        }
    }
}

/// What a report holds, about.
pub(crate) fn bytes_of(report: &Report) -> u64 {
    let output = &report.output;
    let written = output.stdout.as_ref().map_or(0, Vec::len) + output.stderr_tail.len();
    let values = [&output.result, &output.error_value].into_iter().flatten();
    let given: usize =
        values.filter(|value| value.path().is_none()).map(|value| value.bytes().len()).sum();
    let dump = report.facts.core_dump.as_ref().and_then(|dump| dump.bytes());
    REPORT + (written + given + dump.map_or(0, |bytes| bytes.len())) as u64
}

impl Shared {
    pub(super) fn unread_bytes(&self) -> u64 {
        self.unread.bytes.load(Ordering::SeqCst)
    }

    /// Somebody waits for a task, or nobody wants its report: it is none of those that don't begin.
    pub(super) fn hurry(&self, key: &Key) {
        // Whoever finds too much of it looks afterwards who waits already.
        if !self.unread.is_too_much.load(Ordering::SeqCst) {
            return;
        }
        let mut state = self.lock();
        if state.holds_back && state.hurried.insert(key.clone()) {
            state.call_one(self);
        }
        self.release(state);
    }

    fn is_taken(&self) {
        if self.unread_bytes() <= self.enough() {
            let mut state = self.lock();
            state.hold_back_no_more(self);
            self.release(state);
        }
    }

    fn enough(&self) -> u64 {
        self.settings.unread.as_u64() / 2
    }
}

impl State {
    /// Counts a report that is there from now on.
    pub(super) fn count_unread(&mut self, shared: &Shared, report: &Report) -> Hold {
        let bytes = bytes_of(report);
        let all = shared.unread.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if all > shared.settings.unread.as_u64() && !self.holds_back {
            self.holds_back = true;
            shared.unread.is_too_much.store(true, Ordering::SeqCst);
            self.hurried = self.queue.keys_of(|waiting| waiting.promise.is_never_left_lying());
            self.makes_room = self.is_room_wanted();
            // What was taken meanwhile was taken by somebody who knew nothing of it.
            self.hold_back_no_more(shared);
        }
        Hold { bytes, of: Arc::clone(&shared.unread) }
    }

    fn hold_back_no_more(&mut self, shared: &Shared) {
        if self.holds_back && shared.unread_bytes() <= shared.enough() {
            self.holds_back = false;
            shared.unread.is_too_much.store(false, Ordering::SeqCst);
            self.hurried.clear();
            self.makes_room = false;
            while !self.idle.is_empty() {
                self.call_one(shared);
            }
        }
    }

    fn is_room_wanted(&self) -> bool {
        self.blocked > 0 || !self.at_door.is_empty()
    }

    /// Whether the first of those that are held back begins all the same.
    pub(super) fn lets_one_begin(&self) -> bool {
        self.makes_room && self.is_room_wanted()
    }

    /// Somebody has found no room. If he finds none afterwards, either, he says so again: no more begin than have to.
    pub(super) fn make_room(&mut self, shared: &Shared) {
        if self.holds_back {
            self.makes_room = true;
            self.call_one(shared);
        }
    }

    /// Somebody has found room, and others may not.
    pub(super) fn make_room_again(&mut self, shared: &Shared) {
        if self.is_room_wanted() && self.queue.admits(0).is_err() {
            self.make_room(shared);
        }
    }
}

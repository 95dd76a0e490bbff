//! The supervisor: one thread for each pool that looks after what nobody else would notice.
//!
//! ```text
//!                 wall time + patience                     patience again
//!   +---------+ ----------------------> +--------------+ -----------------> +----------+
//!   | running |                         | told to stop |                    | given up |
//!   +---------+ ----------------------> +--------------+                    +----------+
//!        |        cancelled, shut down         |                                 | its task is reported,
//!        v                                     v                                 v and its place taken by
//!      report                               report                              another worker
//! ```
//!
//! * A task that waits past its deadline is reported then, and not when a worker happens to be free.
//! * Whoever waits for a time without a thread (the delay before a retry, the time after which a task is late) is woken.
//! * A wall that keeps its promises ends a task at its wall time, and none of this happens. A thread that was given up
//!   may come back much later: what it says counts no more, and it ends.
//! * When workers are started again, how soon and how often, is the workers' own affair, by the policy of restarts.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::evidence::StopReason;
use crate::isolation::StopHandle;
use crate::pool::shared::Shared;
use crate::pool::state::{Phase, State};
use crate::pool::threads;

/// Starts looking after a pool, until it is closed. Without a thread for it, walls have to keep their promises alone, and
/// those who wait for a time are woken by whichever of the pool's threads has nothing else to do.
pub(crate) fn start(pool: &Arc<Shared>) -> Option<JoinHandle<()>> {
    let shared = Arc::clone(pool);
    let started = threads::start("sandtrap-supervisor".to_owned(), move || watch(&shared));
    pool.lock().is_unwatched = started.is_err();
    started.ok()
}

fn watch(shared: &Arc<Shared>) {
    let mut state = shared.lock();
    while state.phase != Phase::Closed {
        let now = Instant::now();
        let next_deadline = state.expire(shared, now);
        let next_alarm = state.ring(now);
        let (late, next_late) = look(&mut state, shared, now);
        if state.is_left_alone() {
            state = shared.clear_up(state);
        }
        if !late.is_empty() {
            shared.release(state);
            for stop in late {
                stop.stop(StopReason::WallTime);
            }
            state = shared.lock();
            continue;
        }
        // What it was to look at may be over by then; whatever comes next is later, and need not wake it.
        let asked = state.watched_at.filter(|at| *at > now);
        let next = [next_deadline, next_alarm, next_late, asked].into_iter().flatten().min();
        state.watched_at = next;
        state = shared.pause(state, &shared.watch, next);
    }
    // Nobody waits for a time any more.
    state.ring(Instant::now());
    shared.release(state);
}

/// The handles of tasks that are late, and when the next one will be. Those that are late once more are given up.
fn look(
    state: &mut State,
    shared: &Arc<Shared>,
    now: Instant,
) -> (Vec<StopHandle>, Option<Instant>) {
    let (mut late, mut next) = (Vec::new(), None);
    for slot in 0..state.slots.len() {
        let Some(running) = &mut state.slots[slot].running else { continue };
        if running.due > now {
            next = next.into_iter().chain([running.due]).min();
        } else if running.asked {
            state.give_up(shared, slot);
        } else {
            (running.asked, running.due) = (true, now + shared.settings.patience);
            late.push(running.stop.clone());
        }
    }
    (late, next)
}

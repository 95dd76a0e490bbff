//! Processes that stand ready for a task: made while nothing is timed, as a pool makes them while it has nothing to do.

use std::time::{Duration, Instant};

use sandtrap::{Entry, Loaded, Order, Pool, PoolSettings, Report, Task};

/// So many stand ready before the first of them is used: those behind it find caller and processors awake.
const READY: usize = 8;

/// Tasks of one kind, each in a process that was there before.
pub(crate) struct Ready {
    pool: Pool,
    task: Task,
    left: usize,
}

impl Ready {
    pub(crate) fn of(loaded: &Loaded, task: &Task) -> Self {
        let is_command = matches!(task.entry, Entry::Command { .. });
        let spares_for = is_command.then(|| task.entry.clone());
        let settings = PoolSettings { spares: READY, spares_for, ..PoolSettings::with_workers(1) };
        Self { pool: loaded.pool(settings), task: task.clone(), left: 0 }
    }

    /// Waits until they stand, if none is left.
    pub(crate) fn refill(&mut self) {
        if self.left == 0 {
            // Those that died of their task on purpose are not to be waited for.
            self.pool.reset();
            while self.pool.status().spares < READY {
                std::thread::yield_now();
            }
            // What has just been started has to load yet; in life it has time for it.
            std::thread::sleep(Duration::from_millis(5));
            self.left = READY;
        }
    }

    /// How long the next task takes, from the call to its report.
    pub(crate) fn next(&mut self, look: impl Fn(&Report)) -> Duration {
        self.refill();
        self.left -= 1;
        let began = Instant::now();
        let report = self.pool.run(Order::new(self.task.clone()));
        let took = began.elapsed();
        look(&report);
        took
    }
}

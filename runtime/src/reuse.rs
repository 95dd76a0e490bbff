//! How long a guest that is kept between tasks may be used.

use std::time::Duration;

use crate::quantity::ByteSize;

/// How long a guest that is kept may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Tasks it runs at most.
    pub max_tasks: u64,
    /// How old it gets at most; a task that runs is not broken off for it. In a pool that counts from when it is ready, for spares, too.
    pub max_age: Duration,
    /// The most memory it may hold between two tasks.
    pub max_resident: ByteSize,
    /// How long it may say nothing while it serves a call of one of its functions: neither an answer nor a beat
    /// (`cx.beat()`), nor anything else over its channel. One that is silent for longer is ended (`stopped.wall-time`,
    /// with [`StopReason::Silence`](crate::StopReason::Silence)). Time in which it waits for a function of its host doesn't
    /// count. `None` leaves that to the wall time; exports of plain modules and functions of
    /// components have no channel, and are refused with it.
    pub max_silence: Option<Duration>,
}

impl Default for Reuse {
    fn default() -> Self {
        let (max_age, max_resident) = (Duration::from_secs(3_600), ByteSize::mib(256));
        Self { max_tasks: 100_000, max_age, max_resident, max_silence: None }
    }
}

impl Reuse {
    /// The same for one guest of many, which chance ends earlier: by up to so many percent of its tasks and its age.
    pub(crate) fn spread(self, percent: u32, random: f64) -> Self {
        let part = f64::from(percent.min(100)) / 100.0 * random;
        // What is left of a number of tasks is a number of tasks, and one at least.
        let fewer = (self.max_tasks as f64 * part) as u64;
        Self {
            max_tasks: self.max_tasks.saturating_sub(fewer).max(self.max_tasks.min(1)),
            max_age: self.max_age.saturating_sub(self.max_age.mul_f64(part)),
            ..self
        }
    }

    /// In what way a guest that has run so many tasks, is so old and holds so much is used up, if it is.
    pub(crate) fn used_up(&self, tasks_run: u64, age: Duration, resident: u64) -> Option<String> {
        if tasks_run >= self.max_tasks {
            return Some(format!("it has run {tasks_run} tasks"));
        }
        if age >= self.max_age {
            return Some(format!("it is {} s old", age.as_secs()));
        }
        let resident = ByteSize::bytes(resident);
        (resident > self.max_resident).then(|| format!("it holds {resident} of memory"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s70_guests_that_began_together_are_used_up_one_after_another_and_none_later_than_it_may() {
        let (max_tasks, max_age) = (1_000, Duration::from_secs(1_000));
        let reuse = Reuse { max_tasks, max_age, ..Reuse::default() };
        let of = |random| reuse.spread(20, random);
        assert_eq!(of(0.0), reuse);
        for (random, left) in [(0.25, 950), (0.5, 900), (1.0, 800)] {
            let (tasks, age) = (of(random).max_tasks, of(random).max_age);
            assert_eq!((tasks, age.as_secs()), (left, left), "{random}");
        }
        assert_eq!(reuse.spread(0, 1.0), reuse);
        assert_eq!(reuse.spread(100, 1.0).max_tasks, 1, "a guest that runs nothing is no guest");
        let endless = Reuse { max_tasks: u64::MAX, max_age: Duration::MAX, ..reuse };
        assert_eq!(endless.spread(0, 0.5), endless);
    }
}

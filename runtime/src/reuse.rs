//! How long a guest that is kept between tasks may be used.

use std::time::Duration;

use crate::quantity::ByteSize;

/// How long a guest that is kept may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Tasks it runs at most.
    pub max_tasks: u64,
    /// How old it gets at most; a task that runs is not broken off for it.
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

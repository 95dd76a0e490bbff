//! Why a task was not taken on. None of its code ran, and none of it will.

use std::sync::Arc;
use std::time::Duration;

use crate::evidence::{Evidence, Refusal, Step};
use crate::quantity::{ByteSize, show_duration};

/// Why a task was not taken on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// As many wait as may wait.
    #[error("{most} tasks wait already, and no more may; submit it later, or allow a longer queue")]
    QueueFull {
        /// How many may wait.
        most: usize,
    },
    /// Those who wait hold as much as they may.
    #[error(
        "the inputs of the waiting tasks would hold more than {most}; submit it later, or allow more"
    )]
    QueueBytes {
        /// How much they may hold.
        most: ByteSize,
    },
    /// The pool finishes what it has begun and takes on nothing more.
    #[error("the pool is draining; submit it to another one")]
    Draining,
    /// The pool is no more.
    #[error("the pool was shut down; submit it to another one")]
    ShutDown,
    /// It is of no use any more.
    #[error(
        "its deadline passed before a worker was free; give it more time, or allow more workers"
    )]
    DeadlinePassed,
    /// It has waited for as long as it may.
    #[error(
        "no worker was free for it within {}; let it wait longer, or allow more workers",
        show_duration(*most)
    )]
    QueueTime {
        /// How long it may wait.
        most: Duration,
    },
    /// It was stopped while it waited for room.
    #[error("it was stopped before there was room for it")]
    Stopped,
    /// Too many workers died, or the host has no thread for one.
    #[error(
        "too many workers died, and none is started any more; look at their reports, then reset the pool"
    )]
    NoWorkers,
    /// It needs a device that is not there.
    #[error("there is no device `{device}` here; name one of the fleet's, or none")]
    NoDevice {
        /// Its name.
        device: Arc<str>,
    },
    /// What it needs breaks again and again and is left alone for a while.
    #[error("the circuit `{key}` is {state}; {}", retry_words(*retry_after))]
    CircuitOpen {
        /// The breaker.
        key: Arc<str>,
        /// Its state.
        state: &'static str,
        /// When trying again may help.
        retry_after: Option<Duration>,
    },
    /// It killed worker after worker.
    #[error("this input killed {deaths} workers and is quarantined for {}; release it by hand if it was mended", show_duration(*retry_after))]
    Quarantined {
        /// How many.
        deaths: usize,
        /// When it is let go by itself.
        retry_after: Duration,
    },
}

impl Rejection {
    /// The word used in logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::QueueFull { .. } => "queue-full",
            Self::QueueBytes { .. } => "queue-bytes",
            Self::Draining => "draining",
            Self::ShutDown => "shut-down",
            Self::DeadlinePassed => "deadline-passed",
            Self::QueueTime { .. } => "queue-time",
            Self::Stopped => "stopped",
            Self::NoWorkers => "no-workers",
            Self::NoDevice { .. } => "no-device",
            Self::CircuitOpen { .. } => "circuit-open",
            Self::Quarantined { .. } => "quarantined",
        }
    }

    /// When asking again may help, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::CircuitOpen { retry_after, .. } => *retry_after,
            Self::Quarantined { retry_after, .. } => Some(*retry_after),
            Self::QueueFull { .. }
            | Self::QueueBytes { .. }
            | Self::Draining
            | Self::ShutDown
            | Self::DeadlinePassed
            | Self::QueueTime { .. }
            | Self::Stopped
            | Self::NoDevice { .. }
            | Self::NoWorkers => None,
        }
    }

    /// Whether there was only no room: the next one to end makes some.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::QueueFull { .. } | Self::QueueBytes { .. })
    }

    /// The evidence of a task that was rejected.
    pub(crate) fn to_evidence(&self) -> Evidence {
        let detail = self.to_string();
        Evidence::never_started(Refusal { step: Step::Accept, errno: None, detail })
    }
}

fn retry_words(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(time) => format!("try again in {}", show_duration(time)),
        None => "it was set so by hand".to_owned(),
    }
}

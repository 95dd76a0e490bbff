//! A caller who wants one well-behaved task after another while the storm rages, and how long that took each time.

use std::fmt;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::cast::Cast;

/// So many times as long as the longest task of the storm ran may a caller wait for one that does next to nothing. Whoever is
/// starved waits for many of them; where everything is slow, the longest task is, too.
const PATIENCE: u32 = 4;

/// How long one caller waited.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// For whom.
    pub name: String,
    /// Each time, sorted.
    pub times: Vec<Duration>,
    /// Reports that were not the right ones.
    pub wrong: Vec<String>,
}

impl Pulse {
    /// One task for each beat, until there are no more.
    pub(super) fn of(cast: &Cast, beats: &Receiver<()>) -> Self {
        let (mut times, mut wrong) = (Vec::new(), Vec::new());
        while beats.recv().is_ok() {
            let began = Instant::now();
            let report = cast.pool.run(cast.order(times.len()));
            times.push(began.elapsed());
            if !cast.may_end(report.verdict.label()) {
                wrong.push(report.verdict.to_string());
            }
        }
        times.sort_unstable();
        Self { name: cast.name.clone(), times, wrong }
    }

    /// Whether nobody had to wait for it much longer than the longest task of the storm ran, on this machine at this time.
    pub fn is_in_time(&self, longest: Duration) -> bool {
        self.percentile(100) <= longest * PATIENCE
    }

    /// The time within which so many in a hundred were answered.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, longest] = [50, 99, 100].map(|percent| self.percentile(percent));
        let (name, times) = (&self.name, self.times.len());
        write!(
            f,
            "{name}: {times} tasks one by one, half within {half:.1?}, 99 % within {most:.1?}, "
        )?;
        write!(f, "all within {longest:.1?}, {} wrong", self.wrong.len())
    }
}

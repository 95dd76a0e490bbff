//! What was done once need not be done again: the reports of tasks that completed, by the keys that their callers gave them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::order::Order;
use crate::pool::bytes_of;
use crate::report::{Report, TaskSummary};
use crate::telemetry::Happening;

use super::Executor;

/// So many are remembered, so much of them, and for so long.
const MOST: usize = 1_000;
const MOST_BYTES: u64 = 16 * 1024 * 1024;
const KEPT_FOR: Duration = Duration::from_secs(3_600);

/// Reports by their keys, oldest first.
#[derive(Default)]
pub(super) struct Answers(Mutex<State>);

#[derive(Default)]
struct State {
    kept: VecDeque<Answer>,
    bytes: u64,
}

struct Answer {
    key: Arc<str>,
    at: Instant,
    bytes: u64,
    report: Report,
}

impl Answers {
    fn find(&self, key: &str, now: Instant) -> Option<Report> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(|it, _, _| now.saturating_duration_since(it.at) >= KEPT_FOR);
        state.kept.iter().find(|answer| &*answer.key == key).map(|answer| answer.report.clone())
    }

    fn keep(&self, key: &Arc<str>, report: &Report, at: Instant) {
        let (key, bytes) = (Arc::clone(key), bytes_of(report));
        if bytes > MOST_BYTES {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.kept.push_back(Answer { key, at, bytes, report: report.clone() });
        state.bytes += bytes;
        state.forget(|_, count, bytes| count > MOST || bytes > MOST_BYTES);
    }
}

impl State {
    /// Forgets the oldest as long as this is so of it, of the number of all, and of what they hold.
    fn forget(&mut self, is_too_much: impl Fn(&Answer, usize, u64) -> bool) {
        let (mut count, mut bytes) = (self.kept.len(), self.bytes);
        while let Some(oldest) = self.kept.pop_front_if(|it| is_too_much(it, count, bytes)) {
            (count, bytes) = (count - 1, bytes - oldest.bytes);
        }
        self.bytes = bytes;
    }
}

impl Executor {
    /// The report of a task that has done already what this one is for.
    pub(super) fn answered(&self, order: &Order) -> Option<Report> {
        let known = self.answers.find(order.once.as_ref()?, Instant::now())?;
        let id = order.task.id.clone();
        self.desk.telemetry.tell(&Happening::TaskAnswered { task: id.clone() });
        Some(Report { task: TaskSummary { id, ..known.task }, attempts: 0, ..known })
    }

    pub(super) fn remember(&self, once: Option<&Arc<str>>, report: &Report) {
        if let Some(key) = once.filter(|_| report.verdict.is_completed()) {
            self.answers.keep(key, report, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::classify::classify;
    use crate::evidence::{Ending, Evidence, Source};
    use crate::limits::Limits;
    use crate::task::{Program, Task, Wall};

    fn report(stdout: usize) -> Report {
        let program = Program::file("p");
        let summary = TaskSummary::new(&program, Wall::Native, &Task::command(["x"]));
        let mut evidence = Evidence::of(Source::Ptrace, Ending::Exited(0));
        evidence.output.stdout = Some(vec![b'x'; stdout]);
        Report::new(summary, Limits::default(), classify(&evidence), evidence)
    }

    #[test]
    fn s42_what_is_remembered_is_bounded_by_number_by_size_and_by_age() {
        let (answers, start) = (Answers::default(), Instant::now());
        let has = |number: usize, after| answers.find(&number.to_string(), start + after).is_some();
        for number in 0..=MOST {
            answers.keep(&number.to_string().into(), &report(0), start);
        }
        assert!(!has(0, Duration::ZERO) && has(1, Duration::ZERO) && has(MOST, Duration::ZERO));
        let half = report(usize::try_from(MOST_BYTES).unwrap() / 2);
        for number in [2_000, 2_001] {
            answers.keep(&number.to_string().into(), &half, start);
        }
        assert!(!has(MOST, Duration::ZERO) && !has(2_000, Duration::ZERO));
        assert!(has(2_001, KEPT_FOR - Duration::from_nanos(1)) && !has(2_001, KEPT_FOR));
        answers.keep(&"4000".into(), &report(usize::try_from(MOST_BYTES).unwrap()), start);
        assert!(!has(4_000, Duration::ZERO), "one that is too large drives out nobody");
    }
}

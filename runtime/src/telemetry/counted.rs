//! What happens, as metrics. No task, worker, input or caller is ever a label: there would be endlessly many.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::Happening;

/// Says what each of them means, to recorders that tell others.
pub(super) fn describe() {
    for (name, what) in [
        ("workers_started", "workers that were there"),
        ("worker_crashes", "workers that died, by the verdict of their task"),
        ("workers_recycled", "workers that were replaced as planned"),
        ("workers_abandoned", "workers that neither answered nor died, and were given up"),
        ("worker_failed_starts", "workers that could not be started"),
        ("tasks_queued", "tasks that were taken on"),
        ("tasks_finished", "tasks that have their report, by verdict"),
        ("tasks_answered", "tasks that were not run, as others had done what they were for"),
        ("tasks_rejected", "tasks that were not taken on, by the reason"),
        ("breaker_changes", "circuit breakers that changed their state, by the new one"),
        ("retries", "tasks that were tried again, by the verdict before"),
        ("retries_held", "tasks that waited for a breaker's probe before they were tried again"),
        ("hedges", "second copies of tasks that were late"),
        ("hedges_won", "second copies that answered before the first one"),
        ("quarantine_added", "inputs that are refused since they killed worker after worker"),
        ("quarantine_released", "inputs that were let go by hand"),
        ("history_losses", "times at which the history of crashes could no longer be written"),
    ] {
        describe_counter!(format!("sandtrap_{name}_total"), what);
    }
    describe_gauge!("sandtrap_tasks_waiting", "tasks that wait for a worker");
    describe_gauge!("sandtrap_tasks_running", "tasks that run");
    describe_gauge!(
        "sandtrap_health_alert",
        "of how many subjects this pattern of crashes is seen now"
    );
    describe_histogram!("sandtrap_task_wait_seconds", "how long tasks waited for a worker");
    describe_histogram!("sandtrap_task_seconds", "how long tasks ran");
    describe_histogram!(
        "sandtrap_worker_restart_seconds",
        "how long the place of a dead worker was empty"
    );
}

/// Counts one happening.
pub(super) fn count(happening: &Happening) {
    match happening {
        Happening::WorkerStarted { .. } => counter!("sandtrap_workers_started_total").increment(1),
        Happening::WorkerCrashed { label, .. } => {
            counter!("sandtrap_worker_crashes_total", "verdict" => label.as_str()).increment(1);
        }
        Happening::WorkerRestarted { after, .. } => {
            histogram!("sandtrap_worker_restart_seconds").record(after.as_secs_f64());
        }
        Happening::WorkerRecycled { .. } => {
            counter!("sandtrap_workers_recycled_total").increment(1)
        }
        Happening::WorkerAbandoned { .. } => {
            counter!("sandtrap_workers_abandoned_total").increment(1);
        }
        Happening::WorkerFailedToStart { .. } => {
            counter!("sandtrap_worker_failed_starts_total").increment(1);
        }
        // Several pools may count here, so each says what changes.
        Happening::TaskQueued { .. } => {
            counter!("sandtrap_tasks_queued_total").increment(1);
            gauge!("sandtrap_tasks_waiting").increment(1.0);
        }
        Happening::TaskStarted { waited, .. } => {
            gauge!("sandtrap_tasks_waiting").decrement(1.0);
            gauge!("sandtrap_tasks_running").increment(1.0);
            histogram!("sandtrap_task_wait_seconds").record(waited.as_secs_f64());
        }
        Happening::TaskReturned { .. } => {
            gauge!("sandtrap_tasks_running").decrement(1.0);
            gauge!("sandtrap_tasks_waiting").increment(1.0);
        }
        Happening::TaskFinished { worker, label, took, .. } => {
            counter!("sandtrap_tasks_finished_total", "verdict" => label.as_str()).increment(1);
            if worker.is_some() {
                gauge!("sandtrap_tasks_running").decrement(1.0);
                histogram!("sandtrap_task_seconds").record(took.as_secs_f64());
            } else {
                // It ended while it waited.
                gauge!("sandtrap_tasks_waiting").decrement(1.0);
            }
        }
        Happening::TaskAnswered { .. } => counter!("sandtrap_tasks_answered_total").increment(1),
        Happening::TaskRejected { why, .. } => {
            counter!("sandtrap_tasks_rejected_total", "why" => why.name()).increment(1);
        }
        Happening::BreakerChanged { change, .. } => {
            counter!("sandtrap_breaker_changes_total", "to" => change.to.name()).increment(1);
        }
        Happening::RetryAttempt { label, .. } => {
            counter!("sandtrap_retries_total", "verdict" => label.as_str()).increment(1);
        }
        Happening::RetryHeld { .. } => counter!("sandtrap_retries_held_total").increment(1),
        Happening::HedgeSent { .. } => counter!("sandtrap_hedges_total").increment(1),
        Happening::HedgeWon { .. } => counter!("sandtrap_hedges_won_total").increment(1),
        Happening::QuarantineAdded { .. } => {
            counter!("sandtrap_quarantine_added_total").increment(1)
        }
        Happening::QuarantineReleased { .. } => {
            counter!("sandtrap_quarantine_released_total").increment(1);
        }
        Happening::HistoryLost { .. } => counter!("sandtrap_history_losses_total").increment(1),
        Happening::Health(alert) => {
            // Subjects are no labels, for there are endlessly many of them.
            let seen = gauge!("sandtrap_health_alert", "pattern" => alert.pattern.name());
            if alert.raised { seen.increment(1.0) } else { seen.decrement(1.0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
        Recorder, SharedString, Unit,
    };

    use crate::label::Label;
    use crate::policy::health::{Alert, Pattern, Subject};
    use crate::rejection::Rejection;
    use crate::task::TaskId;
    use crate::telemetry::{Happening, Telemetry};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    struct Line(Kept, String);

    impl Line {
        fn of(kept: &Kept, key: &Key) -> Arc<Self> {
            let labels: Vec<String> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(Self(kept.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
        }

        fn push(&self, what: &str) {
            self.0.0.lock().unwrap().push(format!("{} {what}", self.1));
        }
    }

    impl CounterFn for Line {
        fn increment(&self, value: u64) {
            self.push(&format!("+{value}"));
        }
        fn absolute(&self, value: u64) {
            self.push(&value.to_string());
        }
    }

    impl GaugeFn for Line {
        fn increment(&self, value: f64) {
            self.push(&format!("+{value}"));
        }
        fn decrement(&self, value: f64) {
            self.push(&format!("-{value}"));
        }
        fn set(&self, value: f64) {
            self.push(&value.to_string());
        }
    }

    impl HistogramFn for Line {
        fn record(&self, value: f64) {
            self.push(&format!("seen {value}"));
        }
    }

    impl Recorder for Kept {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(Line::of(self, key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(Line::of(self, key))
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Line::of(self, key))
        }
    }

    #[test]
    fn s52_s55_s56_what_happens_is_counted_with_labels_of_which_there_are_only_so_many() {
        let kept = Kept::default();
        let telemetry = Telemetry::default().and(Telemetry::to_metrics());
        let (task, label) = (TaskId::named("t"), Label::CrashedAbort);
        let (waited, took) = (Duration::from_secs(1), Duration::from_secs(2));
        let (pattern, subject) = (Pattern::CrashRate, Subject::Device("cuda:0".into()));
        let alert = Alert { pattern, subject, raised: true, count: 6 };
        let why = Rejection::Draining;
        metrics::with_local_recorder(&kept, || {
            for happening in [
                Happening::TaskStarted { task: task.clone(), worker: 1, waited },
                Happening::TaskFinished { task: task.clone(), worker: Some(1), label, took },
                Happening::WorkerCrashed { worker: 1, task: Some(task.clone()), label },
                Happening::RetryAttempt { task: task.clone(), attempt: 2, delay: waited, label },
                Happening::TaskRejected { task, why },
                Happening::Health(alert.clone()),
                Happening::Health(Alert { raised: false, ..alert }),
            ] {
                telemetry.tell(&happening);
            }
        });
        let expected = [
            "sandtrap_tasks_waiting{} -1",
            "sandtrap_tasks_running{} +1",
            "sandtrap_task_wait_seconds{} seen 1",
            "sandtrap_tasks_finished_total{verdict=crashed.abort} +1",
            "sandtrap_tasks_running{} -1",
            "sandtrap_task_seconds{} seen 2",
            "sandtrap_worker_crashes_total{verdict=crashed.abort} +1",
            "sandtrap_retries_total{verdict=crashed.abort} +1",
            "sandtrap_tasks_rejected_total{why=draining} +1",
            "sandtrap_health_alert{pattern=crash-rate} +1",
            "sandtrap_health_alert{pattern=crash-rate} -1",
        ];
        assert_eq!(*kept.0.lock().unwrap(), expected);
    }
}

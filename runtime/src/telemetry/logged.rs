//! What happens, as events of `tracing`: one for each, and never one for each crash of a storm's pattern.

use tracing::{debug, info, warn};

use super::Happening;

/// Logs one happening.
pub(super) fn log(happening: &Happening) {
    let name = happening.name();
    match happening {
        Happening::WorkerStarted { worker } => debug!(worker, "{name}"),
        Happening::WorkerCrashed { worker, task, label } => {
            let task = task.as_ref().map(ToString::to_string);
            warn!(worker, task, verdict = label.as_str(), "{name}");
        }
        Happening::WorkerRestarted { worker, after } => info!(worker, ?after, "{name}"),
        Happening::WorkerRecycled { worker, why } => info!(worker, why, "{name}"),
        Happening::WorkerAbandoned { worker } => warn!(worker, "{name}"),
        Happening::WorkerFailedToStart { why } | Happening::HistoryLost { why } => {
            warn!(why, "{name}");
        }
        Happening::TaskQueued { task, waiting } => debug!(%task, waiting, "{name}"),
        Happening::TaskReturned { task, worker } => debug!(%task, worker, "{name}"),
        Happening::TaskStarted { task, worker, waited } => debug!(%task, worker, ?waited, "{name}"),
        Happening::TaskFinished { task, worker, label, took } => {
            debug!(%task, worker, verdict = label.as_str(), ?took, "{name}");
        }
        Happening::TaskAnswered { task } => debug!(%task, "{name}"),
        Happening::TaskRejected { task, why } => debug!(%task, %why, "{name}"),
        Happening::BreakerChanged { key, change } => {
            warn!(key = %key, from = change.from.name(), to = change.to.name(), why = ?change.why, "{name}");
        }
        Happening::RetryAttempt { task, attempt, delay, label } => {
            info!(%task, attempt, ?delay, verdict = label.as_str(), "{name}");
        }
        Happening::RetryHeld { task, attempt, key, delay } => {
            info!(%task, attempt, key = %key, ?delay, "{name}");
        }
        Happening::HedgeSent { task } | Happening::HedgeWon { task } => info!(%task, "{name}"),
        Happening::QuarantineAdded { culprit, deaths } => {
            warn!(kind = %culprit.kind, deaths, "{name}");
        }
        Happening::QuarantineReleased { culprit } => info!(kind = %culprit.kind, "{name}"),
        Happening::Health(alert) if alert.raised => {
            let (pattern, subject) = (alert.pattern.name(), &alert.subject);
            warn!(pattern, %subject, count = alert.count, "{name}");
        }
        Happening::Health(alert) => {
            info!(pattern = alert.pattern.name(), subject = %alert.subject, "{name}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::{Event, Metadata, Subscriber, span};

    use crate::label::Label;
    use crate::task::TaskId;
    use crate::telemetry::{Happening, Telemetry};

    /// Keeps the text of each event.
    struct Kept(Arc<Mutex<Vec<String>>>);

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }

    impl Subscriber for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut text = Text(event.metadata().level().to_string());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn s67_what_happens_is_told_to_tracing_and_never_printed() {
        let kept = Arc::default();
        let telemetry = Telemetry::to_tracing().and(Telemetry::default());
        tracing::subscriber::with_default(Kept(Arc::clone(&kept)), || {
            let (task, label) = (Some(TaskId::named("t")), Label::CrashedAbort);
            telemetry.tell(&Happening::WorkerCrashed { worker: 7, task, label });
            telemetry.tell(&Happening::WorkerStarted { worker: 8 });
        });
        let kept: &Mutex<Vec<String>> = &kept;
        let kept = kept.lock().unwrap();
        assert!(kept[0].starts_with("WARN message=worker.crashed"), "{kept:?}");
        for words in ["worker=7", "task=\"t\"", "verdict=\"crashed.abort\""] {
            assert!(kept[0].contains(words), "{kept:?}");
        }
        assert!(kept[1].starts_with("DEBUG message=worker.started"), "{kept:?}");
        assert_eq!(kept.len(), 2);
    }
}

//! Metrics as the text that Prometheus reads: a recorder for the `metrics` facade, and its pages.
//!
//! The usual exporter keeps every time it sees until somebody asks, in tables made for thousands of changing labels. Here there
//! are a few dozen rows that stay, so a lock and a sorted table do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// Seconds: from a guest that does next to nothing to one that takes as long as it may.
pub(super) const BUCKETS: [f64; 13] =
    [1e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// Everything that was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// What each metric means, by its name.
    help: BTreeMap<String, String>,
    /// By name, then by labels as they are written.
    rows: BTreeMap<String, BTreeMap<String, Row>>,
}

#[derive(Clone, Debug)]
enum Row {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<Level>),
    Histogram(Arc<Times>),
}

/// A number that goes up and down.
#[derive(Debug, Default)]
struct Level(Mutex<f64>);

/// How many were seen in each bucket, the last of which is for all that are longer; and their sum.
#[derive(Debug, Default)]
struct Times(Mutex<([u64; BUCKETS.len() + 1], f64)>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GaugeFn for Level {
    fn increment(&self, by: f64) {
        *lock(&self.0) += by;
    }
    fn decrement(&self, by: f64) {
        *lock(&self.0) -= by;
    }
    fn set(&self, value: f64) {
        *lock(&self.0) = value;
    }
}

impl HistogramFn for Times {
    fn record(&self, seen: f64) {
        let bucket = BUCKETS.iter().position(|most| seen <= *most).unwrap_or(BUCKETS.len());
        let mut times = lock(&self.0);
        times.0[bucket] += 1;
        times.1 += seen;
    }
}

impl Board {
    fn describe(&self, key: KeyName, what: SharedString) {
        lock(&self.0).help.insert(key.as_str().to_owned(), what.into_owned());
    }

    fn row(&self, key: &Key, new: impl FnOnce() -> Row) -> Row {
        let pairs: Vec<String> = key
            .labels()
            .map(|label| format!("{}=\"{}\"", label.key(), escaped(label.value())))
            .collect();
        let mut table = lock(&self.0);
        let rows = table.rows.entry(key.name().to_owned()).or_default();
        rows.entry(pairs.join(",")).or_insert_with(new).clone()
    }

    /// The page.
    pub(super) fn text(&self) -> String {
        let table = lock(&self.0);
        let mut text = String::new();
        for (name, rows) in &table.rows {
            if let Some(help) = table.help.get(name) {
                // Writing to a string can't fail.
                let _ = writeln!(text, "# HELP {name} {help}");
            }
            if let Some(kind) = rows.values().next().map(Row::kind) {
                let _ = writeln!(text, "# TYPE {name} {kind}");
            }
            rows.iter().for_each(|(labels, row)| row.write(&mut text, name, labels));
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Row {
    fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        // As above.
        let _ = match self {
            Self::Counter(count) => {
                writeln!(text, "{name}{braced} {}", count.load(Ordering::Relaxed))
            }
            Self::Gauge(level) => writeln!(text, "{name}{braced} {}", *lock(&level.0)),
            Self::Histogram(times) => {
                let (counts, sum) = *lock(&times.0);
                let before = if labels.is_empty() { String::new() } else { format!("{labels},") };
                let mut seen = 0;
                let most = BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
                for (count, most) in counts.iter().zip(most) {
                    seen += count;
                    let _ = writeln!(text, "{name}_bucket{{{before}le=\"{most}\"}} {seen}");
                }
                let _ = writeln!(text, "{name}_sum{braced} {sum}");
                writeln!(text, "{name}_count{braced} {seen}")
            }
        };
    }
}

impl Recorder for Board {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, what: SharedString) {
        self.describe(key, what);
    }
    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, what: SharedString) {
        self.describe(key, what);
    }
    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, what: SharedString) {
        self.describe(key, what);
    }

    // A name that was counted as something else before is counted as nothing.
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.row(key, || Row::Counter(Arc::default())) {
            Row::Counter(count) => Counter::from_arc(count),
            Row::Gauge(_) | Row::Histogram(_) => Counter::noop(),
        }
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.row(key, || Row::Gauge(Arc::default())) {
            Row::Gauge(level) => Gauge::from_arc(level),
            Row::Counter(_) | Row::Histogram(_) => Gauge::noop(),
        }
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.row(key, || Row::Histogram(Arc::default())) {
            Row::Histogram(times) => Histogram::from_arc(times),
            Row::Counter(_) | Row::Gauge(_) => Histogram::noop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_metric_with_its_kind_and_what_it_means() {
        let board = Board::default();
        metrics::with_local_recorder(&board, || {
            metrics::describe_counter!("tasks_total", "tasks by verdict");
            metrics::counter!("tasks_total", "verdict" => "completed").increment(2);
            metrics::counter!("tasks_total", "verdict" => "a \"b\" \\").increment(1);
            metrics::gauge!("running").increment(3.0);
            metrics::gauge!("running").decrement(1.5);
            for seen in [0.0001, 0.003, 99.0] {
                metrics::histogram!("seconds").record(seen);
            }
        });
        let text = board.text();
        let expected = "# TYPE running gauge\nrunning 1.5\n# TYPE seconds histogram\n";
        assert!(text.starts_with(expected), "{text}");
        for lines in [
            "seconds_bucket{le=\"0.00001\"} 0\nseconds_bucket{le=\"0.0001\"} 1\n",
            "seconds_bucket{le=\"0.0025\"} 1\nseconds_bucket{le=\"0.005\"} 2\n",
            "seconds_bucket{le=\"10\"} 2\nseconds_bucket{le=\"+Inf\"} 3\nseconds_sum 99.0031\nseconds_count 3\n",
            "# HELP tasks_total tasks by verdict\n# TYPE tasks_total counter\n\
             tasks_total{verdict=\"a \\\"b\\\" \\\\\"} 1\ntasks_total{verdict=\"completed\"} 2\n",
        ] {
            assert!(text.contains(lines), "{lines} is not in\n{text}");
        }
    }

    #[test]
    fn a_name_of_two_kinds_is_counted_as_the_first() {
        let board = Board::default();
        metrics::with_local_recorder(&board, || {
            metrics::counter!("x").increment(1);
            metrics::gauge!("x").set(7.0);
        });
        assert_eq!(board.text(), "# TYPE x counter\nx 1\n");
    }
}

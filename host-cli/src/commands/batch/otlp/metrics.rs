//! What is counted, to a collector of OpenTelemetry: by the same names and labels by which Prometheus is given it.
//!
//! The `metrics` facade has room for one recorder. This one hands everything on to the board, which gives Prometheus its
//! text, and to an instrument of the SDK, which adds up for itself and is read every minute, and at the end.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};

use super::post::Post;
use super::{LAST_WORDS, Shared, resource, sent};
use crate::commands::batch::board::{BUCKETS, Board};

/// Metrics on their way to a collector.
#[derive(Debug)]
pub(super) struct Metrics {
    provider: SdkMeterProvider,
    asked: Arc<AtomicU64>,
    shared: Arc<Shared>,
}

impl Metrics {
    /// Begins to count, and to send.
    pub(super) fn open(url: String, bar: &ProgressBar, board: &Board) -> anyhow::Result<Self> {
        let post = Arc::new(Post::default());
        let exporter = sent(MetricExporter::builder().with_http(), &post, &url)
            .build()
            .with_context(|| format!("cannot send metrics to `{url}`"))?;
        let (asked, shared) =
            (Arc::<AtomicU64>::default(), Arc::new(Shared::new("metrics", url, bar)));
        let sending =
            Sending { exporter, post, asked: Arc::clone(&asked), shared: Arc::clone(&shared) };
        let provider = SdkMeterProvider::builder()
            .with_resource(resource())
            .with_periodic_exporter(sending)
            .build();
        let scope =
            InstrumentationScope::builder("sandtrap").with_version(env!("CARGO_PKG_VERSION"));
        let meter = provider.meter_with_scope(scope.build());
        let recorder = Told { meter, board: board.clone(), instruments: Mutex::default() };
        metrics::set_global_recorder(recorder).context("metrics are counted by somebody else")?;
        Ok(Self { provider, asked, shared })
    }

    /// Sends them for the last time, and waits for that, but not for ever. Gives how often they were to be sent and were not.
    pub(super) fn finish(self) -> u64 {
        let Self { provider, asked, shared } = self;
        let (done, is_done) = mpsc::channel();
        // The SDK waits for whatever is under way. Where no thread can be started nobody sends it, and that is told, too.
        let _ = thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            // Why it failed was told by whoever sent it.
            let _ = done.send(provider.shutdown().is_ok());
        });
        let is_sent = is_done.recv_timeout(LAST_WORDS).unwrap_or(false);
        let (asked, delivered) =
            (asked.load(Ordering::Acquire), shared.delivered.load(Ordering::Acquire));
        let lost = asked.saturating_sub(delivered).max(u64::from(!is_sent));
        if lost > 0 {
            shared.warn("it is too slow");
        }
        lost
    }
}

/// Sends what the SDK has added up, and counts what comes of it: the SDK itself fails without a word.
#[derive(Debug)]
struct Sending {
    exporter: MetricExporter,
    post: Arc<Post>,
    asked: Arc<AtomicU64>,
    shared: Arc<Shared>,
}

impl PushMetricExporter for Sending {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.asked.fetch_add(1, Ordering::Release);
        let sent = self.exporter.export(metrics).await;
        match &sent {
            Ok(()) => _ = self.shared.delivered.fetch_add(1, Ordering::Release),
            Err(OTelSdkError::InternalFailure(what)) => {
                // The exporter keeps the reason to itself where there was no answer at all.
                self.shared.warn(&self.post.failure().unwrap_or_else(|| what.clone()));
            }
            Err(error) => self.shared.warn(&error.to_string()),
        }
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

/// The recorder.
struct Told {
    meter: Meter,
    board: Board,
    instruments: Mutex<Instruments>,
}

/// By name and labels: the facade asks for them with each number.
#[derive(Default)]
struct Instruments {
    help: HashMap<String, String>,
    counters: HashMap<Key, Counter>,
    gauges: HashMap<Key, Gauge>,
    histograms: HashMap<Key, Histogram>,
}

/// A number for the board, and for an instrument of the SDK.
struct Both<B, I> {
    board: B,
    instrument: I,
    labels: Vec<KeyValue>,
}

/// A gauge of the SDK has to be told where it stands.
struct Level(Both<Gauge, opentelemetry::metrics::Gauge<f64>>, Mutex<f64>);

impl CounterFn for Both<Counter, opentelemetry::metrics::Counter<u64>> {
    fn increment(&self, by: u64) {
        self.board.increment(by);
        self.instrument.add(by, &self.labels);
    }
    fn absolute(&self, value: u64) {
        // There is none: a counter of the SDK can't be set, and the library sets none.
        self.board.absolute(value);
    }
}

impl HistogramFn for Both<Histogram, opentelemetry::metrics::Histogram<f64>> {
    fn record(&self, seen: f64) {
        self.board.record(seen);
        self.instrument.record(seen, &self.labels);
    }
}

impl Level {
    /// In one step, so that the last that is told is the last that was.
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut level = lock(&self.1);
        *level = change(*level);
        self.0.board.set(*level);
        self.0.instrument.record(*level, &self.0.labels);
    }
}

impl GaugeFn for Level {
    fn increment(&self, by: f64) {
        self.change(|level| level + by);
    }
    fn decrement(&self, by: f64) {
        self.change(|level| level - by);
    }
    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn labels(key: &Key) -> Vec<KeyValue> {
    let pair =
        |label: &metrics::Label| KeyValue::new(label.key().to_owned(), label.value().to_owned());
    key.labels().map(pair).collect()
}

impl Instruments {
    fn help(&self, key: &Key) -> String {
        self.help.get(key.name()).cloned().unwrap_or_default()
    }

    fn describe(&mut self, key: &KeyName, what: &SharedString) {
        self.help.insert(key.as_str().to_owned(), what.to_string());
    }
}

impl Recorder for Told {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, what: SharedString) {
        lock(&self.instruments).describe(&key, &what);
        self.board.describe_counter(key, unit, what);
    }
    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, what: SharedString) {
        lock(&self.instruments).describe(&key, &what);
        self.board.describe_gauge(key, unit, what);
    }
    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, what: SharedString) {
        lock(&self.instruments).describe(&key, &what);
        self.board.describe_histogram(key, unit, what);
    }

    fn register_counter(&self, key: &Key, about: &Metadata<'_>) -> Counter {
        let mut known = lock(&self.instruments);
        let help = known.help(key);
        let new = || {
            let instrument = self.meter.u64_counter(key.name().to_owned()).with_description(help);
            let board = self.board.register_counter(key, about);
            let both = Both { board, instrument: instrument.build(), labels: labels(key) };
            Counter::from_arc(Arc::new(both))
        };
        known.counters.entry(key.clone()).or_insert_with(new).clone()
    }
    fn register_gauge(&self, key: &Key, about: &Metadata<'_>) -> Gauge {
        let mut known = lock(&self.instruments);
        let help = known.help(key);
        let new = || {
            let instrument = self.meter.f64_gauge(key.name().to_owned()).with_description(help);
            let board = self.board.register_gauge(key, about);
            let both = Both { board, instrument: instrument.build(), labels: labels(key) };
            Gauge::from_arc(Arc::new(Level(both, Mutex::default())))
        };
        known.gauges.entry(key.clone()).or_insert_with(new).clone()
    }
    fn register_histogram(&self, key: &Key, about: &Metadata<'_>) -> Histogram {
        let mut known = lock(&self.instruments);
        let help = known.help(key);
        let new = || {
            let instrument = self.meter.f64_histogram(key.name().to_owned()).with_description(help);
            let instrument = instrument.with_boundaries(BUCKETS.to_vec()).build();
            let board = self.board.register_histogram(key, about);
            Histogram::from_arc(Arc::new(Both { board, instrument, labels: labels(key) }))
        };
        known.histograms.entry(key.clone()).or_insert_with(new).clone()
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("board", &self.board).finish_non_exhaustive()
    }
}

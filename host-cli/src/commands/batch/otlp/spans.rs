//! A span of OpenTelemetry for each task, sent to a collector while the batch runs.
//!
//! A span is made of the report and not of what is told meanwhile: there a task's program, verdict and attempts stand together,
//! and a program that can't be loaded has a report, too. The SDK's own processor drops spans and fails without a word, so the
//! thread that sends is ours: what is lost is counted, and the reason told.

use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use indicatif::ProgressBar;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanExporter as _, SpanLinks,
};
use sandtrap::Report;

use super::post::Post;
use super::{LAST_WORDS, Shared, resource, sent};

/// Spans that wait to be sent, and spans in one request.
const MOST_WAITING: usize = 4_096;
const MOST_AT_ONCE: usize = 512;

/// A span waits this long for others that go with it.
const GATHERING: Duration = Duration::from_secs(1);

/// Spans on their way to a collector.
#[derive(Debug)]
pub(crate) struct Spans {
    sender: SyncSender<SpanData>,
    /// Says that everything was sent, by being closed.
    is_done: Mutex<Receiver<()>>,
    told: AtomicU64,
    shared: Arc<Shared>,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
}

impl Spans {
    /// Begins to send. Whether anybody listens there is seen when there is something to send.
    pub(super) fn open(url: String, bar: &ProgressBar) -> anyhow::Result<Self> {
        let post = Arc::new(Post::default());
        let mut exporter = sent(SpanExporter::builder().with_http(), &post, &url)
            .build()
            .with_context(|| format!("cannot send spans to `{url}`"))?;
        exporter.set_resource(&resource());
        let (sender, receiver) = mpsc::sync_channel(MOST_WAITING);
        let (working, is_done) = mpsc::channel();
        let shared = Arc::new(Shared::new("spans", url, bar));
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("spans".to_owned())
            .spawn(move || {
                send(&receiver, &exporter, &post, &theirs);
                drop(working);
            })
            .context("cannot start the thread that sends spans")?;
        let scope =
            InstrumentationScope::builder("sandtrap").with_version(env!("CARGO_PKG_VERSION"));
        Ok(Self {
            sender,
            is_done: Mutex::new(is_done),
            told: AtomicU64::new(0),
            shared,
            ids: RandomIdGenerator::default(),
            scope: scope.build(),
        })
    }

    /// Takes a task that has its report. Where a collector is too slow spans are lost: the batch doesn't wait for it.
    pub(super) fn tell(&self, report: &Report, began: SystemTime) {
        self.told.fetch_add(1, Ordering::Relaxed);
        // It is counted as lost, as it is never delivered.
        let _ = self.sender.try_send(self.span(report, began));
    }

    /// Waits until everything was sent, but not for ever. Gives how many spans were lost.
    pub(super) fn finish(self) -> u64 {
        let Self { sender, is_done, told, shared, .. } = self;
        drop(sender);
        let is_done = is_done.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Closed or too late: what was delivered says which.
        let _ = is_done.recv_timeout(LAST_WORDS);
        let lost = told.into_inner().saturating_sub(shared.delivered.load(Ordering::Acquire));
        if lost > 0 {
            shared.warn("it is too slow");
        }
        lost
    }

    /// The words are those of the report. A trace of its own for each: no viewer takes one with a hundred thousand spans.
    fn span(&self, report: &Report, began: SystemTime) -> SpanData {
        let (task, ids) = (&report.task, &self.ids);
        let verdict = &report.verdict;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let micros = u64::try_from(report.usage.wall.as_micros()).unwrap_or(u64::MAX);
        let mut attributes = vec![
            KeyValue::new("sandtrap.task.id", task.id.to_string()),
            KeyValue::new("sandtrap.task.program", Arc::clone(&task.program)),
            KeyValue::new("sandtrap.task.isolation", task.wall.name()),
            KeyValue::new("sandtrap.verdict.label", verdict.label().as_str()),
            KeyValue::new("sandtrap.usage.wall_us", number(micros)),
            KeyValue::new("sandtrap.attempts", i64::from(report.attempts)),
        ];
        if let Some(function) = &task.function {
            attributes.push(KeyValue::new("sandtrap.task.function", function.clone()));
        }
        if let Some(worker) = report.history.last().and_then(|attempt| attempt.worker) {
            attributes.push(KeyValue::new("sandtrap.worker", number(worker)));
        }
        let (trace, span) = (ids.new_trace_id(), ids.new_span_id());
        let flags = TraceFlags::SAMPLED;
        let completed = verdict.is_completed();
        SpanData {
            span_context: SpanContext::new(trace, span, flags, false, TraceState::default()),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            // Viewers group by the name, so it is what many tasks have in common.
            name: task.function.clone().unwrap_or_else(|| task.program.to_string()).into(),
            start_time: began,
            // The clock may be set back meanwhile.
            end_time: SystemTime::now().max(began),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if completed { Status::Ok } else { Status::error(verdict.to_string()) },
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// Sends spans until there will be no more.
fn send(receiver: &Receiver<SpanData>, exporter: &SpanExporter, post: &Post, shared: &Shared) {
    while let Ok(first) = receiver.recv() {
        let spans = gather(first, receiver);
        let count = spans.len() as u64;
        let mut export = pin!(exporter.export(spans));
        match export.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => _ = shared.delivered.fetch_add(count, Ordering::Release),
            Poll::Ready(Err(OTelSdkError::InternalFailure(what))) => {
                // The exporter keeps the reason to itself where there was no answer at all.
                shared.warn(&post.failure().unwrap_or(what));
            }
            Poll::Ready(Err(error)) => shared.warn(&error.to_string()),
            // `Post` blocks, so this would be an exporter that waits for something else.
            Poll::Pending => shared.warn("its exporter waits"),
        }
    }
}

fn gather(first: SpanData, receiver: &Receiver<SpanData>) -> Vec<SpanData> {
    let until = Instant::now() + GATHERING;
    let mut spans = vec![first];
    while spans.len() < MOST_AT_ONCE {
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(span) => spans.push(span),
            Err(_) => break,
        }
    }
    spans
}

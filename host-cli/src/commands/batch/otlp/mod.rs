//! `--otlp ENDPOINT`: what a collector of OpenTelemetry is sent while the batch runs: a span for each task, and the metrics.
//!
//! A collector that is slow, refuses or is away costs what it doesn't take, which is counted and told, and never a task.

mod metrics;
mod post;
mod spans;

use std::env;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use indicatif::ProgressBar;
use opentelemetry_http::Request;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use sandtrap::Report;

use self::metrics::Metrics;
use self::post::Post;
use self::spans::Spans;
use super::board::Board;
use crate::args::misuse;

/// Where a collector takes spans, and where metrics.
const PATHS: [&str; 2] = ["/v1/traces", "/v1/metrics"];

/// A request is tried again for so long, and when the batch is over everything has to be there after so long.
const TRYING: Duration = Duration::from_secs(5);
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What is on its way to a collector.
#[derive(Debug)]
pub(super) struct Otlp {
    spans: Spans,
    metrics: Metrics,
}

/// What a collector did not take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    pub(super) spans: u64,
    /// How often all metrics were to be sent, and were not.
    pub(super) metrics: u64,
}

impl Lost {
    /// For the summary.
    pub(super) fn rows(self) -> String {
        let all = [("spans lost", self.spans), ("metrics lost", self.metrics)];
        let lost = all.into_iter().filter(|(_, count)| *count > 0);
        lost.map(|(what, count)| format!("  {what:<28} {count:>8}\n")).collect()
    }
}

impl Otlp {
    /// Begins to send, and to count what is counted on `board`, too. Whether anybody listens there is seen when there is
    /// something to send.
    pub(super) fn open(endpoint: &str, bar: &ProgressBar, board: &Board) -> anyhow::Result<Self> {
        let [traces, metrics] = urls(endpoint)?;
        let spans = Spans::open(traces, bar)?;
        Ok(Self { spans, metrics: Metrics::open(metrics, bar, board)? })
    }

    /// Takes a task that has its report.
    pub(super) fn tell(&self, report: &Report, began: SystemTime) {
        self.spans.tell(report, began);
    }

    /// Waits until everything was sent, but not for ever. Gives what was lost.
    pub(super) fn finish(self) -> Lost {
        let Self { spans, metrics } = self;
        thread::scope(|scope| {
            let metrics = scope.spawn(|| metrics.finish());
            let spans = spans.finish();
            // Whoever panicked there has sent nothing.
            Lost { spans, metrics: metrics.join().unwrap_or(1) }
        })
    }
}

/// What those that send have to say.
#[derive(Debug)]
struct Shared {
    what: &'static str,
    url: String,
    delivered: AtomicU64,
    has_warned: AtomicBool,
    bar: ProgressBar,
}

impl Shared {
    fn new(what: &'static str, url: String, bar: &ProgressBar) -> Self {
        let (delivered, has_warned) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { what, url, delivered, has_warned, bar: bar.clone() }
    }

    /// Once: the next request would most often fail for the same reason.
    fn warn(&self, why: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let Self { what, url, .. } = self;
            let text = format!("sandtrap: {what} are lost, as `{url}` doesn't take them: {why}\n");
            // Nobody reads stderr; the batch goes on.
            self.bar.suspend(|| _ = io::stderr().write_all(text.as_bytes()));
        }
    }
}

/// How spans and metrics are sent: through this post, to this address.
fn sent<B: WithExportConfig + WithHttpConfig>(builder: B, post: &Arc<Post>, url: &str) -> B {
    builder
        .with_shared_http_client(Arc::<Post>::clone(post))
        .with_endpoint(url)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(TRYING)
}

/// Who sends. Read here, as whoever starts many batches may want to tell them apart.
fn resource() -> Resource {
    let name = env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    Resource::builder().with_service_name(name.unwrap_or_else(|| "sandtrap".to_owned())).build()
}

/// The addresses for spans and for metrics: below that of the collector, as other programs are given it. The whole address
/// for spans may be given, too.
fn urls(endpoint: &str) -> Result<[String; 2], clap::Error> {
    let base = endpoint.trim_end_matches('/');
    let base = base.strip_suffix(PATHS[0]).unwrap_or(base);
    let urls = PATHS.map(|path| format!("{base}{path}"));
    let is_plain = Request::post(&urls[0]).body(()).is_ok_and(|request| {
        let uri = request.uri();
        uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_plain {
        return Ok(urls);
    }
    Err(misuse(
        "batch",
        format!(
            "`{endpoint}` is no endpoint of OTLP over plain HTTP; write it as in --otlp http://127.0.0.1:4318"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otlp_endpoints_are_given_as_other_programs_take_them() {
        for (endpoint, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/traces"),
            ("http://here/otlp", "http://here/otlp/v1/traces"),
            ("http://here/v1/traces", "http://here/v1/traces"),
        ] {
            assert_eq!(urls(endpoint).unwrap()[0], whole);
            assert_eq!(urls(endpoint).unwrap()[1], whole.replace("/v1/traces", "/v1/metrics"));
        }
    }

    #[test]
    fn what_is_no_otlp_endpoint_is_told_with_one_that_is() {
        for bad in ["", "nonsense", "127.0.0.1:4318", "https://here:4318", "http://", "http://a b"]
        {
            let error = urls(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
            assert!(error.contains("--otlp http://127.0.0.1:4318"), "{error}");
        }
    }
}

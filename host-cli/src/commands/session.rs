//! What `run` and `call` have in common: one task, from the opening of its streams to the exit code.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use sandtrap::{
    Capture, Ear as _, Entry, ExecutorSettings, Happening, Order, Payload, Program, Record, Report,
    Runtime, Stdin, StopHandle, Task, Telemetry, Verdict,
};

use super::settings;
use crate::args::{CompileArgs, DiagnosisArgs, Mistake, ReportArgs, StreamArgs, Target};
use crate::render;
use crate::report_file::{ReportFile, are_one};
use crate::signals;
use crate::streams::{self, Items, Loss, ReaderGone, Streams};

/// How one task is shown.
pub(crate) struct Session<'a> {
    pub(crate) streams: &'a StreamArgs,
    pub(crate) report: &'a ReportArgs,
    pub(crate) diagnosis: &'a DiagnosisArgs,
    pub(crate) compile: &'a CompileArgs,
    pub(crate) items: Items,
    /// What the executor is set to that it goes through, if it does.
    pub(crate) executor: Option<ExecutorSettings>,
    /// Whether it may be done twice.
    pub(crate) is_idempotent: bool,
}

/// The streams of a task, whichever thread runs it.
type Shared = Arc<Mutex<Streams>>;

fn lock(streams: &Shared) -> MutexGuard<'_, Streams> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session<'_> {
    /// Runs the task to its end and shows it. The report is the caller's for whatever else there is to show.
    pub(crate) fn carry_out(&self, program: Program, mut task: Task) -> anyhow::Result<Report> {
        self.executor.as_ref().map_or(Ok(()), settings::check_history)?;
        self.check_places(&task)?;
        let (report, core_dump) = (self.report.report.as_deref(), self.report.core_dump.as_deref());
        let place = report.map(|path| ReportFile::prepare("report", path)).transpose()?;
        let dump_place =
            core_dump.map(|path| ReportFile::prepare("core dump", path)).transpose()?;
        let program = program.core_dump(dump_place.is_some());
        let wanted = self.report.json || place.is_some();
        task.stdout = if wanted { Capture::Keep } else { Capture::Discard };

        let stop = StopHandle::new();
        let set = self.executor.as_ref().and_then(|settings| settings.pool.grace);
        let grace = set.unwrap_or(program.policy().limits.grace);
        let streams = Arc::new(Mutex::new(self.open_streams(&program, grace, &stop)?));
        let runtime = self.compile.runtime()?;
        signals::watch(&stop, grace)?;
        let report = match &self.executor {
            None => runtime.run_with(program, &task, &stop, &mut *lock(&streams)),
            Some(settings) => {
                self.by_executor(&runtime, program, task, settings.clone(), &stop, &streams)
            }
        };

        // Its name is told, and from then on the file is the reader's.
        report.output.result.as_ref().map(Payload::keep);
        let json = wanted.then(|| json_of(&report)).transpose()?;
        if let (Some(place), Some(json)) = (place, &json) {
            place.write(json.as_bytes())?;
        }
        if let (Some(place), Some(dump)) = (dump_place, dump_of(&report)) {
            place.write(dump)?;
        }
        check_delivery(lock(&streams).finish(), &report)?;
        match json {
            Some(json) if self.report.json => streams::print(&json)?,
            _ => self.diagnose(&report),
        }
        Ok(report)
    }

    /// Through an executor with one worker. Every attempt is heard while it runs.
    fn by_executor(
        &self,
        runtime: &Runtime,
        program: Program,
        task: Task,
        mut settings: ExecutorSettings,
        stop: &StopHandle,
        streams: &Shared,
    ) -> Report {
        let loaded = match runtime.load_until(program.clone(), stop) {
            Ok(loaded) => loaded,
            Err(error) => return runtime.report_of(&program, &task, error),
        };
        let (ear, next) = (Arc::clone(streams), Arc::clone(streams));
        // Told between two attempts, when nothing more is heard of the last one and nothing yet of the next.
        settings.pool.telemetry = Telemetry::to(move |happening| {
            if matches!(happening, Happening::RetryAttempt { .. }) {
                lock(&next).begin_anew();
            }
        });
        let loaded = loaded.heard_by(move |_, event| lock(&ear).hear(event));
        let mut order = Order::new(task);
        order.idempotent = self.is_idempotent;
        loaded.executor(settings).run_with(order, stop)
    }

    /// With `--json` the guest's output is in the report, unless it was sent somewhere by name.
    fn open_streams(
        &self,
        program: &Program,
        grace: Duration,
        stop: &StopHandle,
    ) -> anyhow::Result<Streams> {
        let usual = if self.report.json { Target::Null } else { Target::Through };
        let stdout = self.streams.stdout.as_ref().unwrap_or(&usual);
        let stderr = self.streams.stderr.as_ref().unwrap_or(&usual);
        Streams::open(stdout, stderr, stop, (program.policy().limits.wall, grace))?
            .with_items(self.items)
    }

    /// What is written to one file twice, or to what is read, is lost without a word.
    fn check_places(&self, task: &Task) -> anyhow::Result<()> {
        let stream = |target: &'_ Option<Target>| match target {
            Some(Target::File(path)) => Some(path.clone()),
            _ => None,
        };
        let stdin = match &task.entry {
            Entry::Command { stdin: Stdin::File(path), .. } => Some(path.clone()),
            _ => None,
        };
        let places = [
            ("--stdin", stdin),
            ("--stdout", stream(&self.streams.stdout)),
            ("--stderr", stream(&self.streams.stderr)),
            ("--report", self.report.report.clone()),
            ("--core-dump", self.report.core_dump.clone()),
        ];
        let named: Vec<_> =
            places.iter().filter_map(|(flag, path)| Some((*flag, path.as_deref()?))).collect();
        for (at, (flag, path)) in named.iter().enumerate() {
            for (other, other_path) in &named[..at] {
                // Both streams of a guest may share one.
                let is_shared = (*other, *flag) == ("--stdout", "--stderr");
                if !is_shared && are_one(path, other_path) {
                    let shown = path.display();
                    let words = format!(
                        "{other} and {flag} name one file, `{shown}`, so nothing was run; name another one for {flag}"
                    );
                    return Err(Mistake(words).into());
                }
            }
        }
        Ok(())
    }

    fn diagnose(&self, report: &Report) {
        if !self.diagnosis.quiet && !report.verdict.is_completed() {
            // Nobody reads stderr; the exit code still says it.
            let _ = io::stderr().write_all(render::diagnosis(report).as_bytes());
        }
    }
}

fn dump_of(report: &Report) -> Option<&[u8]> {
    report.facts.core_dump.as_ref()?.bytes().map(|bytes| &**bytes)
}

fn json_of(report: &Report) -> anyhow::Result<String> {
    let record = Record::from(report);
    let mut json = serde_json::to_string_pretty(&record).context("cannot write the report")?;
    json.push('\n');
    Ok(json)
}

fn check_delivery(loss: Option<Loss>, report: &Report) -> anyhow::Result<()> {
    match loss {
        None => Ok(()),
        Some(Loss::ReaderGone) => Err(ReaderGone.into()),
        Some(Loss::Failed(stream, error)) => {
            Err(error).context(format!("cannot pass on the guest's {stream}"))
        }
        // What was cut off belongs to a guest that was cut off itself.
        Some(Loss::Stalled(_)) if matches!(report.verdict, Verdict::Stopped(_)) => Ok(()),
        Some(Loss::Stalled(stream)) => Err(anyhow!(
            "nobody took the guest's {stream} within its wall time, so the rest of it is lost; raise --wall"
        )),
    }
}

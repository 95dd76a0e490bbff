//! `sandtrap batch`: many tasks over an executor for each program, with as many of them at work as there are workers.

mod board;
mod dumps;
mod intake;
mod line;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod outlet;
mod tasks;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sandtrap::{
    Entry, Error, Executor, ExecutorSettings, Loaded, Payloads, Policy, Program, Report, Runtime,
    Start, Stdin, StopHandle, Telemetry, Wall, show_duration,
};

use super::{run, settings};
use crate::args::{BatchArgs, Mistake, misuse};
use crate::exit_code;
use crate::render;
use crate::signals;
use crate::streams;
use board::Board;
use dumps::Dumps;
use intake::Intake;
use line::Line;
#[cfg(feature = "otlp")]
use otlp::Otlp;
use outlet::Outlet;

/// Programs that have workers of their own at the same time.
const MOST_PROGRAMS: usize = 16;

/// As many have a thread, and a guest, each: more of them serve nobody.
const MOST_WORKERS: u32 = 1024;

/// Runs all tasks and gives the exit code for all of them together.
pub(crate) fn batch(args: &BatchArgs) -> anyhow::Result<u8> {
    let mut settings = settings_of(args)?;
    args.policy.grace_of(&mut settings);
    if args.show_config {
        streams::print(&settings.to_toml())?;
        return Ok(0);
    }
    let policy = args.policy.policy("batch", None)?;
    let Some(tasks) = args.tasks.as_deref().filter(|_| !args.show_policy) else {
        let attempts = vec![("settings", "as --show-config prints them".to_owned())];
        let cache = args.policy.compile.cache_row();
        streams::print(&render::policy(&policy, None, cache, attempts))?;
        return Ok(0);
    };
    settings::check_history(&settings)?;
    let breaks = settings.enabled && settings.breaker.is_some();
    let tasks = tasks::open(tasks, breaks, args.resume.is_some())?;
    let (done, file) = args.resume.as_deref().map(outlet::resume).transpose()?.unzip();
    let dumps = args.core_dumps.as_deref().map(Dumps::open).transpose()?;
    // Of a file it is known how many can be at work at most.
    let most =
        tasks.length.map_or(usize::MAX, |tasks| usize::try_from(tasks).unwrap_or(usize::MAX));
    settings.pool.workers = settings.pool.workers.min(most.max(1));
    let workers = settings.pool.workers;
    let bar = bar(args.quiet, tasks.length);
    let board = Board::default();
    if let Some(address) = &args.metrics {
        give_out(&board, address, args.quiet)?;
    }
    #[cfg(feature = "otlp")]
    let otlp = args.otlp.as_deref().map(|to| Otlp::open(to, &bar, &board)).transpose()?;
    #[cfg(feature = "otlp")]
    let is_sent = otlp.is_some();
    #[cfg(not(feature = "otlp"))]
    let is_sent = false;
    if is_sent || args.metrics.is_some() {
        // What is sent is counted by a recorder that passes everything on to the board.
        if !is_sent {
            ::metrics::set_global_recorder(board)
                .context("metrics are counted by somebody else")?;
        }
        settings.pool.telemetry = Telemetry::to_metrics();
    }
    let told = bar.clone();
    // Nobody reads stderr; the exit code still says it.
    let tell = move |words: &str| told.suspend(|| _ = writeln!(io::stderr(), "sandtrap: {words}"));
    // Guests that are kept are there while another program's tasks run.
    let programs = if settings.pool.keep.is_some() { MOST_PROGRAMS } else { 1 };
    let places = workers.saturating_mul(programs);
    let crew = Crew {
        runtime: args.policy.compile.runtime_for(u32::try_from(places).unwrap_or(u32::MAX))?,
        settings,
        policy,
        start: args.start.start(),
        payloads: args.payloads.payloads.clone(),
        backtrace: args.backtrace,
        dumps,
        executors: Mutex::default(),
        intake: Intake::start(tasks, done, tell)?,
        outlet: Outlet::new(file, args.as_completed),
        stop: StopHandle::new(),
        bar,
        #[cfg(feature = "otlp")]
        otlp,
    };
    let grace = crew.settings.pool.grace.unwrap_or(crew.policy.limits.grace);
    let was_interrupted = Arc::new(AtomicBool::new(false));
    let (interrupted, intake) = (Arc::clone(&was_interrupted), crew.intake.clone());
    let drain = move || {
        interrupted.store(true, Ordering::SeqCst);
        intake.close();
    };
    signals::watch_in_steps(drain, &crew.stop, grace)?;
    let began = Instant::now();
    crew.work(workers)?;
    close(crew, args.quiet, was_interrupted.load(Ordering::SeqCst), began.elapsed())
}

/// Says what came of all of them, when nothing runs any more.
fn close(crew: Crew, quiet: bool, interrupted: bool, took: Duration) -> anyhow::Result<u8> {
    crew.bar.finish_and_clear();
    let (done, bad, failure) = crew.intake.finish();
    let (counts, lost) = crew.outlet.finish();
    // All reports are out: nobody but the summary waits for a collector.
    #[cfg(feature = "otlp")]
    let untaken = crew.otlp.map(Otlp::finish).unwrap_or_default();
    if let Some(error) = lost {
        return Err(error);
    }
    if !quiet {
        let text = summary(&counts, (done.all, bad), interrupted, took);
        #[cfg(feature = "otlp")]
        let text = text + &untaken.rows();
        // Nobody reads stderr; the exit code still says it.
        let _ = io::stderr().write_all(text.as_bytes());
    }
    match failure {
        Some(error) => {
            let is_mistake = error.is::<Mistake>();
            let words = format!("{error:#}; nothing of what came before it is lost");
            Err(if is_mistake { Mistake(words).into() } else { anyhow::Error::msg(words) })
        }
        None if bad > 0 => Ok(exit_code::MISUSE),
        None if interrupted => Ok(exit_code::CANCELLED),
        // A task that failed before has not completed by being passed over.
        None => Ok(u8::from(done.failed > 0 || counts.keys().any(|label| label != "completed"))),
    }
}

/// Gives out metrics.
fn give_out(board: &Board, address: &str, quiet: bool) -> anyhow::Result<()> {
    let address = metrics::open(address, board)?;
    if !quiet {
        // Nobody reads stderr; whoever chose the port knows it.
        let _ = writeln!(io::stderr(), "sandtrap: metrics at http://{address}/metrics");
    }
    Ok(())
}

/// A program, and whether its tasks are calls: guests may be kept for them, and may stand ready.
type Kind = (OsString, bool);

/// Everything that those at work share.
struct Crew {
    runtime: Runtime,
    settings: ExecutorSettings,
    policy: Policy,
    /// How processes begin that are called.
    start: Start,
    payloads: Payloads,
    backtrace: bool,
    dumps: Option<Dumps>,
    executors: Mutex<Vec<(Kind, Arc<Executor>)>>,
    intake: Intake,
    outlet: Outlet,
    stop: StopHandle,
    bar: ProgressBar,
    #[cfg(feature = "otlp")]
    otlp: Option<Otlp>,
}

impl Crew {
    /// Has so many at work, or as many as the system has threads for, until all is done.
    fn work(&self, workers: usize) -> anyhow::Result<()> {
        thread::scope(|scope| {
            for number in 0..workers {
                let worker = thread::Builder::new().name(format!("worker-{number}"));
                match worker.spawn_scoped(scope, || self.serve()) {
                    Ok(_) => {}
                    // Those that are there do it all.
                    Err(_) if number > 0 => break,
                    Err(error) => {
                        return Err(error).context("cannot start a thread that runs tasks");
                    }
                }
            }
            Ok(())
        })
    }

    /// Takes task after task, until there are no more or nobody takes reports.
    fn serve(&self) {
        while self.outlet.wait_for_room() {
            let Some((place, line)) = self.intake.next() else { return };
            #[cfg(feature = "otlp")]
            let began = std::time::SystemTime::now();
            let report = self.run(line);
            self.bar.inc(1);
            #[cfg(feature = "otlp")]
            if let Some(otlp) = &self.otlp {
                otlp.tell(&report, began);
            }
            let dumped = self.dumps.as_ref().map_or(Ok(()), |dumps| dumps.keep(&report));
            if !self.outlet.put(place, &report, dumped) {
                self.intake.close();
            }
        }
    }

    fn run(&self, line: Line) -> Report {
        let Line { program, mut order, timeout } = line;
        let is_call = !matches!(order.task.entry, Entry::Command { .. });
        match self.executor(&program, is_call, &order.task.entry) {
            Ok(executor) => {
                if let Some(timeout) = timeout {
                    order = order.within(timeout);
                }
                executor.run_with(order, &self.stop)
            }
            // A program that can't be loaded is a report, too.
            Err(error) => {
                let program = self.program(&program, is_call);
                self.runtime.report_of(&program, &order.task, error)
            }
        }
    }

    fn program(&self, name: &OsStr, is_call: bool) -> Program {
        let program = run::program(run::named(name), None, self.policy.clone());
        let start = if is_call { self.start } else { Start::Spawn };
        let program = program.payloads(self.payloads.clone()).started_by(start);
        program.core_dump(self.dumps.is_some()).backtrace(self.backtrace)
    }

    /// The executor of a program. The one that was not wanted for longest makes room.
    fn executor(
        &self,
        name: &OsString,
        is_call: bool,
        first: &Entry,
    ) -> Result<Arc<Executor>, Error> {
        let mut executors = self.executors.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |((program, calls), _): &(Kind, _)| program == name && *calls == is_call;
        if let Some(at) = executors.iter().position(is_it) {
            let found = executors.remove(at);
            let executor = Arc::clone(&found.1);
            executors.push(found);
            return Ok(executor);
        }
        let loaded = self.runtime.load(self.program(name, is_call))?;
        let mut settings = self.settings.clone();
        if !is_call {
            settings.pool.keep = None;
            // What the next one will be is not known, but that it is like this one is likely.
            settings.pool.spares_for = can_stand_ready(&loaded, first).then(|| first.clone());
        }
        if !is_call && settings.pool.spares_for.is_none() {
            settings.pool.spares = 0;
        }
        let executor = Arc::new(loaded.executor(settings));
        let idle = |(_, executor): &(Kind, Arc<Executor>)| Arc::strong_count(executor) == 1;
        if executors.len() >= MOST_PROGRAMS
            && let Some(at) = executors.iter().position(idle)
        {
            executors.remove(at);
        }
        executors.push(((name.clone(), is_call), Arc::clone(&executor)));
        Ok(executor)
    }
}

/// Whether a process can be executed for a command like this before that comes.
fn can_stand_ready(loaded: &Loaded, like: &Entry) -> bool {
    let Entry::Command { stdin, .. } = like else { return false };
    loaded.wall() == Wall::Native && matches!(stdin, Stdin::Null | Stdin::Bytes(_))
}

/// Retries and health; no breaker and no quarantine, as every task of a batch is meant to run. A file may say otherwise.
fn settings_of(args: &BatchArgs) -> anyhow::Result<ExecutorSettings> {
    let mut settings = match args.workers {
        Some(0) => {
            return Err(misuse(
                "batch",
                "no task runs without a worker; write it as in --workers 4",
            )
            .into());
        }
        Some(workers) if workers > MOST_WORKERS => {
            let what = format!(
                "{workers} workers are too many: {MOST_WORKERS} at most; two or three for each processor keep a machine busy"
            );
            return Err(misuse("batch", what).into());
        }
        Some(workers) => ExecutorSettings::with_workers(workers as usize),
        None => ExecutorSettings::default(),
    };
    (settings.deadline, settings.breaker, settings.quarantine) = (None, None, None);
    let (config, workers) = (args.config.as_deref(), args.workers.map(|workers| workers as usize));
    let mut settings = settings::settings(settings, config, workers, args.reuse, args.retries)?;
    if let Some(spares) = args.spares {
        settings.pool.spares = spares as usize;
    }
    Ok(settings)
}

/// A bar on a terminal, and nothing anywhere else.
fn bar(quiet: bool, length: Option<u64>) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    let template = match length {
        Some(_) => "{bar:40} {pos} of {len} tasks, {rate} a second, {eta} left",
        None => "{spinner} {pos} tasks, {rate} a second",
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    }
}

/// Whole tasks: nobody reads the rest while it changes.
fn rate(state: &ProgressState, text: &mut dyn std::fmt::Write) {
    // A bar that can't be written is not shown.
    let _ = write!(text, "{:.0}", state.per_sec());
}

/// What came of them, one line for each verdict.
fn summary(
    counts: &BTreeMap<String, usize>,
    (skipped, bad): (usize, usize),
    interrupted: bool,
    took: Duration,
) -> String {
    let all: usize = counts.values().sum();
    let mut text = format!("sandtrap: {all} tasks in {}\n", show_duration(took));
    for (label, count) in counts {
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {label:<28} {count:>8}");
    }
    if skipped > 0 {
        let _ = writeln!(text, "  {:<28} {skipped:>8}", "done before");
    }
    if bad > 0 {
        let _ = writeln!(text, "  {:<28} {bad:>8}", "lines that are no task");
    }
    if interrupted {
        text.push_str("  interrupted: go on with --resume FILE, the file with these reports\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_a_line_for_each_verdict() {
        let counts =
            BTreeMap::from([("completed".to_owned(), 10), ("crashed.abort".to_owned(), 2)]);
        let text = summary(&counts, (3, 1), true, Duration::from_secs(2));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "sandtrap: 12 tasks in 2 s");
        assert_eq!(lines[1], "  completed                          10");
        assert_eq!(lines[2], "  crashed.abort                       2");
        assert_eq!(lines[3], "  done before                         3");
        assert_eq!(lines[4], "  lines that are no task              1");
        assert!(lines[5].contains("--resume"));
    }
}

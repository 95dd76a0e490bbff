//! Many tasks of every outcome that a process can have: what is there afterwards that was not there before?

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandtrap::{Label, Runtime};

use crate::expect::{Expect, Row, SilentPipe, table};
use crate::guests::Form;
use crate::soak::Counted;

/// How long whatever is dying may take until it is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than there are processors: some outcomes are waited for.
const WORKERS: usize = 6;

/// A worker takes so many tasks of a row at a time, so that the slow rows don't come to one of them alone.
const PIECE: usize = 100;

/// What was found.
#[derive(Debug)]
pub struct Remains {
    /// Before the first task, after each outcome had been there once.
    pub before: Counted,
    /// After the last one.
    pub after: Counted,
    /// How many tasks ended with each label.
    pub outcomes: BTreeMap<String, usize>,
    /// Verdicts that were not the expected ones.
    pub wrong: Vec<String>,
    /// Processes of tasks that were alive after all had ended.
    pub alive: Vec<String>,
}

/// What was met on the way.
#[derive(Default)]
struct Met {
    outcomes: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Remains {
    /// Runs at least so many tasks, as often as it takes through the whole table.
    pub fn of(tasks: usize) -> Self {
        let rows = rows();
        let rounds = tasks.div_ceil(rows.len());
        Self::of_rounds(&rows, |_| rounds)
    }

    /// Runs at least so many tasks of each outcome. Guests that end in the same way share them.
    pub fn of_each(tasks: usize) -> Self {
        let rows = rows();
        let alike = |row: &Row| rows.iter().filter(|other| label(other) == label(row)).count();
        Self::of_rounds(&rows, |row| tasks.div_ceil(alike(row)))
    }

    fn of_rounds(rows: &[Row], rounds: impl Fn(&Row) -> usize) -> Self {
        // What a process makes once it keeps.
        let _ = run(rows, |_| 1);
        let before = settled(None);
        let met = run(rows, rounds);
        let after = settled(Some(before));
        Self { before, after, outcomes: met.outcomes, wrong: met.wrong, alive: alive() }
    }

    /// Whether there is nothing that was not there before.
    pub fn is_nothing(&self) -> bool {
        self.wrong.is_empty() && self.alive.is_empty() && is_within(self.after, self.before)
    }
}

/// Those that say how a process ends.
fn rows() -> Vec<Row> {
    table().into_iter().filter(|row| label(row).is_some()).collect()
}

fn label(row: &Row) -> Option<Label> {
    match row.native {
        Expect::Ends(label, _) => Some(label),
        Expect::Absent => None,
    }
}

fn run(rows: &[Row], rounds: impl Fn(&Row) -> usize) -> Met {
    let runtime = Runtime::new().expect("a runtime");
    let (silent, met, next) = (SilentPipe::new(), Mutex::new(Met::default()), AtomicUsize::new(0));
    let pieces: Vec<(&Row, usize)> =
        rows.iter().flat_map(|row| pieces(rounds(row)).map(move |piece| (row, piece))).collect();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((row, rounds)) = pieces.get(next.fetch_add(1, Ordering::SeqCst)) {
                    run_row(&runtime, row, *rounds, &silent, &met);
                }
            });
        }
    });
    met.into_inner().expect("workers that did not panic")
}

fn pieces(rounds: usize) -> impl Iterator<Item = usize> {
    (0..rounds).step_by(PIECE).map(move |begun| PIECE.min(rounds - begun))
}

fn run_row(runtime: &Runtime, row: &Row, rounds: usize, silent: &SilentPipe, met: &Mutex<Met>) {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut program = row.program(Form::Process, scratch.path());
    let mut permissions = program.policy().permissions.clone();
    // By this its processes are known, and those that they leave behind.
    permissions.grant_env("REMAINS_OF", std::process::id().to_string());
    program = program.permissions(permissions);
    let loaded = runtime.load(program.clone());
    for _ in 0..rounds {
        let report = match &loaded {
            Ok(loaded) => loaded.run(&row.task(silent)),
            Err(_) => runtime.run(program.clone(), &row.task(silent)),
        };
        let label = report.verdict.label();
        let mut met = met.lock().expect("workers that did not panic");
        *met.outcomes.entry(label.to_string()).or_default() += 1;
        if self::label(row) != Some(label) {
            met.wrong.push(format!("{} {:?}: {}", row.guest, row.args, report.verdict));
        }
    }
}

/// Whether there is no more of anything. There may be less: a thread that was about to end when it was counted.
fn is_within(now: Counted, before: Counted) -> bool {
    let each = |it: Counted| [it.children, it.groups, it.mounts, it.descriptors, it.threads];
    each(now).iter().zip(each(before)).all(|(now, before)| *now <= before)
}

/// Counts when nothing changes any more, or when there is no more than there was.
fn settled(before: Option<Counted>) -> Counted {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = Counted::now();
        let is_over = before.is_some_and(|before| is_within(now, before));
        if is_over || Instant::now() >= end || (before.is_none() && now.children == 0) {
            return now;
        }
        std::thread::yield_now();
    }
}

fn alive() -> Vec<String> {
    let mark = format!("REMAINS_OF={}\0", std::process::id());
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let marked = all.filter(|entry| {
        let variables = fs::read(entry.path().join("environ")).unwrap_or_default();
        variables.windows(mark.len()).any(|part| part == mark.as_bytes())
    });
    let line = |entry: fs::DirEntry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        format!("{}: {}", entry.file_name().display(), String::from_utf8_lossy(&words))
    };
    marked.map(line).collect()
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, count) in &self.outcomes {
            writeln!(f, "{count:8} {label}")?;
        }
        for (when, counted) in [("before", &self.before), ("after", &self.after)] {
            let Counted { children, groups, mounts, descriptors, threads, resident_kib } = counted;
            writeln!(
                f,
                "{when:8} {children} processes, {groups} groups, {mounts} mounts, {descriptors} descriptors, {threads} threads, {resident_kib} KiB resident"
            )?;
        }
        for left in &self.alive {
            writeln!(f, "alive    {left}")?;
        }
        for wrong in &self.wrong {
            writeln!(f, "wrong    {wrong}")?;
        }
        Ok(())
    }
}

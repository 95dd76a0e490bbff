//! Many tasks of every outcome that a process can have: what is there afterwards that was not there before?

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandtrap::{ByteSize, Label, Runtime};

use crate::expect::{Expect, Input, Row, SilentPipe, table};
use crate::guests::Form;
use crate::soak::Counted;

/// How long whatever is dying may take until it is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a task may take of what it is stopped for. One that has not even begun by then counts as wrong.
const SOON: Duration = Duration::from_millis(20);

/// More than there are processors: some outcomes are waited for.
const WORKERS: usize = 6;

/// Of tasks that end in the same way, each guest has one of so many at least.
const SHARE: usize = 100;

/// A worker takes so many tasks of a row at a time, so that the slow rows don't come to one of them alone.
const PIECE: usize = 100;

/// What was found.
#[derive(Debug)]
pub struct Remains {
    /// Before the first task, after each outcome had been there once.
    pub before: Counted,
    /// After the last one.
    pub after: Counted,
    /// How many tasks ended with each label, and how long they took altogether.
    pub outcomes: BTreeMap<String, (usize, Duration)>,
    /// Verdicts that were not the expected ones.
    pub wrong: Vec<String>,
    /// Processes of tasks that were alive after all had ended.
    pub alive: Vec<String>,
}

/// What was met on the way.
#[derive(Default)]
struct Met {
    outcomes: BTreeMap<String, (usize, Duration)>,
    wrong: Vec<String>,
    /// How long the tasks of each row took.
    rows: BTreeMap<usize, Duration>,
}

impl Remains {
    /// Runs at least so many tasks, as often as it takes through the whole table.
    pub fn of(tasks: usize) -> Self {
        Self::of_rounds(rows(), |rows, _| vec![tasks.div_ceil(rows.len()); rows.len()])
    }

    /// Runs at least so many tasks of each outcome. Of the guests that end in the same way the quickest one has most of them.
    pub fn of_each(tasks: usize) -> Self {
        let mut rows = rows();
        rows.iter_mut().for_each(hasten);
        Self::of_rounds(rows, |rows, took| {
            let few = tasks.div_ceil(SHARE);
            let of = |at: usize| {
                let alike =
                    (0..rows.len()).filter(|other| label(&rows[*other]) == label(&rows[at]));
                let have_processes = alike.clone().filter(|other| has_process(&rows[*other]));
                let quickest = have_processes.min_by_key(|other| took.get(other));
                let rest = tasks.saturating_sub(few * (alike.count() - 1));
                if quickest == Some(at) { rest.max(few) } else { few }
            };
            (0..rows.len()).map(of).collect()
        })
    }

    /// How often each row is run is said by one who knows how long each of them took.
    fn of_rounds(
        rows: Vec<Row>,
        rounds: impl Fn(&[Row], &BTreeMap<usize, Duration>) -> Vec<usize>,
    ) -> Self {
        // What a process makes once it keeps.
        let first = run(&rows, &vec![1; rows.len()]);
        let before = settled(None);
        let met = run(&rows, &rounds(&rows, &first.rows));
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

/// Whether there comes to be one: a pipe that nobody has opened for writing is waited for before.
fn has_process(row: &Row) -> bool {
    !matches!(row.stdin, Input::Silent)
}

fn run(rows: &[Row], rounds: &[usize]) -> Met {
    let runtime = Runtime::new().expect("a runtime");
    let (silent, met, next) = (SilentPipe::new(), Mutex::new(Met::default()), AtomicUsize::new(0));
    let of = |(at, rounds): (usize, &usize)| pieces(at, *rounds);
    let mut pieces: Vec<Piece> = rounds.iter().enumerate().flat_map(of).collect();
    pieces.sort_by_key(|piece| piece.place);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let began = Instant::now();
                    run_row(&runtime, &rows[piece.row], piece.tasks, &silent, &met);
                    let mut met = met.lock().expect("workers that did not panic");
                    *met.rows.entry(piece.row).or_default() += began.elapsed();
                }
            });
        }
    });
    met.into_inner().expect("workers that did not panic")
}

/// So many tasks of a row.
struct Piece {
    row: usize,
    tasks: usize,
    /// How much of the row comes before: some outcomes take a processor, others are waited for.
    place: usize,
}

fn pieces(row: usize, rounds: usize) -> impl Iterator<Item = Piece> {
    (0..rounds).step_by(PIECE).map(move |begun| Piece {
        row,
        tasks: PIECE.min(rounds - begun),
        place: begun * 1000 / rounds,
    })
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
        let began = Instant::now();
        let report = match &loaded {
            Ok(loaded) => loaded.run(&row.task(silent)),
            Err(_) => runtime.run(program.clone(), &row.task(silent)),
        };
        let label = report.verdict.label();
        let mut met = met.lock().expect("workers that did not panic");
        let (count, took) = met.outcomes.entry(label.to_string()).or_default();
        (*count, *took) = (*count + 1, *took + began.elapsed());
        // Whoever was stopped before there was a process has shown nothing.
        let has_run = report.task.pid.is_some();
        if self::label(row) != Some(label) || has_run != has_process(row) {
            met.wrong.push(format!("{} {:?}: {}", row.guest, row.args, report.verdict));
        }
    }
}

/// Has what is stopped stopped soon: so many tasks are to be over within the hour.
fn hasten(row: &mut Row) {
    let label = label(row);
    let limits = &mut row.limits;
    match label {
        Some(Label::StoppedCpuTime) => limits.cpu = limits.cpu.min(SOON),
        Some(Label::StoppedWallTime) => limits.wall = limits.wall.min(SOON),
        Some(Label::StoppedResult) => limits.result = limits.result.min(ByteSize::kib(64)),
        _ => {}
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
        for (label, (count, took)) in &self.outcomes {
            let each = took.as_secs_f64() * 1e3 / *count as f64;
            writeln!(f, "{count:8} {label}, {each:.1} ms each")?;
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

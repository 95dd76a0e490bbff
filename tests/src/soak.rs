//! Many tasks in one process, half of them crashing, in every form: does anything pile up?

use std::fmt;
use std::fs;
use std::path::Path;

use sandtrap::{ByteSize, Limits, Loaded, Program, Runtime, Task};

use crate::children::children;
use crate::guests::Form;

/// How many tasks a full soak runs.
pub const TASKS: usize = 10_000;

/// Guests that end well and guests that crash, by turns.
const GUESTS: [(&str, bool); 6] = [
    ("hello", true),
    ("wild_read", false),
    ("exit_0", true),
    ("stack_overflow", false),
    ("lie_segfault", true),
    ("abort", false),
];

/// What was counted at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Resident memory of this process, in KiB.
    pub resident_kib: u64,
    /// Open descriptors of this process.
    pub descriptors: usize,
    /// Children of this process, zombies included.
    pub children: usize,
    /// Control groups of this process's making.
    pub groups: usize,
    /// Mounts that this process sees.
    pub mounts: usize,
    /// Threads of this process.
    pub threads: usize,
}

/// What a soak found.
#[derive(Clone, Debug)]
pub struct Soak {
    /// After the first tenth: caches and stashes are full.
    pub early: Counted,
    /// At the end.
    pub late: Counted,
    /// Verdicts that were not the expected ones.
    pub wrong: Vec<String>,
}

impl Soak {
    /// Runs that many tasks, one after another.
    pub fn run(tasks: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let loaded = load_all(&runtime);
        let mut wrong = Vec::new();
        let mut early = None;
        for index in 0..tasks {
            if index == tasks / 10 {
                early = Some(Counted::now());
            }
            let (program, name, ends_well) = &loaded[index % loaded.len()];
            let report = program.run(&Task::command(Vec::<String>::new()));
            let expected = if *ends_well { "completed" } else { "crashed" };
            if report.verdict.label().kind() != expected {
                wrong.push(format!("{name} in task {index}: {}", report.verdict));
            }
        }
        let held = Counted::now();
        // A loaded program keeps a group or two for its next tasks.
        drop(loaded);
        let late = Counted { groups: groups(), ..held };
        Self { early: early.unwrap_or(late), late, wrong }
    }
}

fn load_all(runtime: &Runtime) -> Vec<(Loaded, &'static str, bool)> {
    let limits = Limits { memory: ByteSize::mib(64), ..Limits::default() };
    let load = |form: Form, name, ends_well| {
        let program = Program::file(form.guest(name)).within(form.wall()).limits(limits.clone());
        (runtime.load(program).expect("the guest is built"), name, ends_well)
    };
    GUESTS
        .iter()
        .flat_map(|(name, ends_well)| Form::ALL.map(|form| load(form, *name, *ends_well)))
        .collect()
}

impl Counted {
    /// Counts now.
    pub fn now() -> Self {
        Self {
            resident_kib: status_kib("VmRSS:"),
            descriptors: descriptors(),
            children: own_children(),
            groups: groups(),
            mounts: fs::read_to_string("/proc/self/mountinfo").map_or(0, |it| it.lines().count()),
            threads: fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
        }
    }
}

/// A size that the kernel tells of this process, in KiB.
pub fn status_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Open descriptors of this process.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn own_children() -> usize {
    children().into_iter().filter(|pid| !is_keeper(*pid)).count()
}

/// Every loaded program has one, as long as it is loaded.
fn is_keeper(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.starts_with(b"sandtrap-keeper")
}

/// Groups named after this process, in every hierarchy it lives in.
fn groups() -> usize {
    let prefix = format!("sandtrap-{}-", std::process::id());
    count_below(Path::new("/sys/fs/cgroup"), &prefix, 8)
}

fn count_below(folder: &Path, prefix: &str, depth: usize) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            let own = usize::from(entry.file_name().to_string_lossy().starts_with(prefix));
            let below = if depth == 0 { 0 } else { count_below(&entry.path(), prefix, depth - 1) };
            own + below
        })
        .sum()
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (when, counted) in [("after a tenth", &self.early), ("at the end", &self.late)] {
            writeln!(
                f,
                "{when}: resident {} KiB, {} descriptors, {} children, {} groups",
                counted.resident_kib, counted.descriptors, counted.children, counted.groups
            )?;
        }
        write!(f, "wrong verdicts: {}", self.wrong.len())
    }
}

//! The confusion matrix: many ways to die, in programs that know nothing of sandtrap, each built in several forms,
//! and what the reports say. Nothing may stand off its diagonal.

pub mod builds;
pub mod causes;
pub mod load;
pub mod peers;
pub mod show;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::{
    Access, Capture, CrashCause, Ending, Event, Failure, Fault, Killer, Permissions, Program,
    Report, Runtime, StopHandle, Task, Verdict, Wall,
};

use builds::{Build, Builds};
use causes::{Address, Cause, causes};

/// What came of one cause in one build.
#[derive(Clone, Debug, Default)]
pub struct Square {
    /// How often it was run.
    pub runs: usize,
    /// What each wrong report said, in words.
    pub wrong: Vec<String>,
}

/// Everything that came of all of them.
#[derive(Debug)]
pub struct Matrix {
    /// The rows.
    pub causes: Vec<Cause>,
    /// The names of the columns.
    pub builds: Vec<&'static str>,
    /// What could not be built, in words.
    pub skipped: Vec<String>,
    /// By row and column; `None` where a build doesn't know a cause.
    pub squares: Vec<Vec<Option<Square>>>,
}

/// How the matrix is run.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// How often each cause in each build.
    pub rounds: usize,
    /// Whether backtraces are taken, too.
    pub backtrace: bool,
    /// After this no further round begins; none where it may take as long as it takes.
    pub within: Option<Duration>,
}

impl Matrix {
    /// Runs every cause in every build that knows it, on all processors.
    pub fn run(builds: &Builds, asked: Asked) -> Self {
        let causes = causes();
        let runtime = Runtime::new().expect("a runtime");
        let knows = |build: &Build, cause: &Cause| build.causes.contains(cause.name);
        let jobs: Vec<(usize, usize)> = (0..causes.len())
            .flat_map(|row| (0..builds.built.len()).map(move |column| (row, column)))
            .filter(|(row, column)| knows(&builds.built[*column], &causes[*row]))
            .collect();
        let squares = Mutex::new(vec![vec![None; builds.built.len()]; causes.len()]);
        let (began, next) = (Instant::now(), AtomicUsize::new(0));
        let is_late = || asked.within.is_some_and(|within| began.elapsed() > within);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                let begins_round = number.is_multiple_of(jobs.len());
                if number >= jobs.len() * asked.rounds || begins_round && number > 0 && is_late() {
                    // Nobody begins what is behind it either.
                    next.fetch_max(jobs.len() * asked.rounds, Ordering::SeqCst);
                    break;
                }
                let (row, column) = jobs[number % jobs.len()];
                let wrong = run(&runtime, &builds.built[column], &causes[row], asked);
                let mut squares = squares.lock().expect("nobody panics");
                let square: &mut Square = squares[row][column].get_or_insert_default();
                square.runs += 1;
                square.wrong.extend(wrong);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
        });
        let squares = squares.into_inner().expect("nobody panics");
        let names = builds.built.iter().map(|build| build.name).collect();
        Self { causes, builds: names, skipped: builds.skipped.clone(), squares }
    }

    /// How many runs there were.
    pub fn runs(&self) -> usize {
        self.squares.iter().flatten().flatten().map(|square| square.runs).sum()
    }

    /// Everything that was wrong, in words.
    pub fn wrong(&self) -> Vec<String> {
        let rows = self.causes.iter().zip(&self.squares);
        rows.flat_map(|(cause, squares)| {
            let columns = self.builds.iter().zip(squares);
            columns.flat_map(move |(build, square)| {
                let wrong = square.iter().flat_map(|square| &square.wrong);
                wrong.map(move |words| format!("{} in {build}: {words}", cause.name))
            })
        })
        .collect()
    }
}

/// Runs one victim once, and says what was wrong.
fn run(runtime: &Runtime, build: &Build, cause: &Cause, asked: Asked) -> Option<String> {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut permissions = Permissions { profile: cause.profile, ..Permissions::default() };
    permissions.grant_dir(scratch.path(), "/scratch", Access::ReadWrite);
    let program = Program::file(&build.path)
        .within(Wall::Native)
        .permissions(permissions)
        .limits(cause.limits.clone())
        .backtrace(asked.backtrace);
    let mut task = Task::command([cause.name]);
    task.stdout = Capture::Discard;
    let mut pid = 0;
    let mut ear = |event: Event<'_>| match event {
        Event::Started { pid: started } => pid = started.cast_signed(),
        // It is ready.
        Event::Stdout(_) => {
            if let Some(signal) = cause.sent {
                let signal = Signal::try_from(signal).expect("a signal");
                // It is gone already only if something else went wrong, which is told then.
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
        Event::Stderr(_) | Event::Log { .. } | Event::Progress { .. } | Event::Emitted { .. } => {}
    };
    let report = runtime.run_with(program, &task, &StopHandle::new(), &mut ear);
    // The names are looked up, too, where they were asked for.
    let silent = asked.backtrace && report.facts.trace.is_empty();
    let was_fault = fault(&report).is_some();
    let missing = (silent && was_fault).then(|| "no backtrace of a fault".to_owned());
    complaint(cause, &report).or(missing)
}

/// What is wrong with a report, if anything is.
fn complaint(cause: &Cause, report: &Report) -> Option<String> {
    let verdict = &report.verdict;
    let code = match verdict {
        Verdict::Failed(Failure::Exit { code }) => Some(*code),
        _ => None,
    };
    let (address, access) =
        fault(report).map_or((None, None), |fault| (fault.address, fault.access));
    let address_fits = match cause.address {
        Address::Any => true,
        Address::Null => address.is_some_and(|address| address < 64 * 1024),
        Address::At(expected) => address == Some(expected),
        Address::Some => address.is_some(),
        Address::None => address.is_none(),
    };
    // What is not known on another machine is not said there.
    let access_fits = access == cause.access || !cfg!(target_arch = "x86_64");
    let fits = verdict.label() == cause.label
        && verdict.is_certain() == cause.certain
        && code == cause.code
        && address_fits
        && (access_fits || cause.address == Address::Any)
        && cause.killer.is_none_or(|expected| is_killer(expected, verdict));
    (!fits).then(|| format!("{verdict} [{}], {:?}", verdict.label(), report.facts.ending))
}

fn fault(report: &Report) -> Option<&Fault> {
    match &report.facts.ending {
        Ending::Signalled(death) => death.fault.as_ref(),
        _ => None,
    }
}

fn is_killer(expected: causes::Killer, verdict: &Verdict) -> bool {
    let Verdict::Crashed(crash) = verdict else { return false };
    let CrashCause::Killed { by, .. } = &crash.cause else { return false };
    matches!(
        (expected, by),
        (causes::Killer::Itself, Killer::Itself) | (causes::Killer::Unknown, Killer::Unknown)
    )
}

//! Who takes part: every guest of the table that ends soon, in each form, with four workers each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandtrap::policy::restart::{OnExcess, RestartSettings, Strategy};
use sandtrap::{
    Happening, Label, Limits, Loaded, Order, Permissions, Pool, PoolSettings, Program, Reuse,
    Runtime, Task, TaskId, Telemetry, Trust, Value,
};
use tempfile::TempDir;

use super::hunt::Hunt;
use super::{UNDER_WAY, WORKERS};
use crate::expect::{Expect, Input, Row, table};
use crate::guests::{self, Form};

/// One guest, and how its tasks may end.
pub(super) struct Cast {
    pub(super) name: String,
    pub(super) pool: Pool,
    does: Does,
    ends: Vec<Label>,
}

enum Does {
    Runs(Vec<&'static str>),
    Calls(&'static str),
}

/// A program of our own, of which nobody else has a process.
pub(super) struct Prey {
    pub(super) hunt: Arc<Hunt>,
    cast: Cast,
    _folder: TempDir,
}

/// Everybody.
pub(super) struct Company {
    crashers: Vec<Cast>,
    /// Those that eat memory, flood, or need a second of processor time to die.
    dear: Vec<Cast>,
    good: Vec<Cast>,
    kept: Vec<Cast>,
    restarts: Arc<AtomicUsize>,
    /// For those who want one task after another, and are never killed.
    pub(super) steady: Vec<Cast>,
    pub(super) prey: Prey,
}

/// Counts functions' calls, and one function traps.
const KEPT: &str = r#"(module (global $n (mut i32) (i32.const 0))
    (func (export "next") (global.set $n (i32.add (global.get $n) (i32.const 1))))
    (func (export "traps") unreachable))"#;

/// Delays that nobody has to wait for: here every third guest dies.
const AT_ONCE: RestartSettings = RestartSettings {
    first: Duration::from_millis(1),
    most: Duration::from_millis(2),
    healthy_after: Duration::from_secs(10),
    deaths: u32::MAX,
    window: Duration::from_secs(1),
    on_excess: OnExcess::Slow(Duration::from_millis(1)),
    failed_starts: 3,
    strategy: Strategy::OneForOne,
};

fn pool(loaded: &Loaded) -> Pool {
    loaded.pool(PoolSettings { queue: UNDER_WAY, ..PoolSettings::with_workers(WORKERS) })
}

impl Cast {
    pub(super) fn order(&self, number: usize) -> Order {
        let mut task = match &self.does {
            Does::Runs(args) => Task::command(args.iter().copied()),
            Does::Calls(function) => Task::call(*function, Vec::<Value>::new()),
        };
        task.id = TaskId::named(format!("{}-{number}", self.name));
        Order::new(task)
    }

    pub(super) fn may_end(&self, label: Label) -> bool {
        self.ends.contains(&label)
    }

    fn is_dear(&self) -> bool {
        let stops = self.ends.iter().any(|label| label.kind() == "stopped");
        stops
            || self.may_end(Label::CrashedOutOfMemory)
            || self.name.ends_with("lowers_own_cpu_limit")
    }

    /// A guest of the table, if it ends soon in this form.
    fn of(runtime: &Runtime, form: Form, row: &Row) -> Option<Self> {
        let expected = match form {
            Form::Process => row.native,
            Form::Module | Form::Component => row.wasm,
        };
        let Expect::Ends(ends, _) = expected else { return None };
        // What hits a limit of time takes that long, whoever waits.
        let is_slow = matches!(ends, Label::StoppedWallTime | Label::StoppedCpuTime);
        if is_slow || row.scratch || row.stdin != Input::Empty || !form.guest(row.guest).exists() {
            return None;
        }
        let mut permissions = Permissions::default();
        if form == Form::Process {
            (permissions.profile, permissions.net) = (row.profile, row.net);
        }
        // How it is compiled is not the question here.
        let program = Program::file(form.guest(row.guest)).within(form.wall()).trust(Trust::Own);
        // What can't be loaded has no pool, and so no task either.
        let loaded =
            runtime.load(program.permissions(permissions).limits(row.limits.clone())).ok()?;
        let name = format!("{form:?}-{}", row.guest);
        Some(Self {
            name,
            pool: pool(&loaded),
            does: Does::Runs(row.args.clone()),
            ends: vec![ends],
        })
    }

    /// Calls of a module whose guests are kept; a spare stands by.
    fn kept(
        runtime: &Runtime,
        function: &'static str,
        ends: Label,
        restarts: &Arc<AtomicUsize>,
    ) -> Self {
        let program = Program::module(function, KEPT.as_bytes()).trust(Trust::Own);
        let loaded = runtime.load(program).expect("the module is right");
        let restarts = Arc::clone(restarts);
        let telemetry = Telemetry::to(move |happening| {
            if matches!(happening, Happening::WorkerRestarted { .. }) {
                restarts.fetch_add(1, Ordering::SeqCst);
            }
        });
        let settings = PoolSettings {
            telemetry,
            queue: UNDER_WAY,
            keep: Some(Reuse { max_tasks: 100, ..Reuse::default() }),
            spares: 1,
            restart: AT_ONCE,
            ..PoolSettings::with_workers(WORKERS)
        };
        let (name, does) = (format!("kept-{function}"), Does::Calls(function));
        Self { name, pool: loaded.pool(settings), does, ends: vec![ends] }
    }

    fn steady(runtime: &Runtime, form: Form) -> Self {
        let program = Program::file(form.guest("hello")).within(form.wall()).trust(Trust::Own);
        let loaded = runtime.load(program).expect("the guest is built");
        let (name, does) = (format!("steady {form:?}"), Does::Runs(Vec::new()));
        Self { name, pool: pool(&loaded), does, ends: vec![Label::Completed] }
    }
}

impl Prey {
    fn new(runtime: &Runtime) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().canonicalize().expect("it was just made").join("prey");
        std::fs::copy(guests::native("sleep"), &path).expect("there is room for a program");
        // It sleeps until it is killed.
        let limits = Limits { wall: Duration::from_secs(600), ..Limits::default() };
        let loaded = runtime.load(Program::file(&path).limits(limits)).expect("it is a program");
        let ends = vec![Label::CrashedKilled];
        let hunt = Hunt::new(path);
        let telemetry = hunt.telemetry();
        let settings =
            PoolSettings { telemetry, queue: UNDER_WAY, ..PoolSettings::with_workers(WORKERS) };
        let (name, pool) = ("prey".to_owned(), loaded.pool(settings));
        let cast = Cast { name, pool, does: Does::Runs(Vec::new()), ends };
        Self { hunt, cast, _folder: folder }
    }
}

impl Company {
    pub(super) fn gather(runtime: &Runtime) -> Self {
        let forms = [Form::Process, Form::Module];
        let rows = table();
        let all = forms.into_iter().flat_map(|form| rows.iter().map(move |row| (form, row)));
        let (mut good, crashers): (Vec<Cast>, Vec<Cast>) = all
            .filter_map(|(form, row)| Cast::of(runtime, form, row))
            .partition(|cast| cast.may_end(Label::Completed));
        // What it pours out is a hundred mebibytes each time; this one asks for all the memory it may have, and lives.
        good.retain(|cast| {
            !["pour", "copes_when_refused"].iter().any(|name| cast.name.ends_with(name))
        });
        let (dear, mut crashers): (Vec<Cast>, Vec<Cast>) =
            crashers.into_iter().partition(Cast::is_dear);
        let restarts = Arc::default();
        crashers.push(Cast::kept(runtime, "traps", Label::CrashedAbort, &restarts));
        assert!(crashers.len() > 60, "only {} ways to die", crashers.len());
        Self {
            crashers,
            dear,
            good,
            kept: vec![Cast::kept(runtime, "next", Label::Completed, &restarts)],
            restarts,
            steady: forms.map(|form| Cast::steady(runtime, form)).into(),
            prey: Prey::new(runtime),
        }
    }

    /// Whose turn it is. Numbers decide, so that a run can be done again.
    pub(super) fn turn_of(&self, number: usize) -> &Cast {
        let turn = number / 3;
        match number % 3 {
            0 if turn.is_multiple_of(20) => &self.dear[turn / 20 % self.dear.len()],
            0 => &self.crashers[turn % self.crashers.len()],
            1 => &self.good[turn % self.good.len()],
            // One process in a hundred tasks is killed from outside.
            _ if turn.is_multiple_of(33) => &self.prey.cast,
            _ => &self.kept[turn % self.kept.len()],
        }
    }

    pub(super) fn restarts(&self) -> usize {
        self.restarts.load(Ordering::SeqCst)
    }

    pub(super) fn everybody(&self) -> impl Iterator<Item = &Cast> {
        let prey = std::iter::once(&self.prey.cast);
        [&self.crashers, &self.dear, &self.good, &self.kept, &self.steady]
            .into_iter()
            .flatten()
            .chain(prey)
    }
}

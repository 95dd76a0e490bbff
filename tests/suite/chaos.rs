//! Chaos: guests of the table die in every way they know, others are killed from outside, and each task has the one
//! report that is its own.

use std::collections::BTreeMap;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::{
    Label, Limits, Order, Permissions, Pool, PoolSettings, Program, Runtime, Task, Ticket, Trust,
    WorkerState,
};
use sandtrap_tests::expect::{Expect, Input, table};
use sandtrap_tests::guests::{self, Form};
use sandtrap_tests::soak::Counted;

/// Allocators keep what they once had; a report that leaked for each task would be far above this.
const SLACK_KIB: u64 = 16 * 1024;

struct Cast {
    name: String,
    pool: Pool,
    args: Vec<&'static str>,
    ends: Label,
}

/// Every guest that ends by itself and soon, behind a wall, with two workers each.
fn cast(runtime: &Runtime, form: Form) -> Vec<Cast> {
    let rows = table().into_iter().filter(|row| !row.scratch && row.stdin == Input::Empty);
    rows.filter_map(|row| {
        let expected = match form {
            Form::Process => row.native,
            Form::Module | Form::Component => row.wasm,
        };
        let Expect::Ends(ends, _) = expected else { return None };
        // What hits a limit of time takes that long, and what eats memory takes it from other tests.
        let is_quick = matches!(ends.kind(), "completed" | "failed" | "crashed");
        if !is_quick || ends == Label::CrashedOutOfMemory || !form.guest(row.guest).exists() {
            return None;
        }
        let mut permissions = Permissions::default();
        if form == Form::Process {
            (permissions.profile, permissions.net) = (row.profile, row.net);
        }
        let program =
            Program::file(form.guest(row.guest)).within(form.wall()).permissions(permissions);
        // How it is compiled is not the question here.
        let loaded = runtime.load(program.limits(row.limits).trust(Trust::Own)).ok()?;
        let settings = PoolSettings { queue: 1_000, ..PoolSettings::with_workers(2) };
        let name = format!("{form:?} {} {:?}", row.guest, row.args);
        Some(Cast { name, pool: loaded.pool(settings), args: row.args, ends })
    })
    .collect()
}

fn command(args: &[&str]) -> Order {
    Order::new(Task::command(args.iter().copied()))
}

/// Kills every process of this program, again and again, until its tasks have ended.
fn kill_all(program: &Path, tickets: &[Ticket]) {
    while tickets.iter().any(|ticket| !ticket.is_ready()) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let is_victim =
                std::fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program);
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (true, Some(pid)) = (is_victim, pid) {
                // It may be gone already.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        std::thread::yield_now();
    }
}

/// Runs everybody so many times, and says what was wrong.
fn round(cast: &[Cast], victims: &Pool, program: &Path, times: usize) -> BTreeMap<String, usize> {
    let mut wrong = BTreeMap::new();
    let killed: Vec<Ticket> =
        (0..times).map(|_| victims.try_submit(command(&[])).unwrap()).collect();
    let tickets: Vec<(&Cast, Ticket)> = (0..times)
        .flat_map(|_| cast)
        .map(|one| (one, one.pool.try_submit(command(&one.args)).unwrap()))
        .collect();
    kill_all(program, &killed);
    for ticket in killed {
        let label = ticket.wait().verdict.label();
        if label != Label::CrashedKilled {
            *wrong.entry(format!("the victim: {label}")).or_insert(0) += 1;
        }
    }
    for (one, ticket) in tickets {
        let label = ticket.wait().verdict.label();
        if label != one.ends {
            *wrong.entry(format!("{}: {label} instead of {}", one.name, one.ends)).or_insert(0) +=
                1;
        }
    }
    wrong
}

fn chaos(rounds: usize, times: usize) {
    let folder = tempfile::tempdir().unwrap();
    // A program of this test's own: nobody else's processes are killed.
    let program = folder.path().canonicalize().unwrap().join("victim");
    std::fs::copy(guests::native("sleep"), &program).unwrap();
    let runtime = Runtime::new().unwrap();
    let limits = Limits { wall: std::time::Duration::from_secs(600), ..Limits::default() };
    let victims = runtime.load(Program::file(&program).limits(limits)).unwrap();
    let victims = victims.pool(PoolSettings { queue: 1_000, ..PoolSettings::with_workers(4) });
    let cast: Vec<Cast> =
        [Form::Process, Form::Module].into_iter().flat_map(|form| cast(&runtime, form)).collect();
    assert!(cast.len() > 40, "only {} guests", cast.len());
    let mut early = None;
    for number in 0..rounds {
        assert_eq!(round(&cast, &victims, &program, times), BTreeMap::new());
        if number == rounds / 3 {
            early = Some(Counted::now());
        }
    }
    let (early, late) = (early.unwrap(), Counted::now());
    for one in &cast {
        let status = one.pool.status();
        assert_eq!((status.finished, status.waiting), ((rounds * times) as u64, 0), "{}", one.name);
        let lives = |state| matches!(state, WorkerState::Idle | WorkerState::Starting);
        assert!(
            status.workers.iter().all(|worker| lives(worker.state)),
            "{}: {status:?}",
            one.name
        );
    }
    drop((cast, victims));
    assert_eq!((late.children, late.groups), (0, 0), "{late:?}");
    assert!(late.descriptors <= early.descriptors + 16, "{early:?} {late:?}");
    assert!(late.resident_kib <= early.resident_kib + SLACK_KIB, "{early:?} {late:?}");
}

#[test]
fn p1_p10_s1_hundreds_of_tasks_die_in_every_way_and_each_has_its_own_report() {
    chaos(3, 2);
}

#[test]
#[ignore = "thousands of tasks take a while; run with `--run-ignored all` or `--include-ignored`"]
fn p1_p10_s1_thousands_of_tasks_leave_nothing_behind() {
    chaos(6, 6);
}

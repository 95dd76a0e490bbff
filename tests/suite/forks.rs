//! Tasks that are forks of a warm guest: fresh, as confined as any other, and ended with the same words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::{
    ByteSize, Event, Guard, GuardState, Label, Limits, Loaded, OnMemoryLimit, Payloads,
    Permissions, PoolSettings, Program, Report, Reuse, Runtime, Start, StopHandle, StopReason,
    Task, Wall,
};
use sandtrap_tests::guests;
use serde::Serialize;

pub(super) fn limits() -> Limits {
    let ample = Duration::from_secs(120);
    Limits { wall: ample, cpu: ample, memory: ByteSize::mib(64), ..Limits::default() }
}

pub(super) fn program(path: impl AsRef<Path>, start: Start) -> Program {
    Program::file(path.as_ref()).within(Wall::Native).limits(limits()).started_by(start)
}

pub(super) fn load(program: Program) -> Loaded {
    Runtime::new().unwrap().load(program).unwrap()
}

fn forked() -> Loaded {
    load(program(guests::native("warmed"), Start::Fork))
}

fn spawned() -> Loaded {
    load(program(guests::native("warmed"), Start::Spawn))
}

/// A task of a guest that warms up in this way.
fn warmed_by(how: &str, limits: Limits, start: Start) -> Report {
    let mut permissions = Permissions::default();
    permissions.env.push(("WARM_UP".into(), how.into()));
    let program = program(guests::native("warmed"), start).limits(limits);
    load(program.permissions(permissions)).run(&task("learnt", &()))
}

fn task<T: Serialize + ?Sized>(function: &str, input: &T) -> Task {
    Task::invoke(function, input).unwrap()
}

fn why(report: &Report) -> String {
    format!("{} [{}]", report.verdict, report.verdict.label())
}

fn label(report: &Report) -> &'static str {
    report.verdict.label().as_str()
}

/// A copy of the guest, which nobody else runs.
pub(super) fn alone() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().canonicalize().unwrap().join("warmed");
    std::fs::copy(guests::native("warmed"), &file).unwrap();
    (folder, file)
}

/// The processes that run this file.
pub(super) fn running(program: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let of_it = entries.filter(|entry| {
        std::fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program)
    });
    of_it.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw)).collect()
}

/// The same, when they are so many: a fork that has answered may be about to end.
pub(super) fn settled(program: &Path, count: usize) -> Vec<Pid> {
    loop {
        let all = running(program);
        if all.len() == count {
            return all;
        }
        std::thread::yield_now();
    }
}

#[test]
fn b7_each_fork_begins_with_what_the_warm_guest_has_learnt_and_changes_only_its_own() {
    let guest = forked();
    for _ in 0..5 {
        assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
    }
}

#[test]
fn b7_a_fork_is_the_first_of_a_namespace_with_every_guard_of_a_spawned_task() {
    let guest = forked();
    let report = guest.run(&task("learnt", &()));
    assert!(report.verdict.is_completed(), "{}", why(&report));
    assert_eq!(report.guards, spawned().run(&task("learnt", &())).guards);
    let in_force =
        |name| report.guards.iter().any(|it| it.name == name && it.state == GuardState::InForce);
    for guard in ["pid-namespace", "user-namespace", "seccomp", "tracing", "capabilities"] {
        assert!(in_force(guard), "{guard}: {:?}", report.guards);
    }
    let (number, of_host) = guest.call::<_, (u32, Vec<String>)>("surroundings", &()).unwrap();
    assert_eq!((number, of_host), (1, Vec::new()));
}

#[test]
fn b7_a_fork_ends_with_the_same_verdict_as_a_spawned_task() {
    let second = Limits { wall: Duration::from_secs(1), ..limits() };
    let busy = Limits { cpu: Duration::from_millis(200), ..limits() };
    let quiet = Limits { output: ByteSize::kib(64), ..limits() };
    let cases = [
        (task("panics", "no"), "failed.panic"),
        (task("aborts", &()), "crashed.abort"),
        (task("exits", &3), "failed.exit"),
        (task("exits", &139), "failed.exit"),
        (task("faults", &()), "crashed.memory-fault"),
        (task("kills_itself", &(Signal::SIGKILL as i32)), "crashed.killed"),
        (task("kills_itself", &(Signal::SIGTERM as i32)), "crashed.killed"),
        (task("overflows", &100_000_000_u64), "crashed.stack-overflow"),
        (task("allocates", &(1_usize << 30)), "crashed.out-of-memory"),
        (task("spins", &()).limits(busy), "stopped.cpu-time"),
        (task("sleeps", &()).limits(second), "stopped.wall-time"),
        (task("floods", &()).limits(quiet), "stopped.output"),
        (task("forks", &()), "denied.syscall"),
        (task("rages", &()), "crashed.protocol"),
        (task("nobody", &()), "failed.error"),
        (task("learnt", &()), "completed"),
    ];
    let (forked, spawned) = (forked(), spawned());
    for (task, expected) in &cases {
        let [one, other] = [&forked, &spawned].map(|guest| guest.run(task));
        assert_eq!((label(&one), label(&other)), (*expected, *expected), "{}", why(&one));
        let of = |report: &Report| {
            let facts = &report.facts;
            // One that was heard talking nonsense may have ended by itself before it is ended.
            let is_late = facts.stopped_by_us == Some(StopReason::Protocol);
            let ending = (!is_late).then_some(&facts.ending);
            let signal = format!("{ending:?}").split('{').next().map(str::to_owned);
            (facts.source, signal, facts.stopped_by_us, facts.denied.len(), facts.oom_kills)
        };
        assert_eq!(of(&one), of(&other), "{expected}");
        assert!(!one.facts.was_warming_up);
    }
}

#[test]
fn b7_what_ends_a_guest_while_it_warms_up_is_told_as_it_is_of_a_spawned_task() {
    // Its cage is built and its program started within it, too.
    let short = Limits { wall: Duration::from_secs(3), ..limits() };
    let busy = Limits { cpu: Duration::from_millis(200), ..limits() };
    let quiet = Limits { output: ByteSize::kib(64), ..limits() };
    for (how, limits, expected) in [
        ("panics", limits(), "failed.panic"),
        ("aborts", limits(), "crashed.abort"),
        ("exits", limits(), "failed.exit"),
        ("overflows", limits(), "crashed.stack-overflow"),
        ("allocates", limits(), "crashed.out-of-memory"),
        ("forks", limits(), "denied.syscall"),
        ("spins", busy, "stopped.cpu-time"),
        ("hangs", short, "stopped.wall-time"),
        ("floods", quiet, "stopped.output"),
    ] {
        let report = warmed_by(how, limits.clone(), Start::Fork);
        let other = warmed_by(how, limits, Start::Spawn);
        let both = (label(&report), label(&other));
        assert_eq!(both, (expected, expected), "{how}: {}, {}", why(&report), why(&other));
        assert!(report.facts.was_warming_up && !other.facts.was_warming_up, "{how}");
        // What one wrote is heard of, as far as it was read before the flood.
        let said = report.output.stderr_text();
        assert!(how == "floods" || said.starts_with("warming up"), "{how}: {said}");
    }
}

#[test]
fn tasks_of_a_guest_that_is_forked_run_beside_each_other() {
    let guest = forked();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..5 {
                        assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
                        let crash = guest.run(&task("aborts", &()));
                        assert_eq!(label(&crash), "crashed.abort");
                    }
                })
            })
            .collect();
        for call in calls {
            call.join().unwrap();
        }
    });
}

#[test]
fn a_fork_that_rages_harms_neither_the_warm_guest_nor_its_siblings() {
    let (_folder, file) = alone();
    let guest = load(program(&file, Start::Fork));
    assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
    let zygote = settled(&file, 1);
    let stop = StopHandle::new();
    std::thread::scope(|scope| {
        let (say, said) = std::sync::mpsc::channel();
        let (guest, stop) = (&guest, &stop);
        let sibling = scope.spawn(move || {
            let mut ear = |event: Event<'_>| {
                if let Event::Stdout(_) = event {
                    say.send(()).unwrap();
                }
            };
            guest.run_with(&task("sleeps", &()), stop, &mut ear)
        });
        said.recv().unwrap();
        for _ in 0..3 {
            assert_eq!(label(&guest.run(&task("rages", &()))), "crashed.protocol");
            assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
        }
        assert!(settled(&file, 2).contains(&zygote[0]), "the warm guest, and the sibling");
        stop.stop(StopReason::Cancelled);
        assert_eq!(label(&sibling.join().unwrap()), "stopped.cancelled");
    });
    assert_eq!(settled(&file, 1), zygote, "it was never warmed up again");
}

#[test]
fn a_fork_holds_the_descriptors_of_a_spawned_task_and_no_other() {
    let kinds = |guest: &Loaded| {
        let (stop, mut seen) = (StopHandle::new(), Vec::new());
        let mut process = None;
        let mut ear = |event: Event<'_>| match event {
            Event::Started { pid } => process = Some(pid),
            // It runs, so what it holds is what it will hold.
            Event::Stdout(_) => {
                let folder = format!("/proc/{}/fd", process.unwrap());
                let entries = std::fs::read_dir(folder).unwrap().flatten();
                let links = entries.map(|entry| std::fs::read_link(entry.path()).unwrap());
                // Without the numbers of pipes and sockets.
                let kind = |link: PathBuf| {
                    link.display().to_string().split('[').next().unwrap().to_owned()
                };
                seen = links.map(kind).collect();
                seen.sort();
                stop.stop(StopReason::Cancelled);
            }
            _ => {}
        };
        let report = guest.run_with(&task("sleeps", &()), &stop, &mut ear);
        assert_eq!(label(&report), "stopped.cancelled", "{}", why(&report));
        seen
    };
    let expected = ["/dev/null", "pipe:", "pipe:", "socket:"];
    assert_eq!(kinds(&spawned()), expected);
    assert_eq!(kinds(&forked()), expected);
}

#[test]
fn large_values_lie_in_memory_that_a_fork_shares_with_its_host() {
    let program = program(guests::native("warmed"), Start::Fork).payloads(Payloads::Shared);
    let (guest, text) = (load(program), "forty-two ".repeat(100_000));
    for _ in 0..2 {
        assert_eq!(guest.call::<_, String>("twice", &text).unwrap(), text.repeat(2));
    }
}

#[test]
fn forks_are_kept_and_stand_ready_as_other_processes_do() {
    let guest = forked();
    let mut kept = guest.keep(Reuse::default()).unwrap();
    let said: Vec<u64> = (0..3).map(|_| kept.call("learnt", &()).unwrap()).collect();
    assert_eq!(said, [41, 42, 43]);
    for spares in [0, 2] {
        let pool = guest.pool(PoolSettings { spares, ..PoolSettings::with_workers(2) });
        while pool.status().spares < spares {
            std::thread::yield_now();
        }
        for _ in 0..5 {
            let report = pool.run(sandtrap::Order::new(task("learnt", &())));
            assert_eq!(report.value::<u64>().unwrap(), 41, "{}", why(&report));
            let report = pool.run(sandtrap::Order::new(task("aborts", &())));
            assert_eq!(report.verdict.label(), Label::CrashedAbort, "{}", why(&report));
        }
    }
}

#[test]
fn a_warm_guest_that_was_killed_is_warmed_up_again_until_that_is_of_no_use() {
    let (_folder, file) = alone();
    let guest = load(program(&file, Start::Fork));
    let mut labels = Vec::new();
    for _ in 0..9 {
        let report = guest.run(&task("learnt", &()));
        labels.push(label(&report));
        let zygotes = running(&file);
        for zygote in &zygotes {
            // A fork that has answered may be gone by now.
            let _ = kill(*zygote, Signal::SIGKILL);
        }
        while !running(&file).is_empty() {
            std::thread::yield_now();
        }
    }
    assert_eq!(labels[..8], ["completed"; 8]);
    assert_eq!(labels[8], "unstarted.resources");
    let report = guest.run(&task("learnt", &()));
    assert!(why(&report).contains("8 times within a minute"), "{}", why(&report));
    drop(guest);
    assert_eq!(running(&file), []);
}

#[test]
fn a_task_whose_warm_guest_is_killed_ends_with_it_and_says_so() {
    let (_folder, file) = alone();
    let guest = load(program(&file, Start::Fork));
    let mut own = 0;
    let mut ear = |event: Event<'_>| match event {
        Event::Started { pid } => own = pid.cast_signed(),
        Event::Stdout(_) => {
            let zygote = running(&file).into_iter().find(|pid| pid.as_raw() != own);
            kill(zygote.unwrap(), Signal::SIGKILL).unwrap();
        }
        _ => {}
    };
    let report = guest.run_with(&task("sleeps", &()), &StopHandle::new(), &mut ear);
    assert_eq!(label(&report), "crashed.killed", "{}", why(&report));
    assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
}

#[test]
fn a_warm_guest_goes_with_the_last_who_has_it_loaded() {
    let (_folder, file) = alone();
    let guest = load(program(&file, Start::Fork));
    assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
    settled(&file, 1);
    drop(guest);
    assert_eq!(running(&file), []);
}

#[test]
fn what_cannot_be_forked_is_refused_with_what_to_do() {
    let plain =
        |guest: &str| load(program(guests::native(guest), Start::Fork)).run(&task("learnt", &()));
    let mut more = limits();
    more.open_files += 1;
    let deeper = Limits { stack: ByteSize::mib(64), ..limits() };
    let copes = Limits { on_memory_limit: OnMemoryLimit::Refuse, ..limits() };
    let coping = load(program(guests::native("warmed"), Start::Fork).limits(copes.clone()));
    let report = coping.run(&task("learnt", &()).limits(copes));
    assert!(report.verdict.is_completed(), "{}", why(&report));
    // Where there are no groups, every address space has its limit.
    let is_counted = |it: &Guard| it.name == "memory-group" && it.state == GuardState::InForce;
    if report.guards.iter().any(is_counted) {
        let report = coping.run(&task("learnt", &()).limits(limits()));
        assert!(why(&report).contains("address space has a limit"), "{}", why(&report));
    }
    let cases = [
        (warmed_by("threads", limits(), Start::Fork), "the guest has 2 threads"),
        (warmed_by("exits well", limits(), Start::Fork), "serve!"),
        (plain("hello"), "serve!"),
        (plain("exit_3"), "serve!"),
        (forked().run(&Task::command(["x"])), "call one"),
        (forked().run(&task("learnt", &()).limits(more)), "the open-files limit of a fork"),
        (forked().run(&task("learnt", &()).limits(deeper)), "the stack limit is fixed"),
    ];
    for (report, words) in &cases {
        assert_eq!(report.verdict.label().kind(), "unstarted", "{words}: {}", why(report));
        assert!(why(report).contains(words), "{words}: {}", why(report));
    }
    let module = Program::file(guests::wasm("calls")).started_by(Start::Fork);
    let refused = Runtime::new().unwrap().load(module).err().unwrap();
    assert!(refused.to_string().contains("spawn"), "{refused}");
}

#[test]
fn who_waits_for_a_guest_to_be_warm_keeps_his_own_deadline() {
    let limits = Limits { wall: Duration::from_secs(3), ..limits() };
    let report = warmed_by("hangs", limits, Start::Fork);
    assert_eq!(label(&report), "stopped.wall-time", "{}", why(&report));
    assert!(report.facts.was_warming_up);
}

#[test]
fn s7_a_pool_says_what_ended_a_guest_while_it_warmed_up_as_a_task_of_its_own_would() {
    let short = Limits { wall: Duration::from_secs(3), ..limits() };
    for (how, limits, expected) in
        [("hangs", short, "stopped.wall-time"), ("panics", limits(), "failed.panic")]
    {
        let mut permissions = Permissions::default();
        permissions.env.push(("WARM_UP".into(), how.into()));
        let program = program(guests::native("warmed"), Start::Fork).limits(limits);
        let keep = Some(Reuse::default());
        let settings = PoolSettings { keep, ..PoolSettings::with_workers(1) };
        let report = load(program.permissions(permissions)).pool(settings).run(task("learnt", &()));
        assert_eq!(label(&report), expected, "{}", why(&report));
        assert!(report.facts.was_warming_up, "{how}");
        assert!(report.output.stderr_text().starts_with("warming up"), "{how}");
    }
}

//! Tasks that are forks of a warm guest: fresh, as confined as any other, and ended with the same words.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandtrap::{
    ByteSize, GuardState, Limits, Loaded, Permissions, Program, Report, Runtime, Start, Task, Wall,
};
use sandtrap_tests::guests;
use serde::Serialize;

fn limits() -> Limits {
    let ample = Duration::from_secs(120);
    Limits { wall: ample, cpu: ample, memory: ByteSize::mib(64), ..Limits::default() }
}

fn program(path: impl AsRef<Path>, start: Start) -> Program {
    Program::file(path.as_ref()).within(Wall::Native).limits(limits()).started_by(start)
}

fn load(program: Program) -> Loaded {
    Runtime::new().unwrap().load(program).unwrap()
}

fn forked() -> Loaded {
    load(program(guests::native("warmed"), Start::Fork))
}

fn warmed_by(how: &str, limits: Limits) -> Report {
    let mut permissions = Permissions::default();
    permissions.env.push(("WARM_UP".into(), how.into()));
    let program = program(guests::native("warmed"), Start::Fork).limits(limits);
    load(program.permissions(permissions)).run(&task("learnt", &()))
}

fn task<T: Serialize + ?Sized>(function: &str, input: &T) -> Task {
    Task::invoke(function, input).unwrap()
}

fn why(report: &Report) -> String {
    format!("{} [{}]", report.verdict, report.verdict.label())
}

#[test]
fn each_fork_begins_with_what_the_warm_guest_has_learnt_and_changes_only_its_own() {
    let guest = forked();
    for _ in 0..5 {
        assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
    }
}

#[test]
fn a_fork_is_the_first_of_a_namespace_with_every_guard_of_a_spawned_task() {
    let guest = forked();
    let report = guest.run(&task("learnt", &()));
    assert!(report.verdict.is_completed(), "{}", why(&report));
    let spawned = load(program(guests::native("warmed"), Start::Spawn)).run(&task("learnt", &()));
    assert_eq!(report.guards, spawned.guards);
    let in_force =
        |name| report.guards.iter().any(|it| it.name == name && it.state == GuardState::InForce);
    for guard in ["pid-namespace", "user-namespace", "seccomp", "tracing", "capabilities"] {
        assert!(in_force(guard), "{guard}: {:?}", report.guards);
    }
    let (number, of_host) = guest.call::<_, (u32, Vec<String>)>("surroundings", &()).unwrap();
    assert_eq!((number, of_host), (1, Vec::new()));
}

#[test]
fn a_fork_ends_with_the_same_verdict_as_a_spawned_task() {
    let second = Limits { wall: Duration::from_secs(1), ..limits() };
    let busy = Limits { cpu: Duration::from_millis(200), ..limits() };
    let cases = [
        (task("panics", "no"), "failed.panic"),
        (task("aborts", &()), "crashed.abort"),
        (task("exits", &3), "failed.exit"),
        (task("exits", &139), "failed.exit"),
        (task("overflows", &100_000_000_u64), "crashed.stack-overflow"),
        (task("allocates", &(1_usize << 30)), "crashed.out-of-memory"),
        (task("spins", &()).limits(busy), "stopped.cpu-time"),
        (task("sleeps", &()).limits(second), "stopped.wall-time"),
        (task("forks", &()), "denied.syscall"),
        (task("nobody", &()), "failed.error"),
        (task("learnt", &()), "completed"),
    ];
    let (forked, spawned) = (forked(), load(program(guests::native("warmed"), Start::Spawn)));
    for (task, label) in &cases {
        for (guest, how) in [(&forked, "forked"), (&spawned, "spawned")] {
            let report = guest.run(task);
            assert_eq!(report.verdict.label().as_str(), *label, "{how}: {}", why(&report));
        }
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
                        assert_eq!(crash.verdict.label().as_str(), "crashed.abort");
                    }
                })
            })
            .collect();
        for call in calls {
            call.join().unwrap();
        }
    });
}

/// The processes that run this file.
fn running(program: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let of_it = entries.filter(|entry| {
        std::fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program)
    });
    of_it.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw)).collect()
}

#[test]
fn a_warm_guest_that_was_killed_is_warmed_up_again_until_that_is_of_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().canonicalize().unwrap().join("warmed");
    std::fs::copy(guests::native("warmed"), &file).unwrap();
    let guest = load(program(&file, Start::Fork));
    let mut labels = Vec::new();
    for _ in 0..9 {
        let report = guest.run(&task("learnt", &()));
        labels.push(report.verdict.label().as_str());
        let zygotes = running(&file);
        for zygote in &zygotes {
            kill(*zygote, Signal::SIGKILL).unwrap();
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
fn a_warm_guest_goes_with_the_last_who_has_it_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().canonicalize().unwrap().join("warmed");
    std::fs::copy(guests::native("warmed"), &file).unwrap();
    let guest = load(program(&file, Start::Fork));
    assert_eq!(guest.call::<_, u64>("learnt", &()).unwrap(), 41);
    assert_eq!(running(&file).len(), 1);
    drop(guest);
    assert_eq!(running(&file), []);
}

#[test]
fn what_cannot_be_forked_is_refused_with_what_to_do() {
    let cases = [
        (warmed_by("threads", limits()), "unstarted", "the guest has 2 threads"),
        (warmed_by("panics", limits()), "unstarted", "there is no model"),
        (
            load(program(guests::native("hello"), Start::Fork)).run(&task("learnt", &())),
            "unstarted",
            "serve!",
        ),
        (forked().run(&Task::command(["x"])), "unstarted", "call one"),
    ];
    for (report, kind, words) in &cases {
        assert_eq!(report.verdict.label().kind(), *kind, "{}", why(report));
        assert!(why(report).contains(words), "{words}: {}", why(report));
    }
    let module = Program::file(guests::wasm("calls")).started_by(Start::Fork);
    let refused = Runtime::new().unwrap().load(module).err().unwrap();
    assert!(refused.to_string().contains("spawn"), "{refused}");
}

#[test]
fn who_waits_for_a_guest_to_be_warm_keeps_his_own_deadline() {
    let limits = Limits { wall: Duration::from_millis(500), ..limits() };
    let report = warmed_by("hangs", limits);
    assert_eq!(report.verdict.label().as_str(), "stopped.wall-time", "{}", why(&report));
}

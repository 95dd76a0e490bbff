//! What holds a process to its limits, how far it gets beyond them, and what the report says of it.
//!
//! Nothing here depends on the speed of the machine: processor time is compared with processor time.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sandtrap::{
    ByteSize, Cpus, GuardState, Label, Limits, Permissions, Profile, Program, Report, Runtime,
    StopReason, Task,
};
use sandtrap_tests::guests;

fn run(guest: &str, limits: Limits) -> Report {
    // Whoever may have several processes may start them.
    let profile = if limits.processes > 1 { Profile::Process } else { Profile::default() };
    let permissions = Permissions { profile, ..Permissions::default() };
    let program = Program::file(guests::native(guest)).limits(limits).permissions(permissions);
    Runtime::new().unwrap().run(program, &Task::command(["x"; 0]))
}

fn unhurried() -> Limits {
    let long = Duration::from_secs(600);
    Limits { wall: long, cpu: long, ..Limits::default() }
}

/// By how much of its limit a guest exceeded its processor time: the least of several runs, for the host's thread
/// may have to wait for a processor itself, and the most.
fn overshoot(guest: &str, limits: &Limits) -> (f64, f64) {
    let over = (0..5).map(|_| {
        let report = run(guest, limits.clone());
        assert_eq!(report.verdict.label().as_str(), "stopped.cpu-time", "{report:#?}");
        let used = report.usage.cpu.as_secs_f64() / limits.cpu.as_secs_f64();
        assert!(used >= 1.0, "{guest} was stopped too early: {:?}", report.usage);
        used - 1.0
    });
    over.fold((f64::MAX, 0.0), |(least, most), over| (over.min(least), over.max(most)))
}

#[test]
fn processor_time_is_exact_to_some_milliseconds() {
    let limits = Limits { cpu: Duration::from_millis(200), ..unhurried() };
    let (least, most) = overshoot("spin", &limits);
    // 1 ms where the machine is quiet; here others may have the processors.
    assert!(least <= 0.25, "50 ms of 200: {least}");
    assert!(most <= 1.0, "{most}");
}

#[test]
fn processor_time_is_that_of_the_whole_tree() {
    let limits = Limits { cpu: Duration::from_millis(200), processes: 3, ..unhurried() };
    let (least, most) = overshoot("cpu_hog_children", &limits);
    assert!(least <= 0.25, "50 ms of 200: {least}");
    assert!(most <= 1.0, "{most}");
}

#[test]
fn a_share_of_the_processors_holds_for_the_whole_tree() {
    let cpus = Some(Cpus::thousandths(50));
    let wall = Duration::from_secs(1);
    for (guest, processes) in [("spin", 1), ("cpu_hog_children", 3)] {
        let report = run(guest, Limits { cpus, wall, processes, ..unhurried() });
        assert_eq!(report.verdict.label(), Label::StoppedWallTime, "{report:#?}");
        let guard = report.guards.iter().find(|guard| guard.name == "cpu-group").unwrap();
        match guard.state {
            // A twentieth of its time, what each processor had taken ahead of it, and the way to its end.
            GuardState::InForce => {
                let share = report.usage.wall / 20 + Duration::from_millis(30);
                assert!(report.usage.cpu <= share, "{guest}: {:?}", report.usage);
            }
            state => {
                assert_eq!(state, GuardState::Missing);
                assert!(guard.why.as_ref().unwrap().contains("may use all processors"));
            }
        }
    }
    let free = run("hello", unhurried());
    assert!(free.guards.iter().all(|guard| guard.name != "cpu-group"), "nobody asked for it");
}

#[test]
fn threads_are_counted_with_the_first_of_each_process() {
    let limits = |threads| Limits { threads, ..unhurried() };
    let alone = run("segfault_in_thread", limits(1));
    assert_eq!(alone.verdict.label().as_str(), "stopped.processes", "{alone:#?}");
    assert_eq!(alone.facts.stopped_by_us, Some(StopReason::Threads));
    let two = run("segfault_in_thread", limits(2));
    assert_eq!(two.verdict.label().as_str(), "crashed.memory-fault", "{two:#?}");
}

#[test]
fn a_bomb_of_threads_ends_at_its_limit_whatever_that_is() {
    for threads in [2, 64, 700] {
        let limits = Limits { threads, memory: ByteSize::mib(512), ..unhurried() };
        let report = run("thread_bomb", limits);
        assert_eq!(report.verdict.label().as_str(), "stopped.processes", "{report:#?}");
        assert_eq!(report.facts.stopped_by_us, Some(StopReason::Threads));
    }
}

#[test]
fn what_the_host_may_not_have_is_not_granted_and_the_report_says_so() {
    let (_, most) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let limits = Limits { open_files: u32::MAX, ..unhurried() };
    let report = run("hello", limits);
    assert!(report.verdict.is_completed(), "{report:#?}");
    assert_eq!(u64::from(report.limits.open_files), most.min(u32::MAX.into()));
}

#[test]
fn limits_that_contradict_each_other_are_refused_in_words_and_nothing_is_started() {
    let limits = Limits { stack: ByteSize::mib(512), ..unhurried() };
    let report = run("hello", limits);
    assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
    let words = report.verdict.to_string();
    assert!(words.contains("stack limit of 512 MiB and the memory limit of 256 MiB"), "{words}");
    assert_eq!(report.task.pid, None);
}

#[test]
fn a_guest_that_closes_its_streams_keeps_nobody_busy() {
    let limits = Limits { wall: Duration::from_millis(500), ..Limits::default() };
    let program = Program::file(guests::native("closes_streams")).limits(limits);
    let loaded = Runtime::new().unwrap().load(program).unwrap();
    let own = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let before = own();
    let report = loaded.run(&Task::command(["x"; 0]));
    assert_eq!(report.verdict.label(), Label::StoppedWallTime);
    // Whoever waits for ended pipes again and again spends all of that time.
    let spent = own() - before;
    assert!(spent < report.usage.wall / 4, "{spent:?} of {:?}", report.usage.wall);
}

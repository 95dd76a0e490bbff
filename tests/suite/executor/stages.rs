//! The stages in which the original was to be built, each of them whole; and what belongs to single functions.

use sandtrap::policy::breaker::Mode;
use sandtrap::policy::health::{Filter, HealthSettings, Level};
use sandtrap::policy::restart::RestartSettings;
use sandtrap::{PoolSettings, Reuse, WorkerState};
use sandtrap_tests::guests::Form;

use super::*;

fn stays(form: Form) -> sandtrap::Loaded {
    Runtime::new().unwrap().load(Program::file(form.guest("stays"))).unwrap()
}

fn invoke(function: &str) -> Order {
    Order::new(Task::invoke(function, &()).unwrap())
}

#[test]
fn s60_processes_run_their_ends_have_causes_and_each_is_started_again() {
    let told = Told::default();
    let restart = RestartSettings {
        first: Duration::ZERO,
        most: Duration::ZERO,
        deaths: u32::MAX,
        ..RestartSettings::default()
    };
    let settings = PoolSettings {
        keep: Some(Reuse::default()),
        restart,
        telemetry: told.telemetry(),
        ..PoolSettings::with_workers(1)
    };
    let pool = stays(Form::Process).pool(settings);
    let mut pids = std::collections::BTreeSet::new();
    for (function, cause) in [
        ("reads_wild", "crashed.memory-fault"),
        ("calls_nothing", "crashed.bad-call"),
        ("overflows", "crashed.stack-overflow"),
        ("aborts", "crashed.abort"),
    ] {
        let first = pool.run(invoke("next"));
        assert_eq!(first.value::<u64>().unwrap(), 1, "after it there is a new one");
        let died = pool.run(invoke(function));
        assert_eq!(label(&died), cause);
        assert_eq!(died.task.pid, first.task.pid, "it was the same process");
        assert!(pids.insert(died.task.pid));
    }
    assert_eq!(label(&pool.run(invoke("next"))), "completed");
    let status = pool.status();
    assert_eq!((status.workers[0].state, status.workers[0].crashes), (WorkerState::Idle, 4));
    // Whoever tells may still be about to: at its end all is told.
    drop(pool);
    assert_eq!(told.names("worker.crashed").len(), 4);
    assert_eq!(told.names("worker.restarted").len(), 4);
}

#[test]
fn s61_each_device_has_a_breaker_whose_whole_way_is_told() {
    let (wall, told) = (Acted::new(), Told::default());
    let open_for = Duration::from_millis(1);
    let breaker = Some(BreakerSettings { open_for, ..BreakerSettings::default() });
    let executor = executor(&wall, telling(&told, ExecutorSettings { breaker, ..bare() }));
    // What each device does is its own affair.
    executor.set_breaker("acted", Mode::Disabled);
    let run = |device: &str, does: &str| {
        label(&executor.run(Order::new(Task::command([does])).device(device)))
    };
    (0..5).for_each(|_| assert_eq!(run("cuda:0", "fault"), "crashed.memory-fault"));
    assert_eq!(run("cuda:1", "ok"), "completed");
    while executor.breaker("cuda:0").unwrap().0 != Mode::HalfOpen {
        std::thread::yield_now();
    }
    // A probe that fails opens it again; three that succeed close it.
    assert_eq!(run("cuda:0", "fault"), "crashed.memory-fault");
    while executor.breaker("cuda:0").unwrap().0 != Mode::HalfOpen {
        std::thread::yield_now();
    }
    (0..3).for_each(|_| assert_eq!(run("cuda:0", "ok"), "completed"));
    let of_device = told.all().into_iter().filter_map(|happening| match &happening {
        Happening::BreakerChanged { key, .. } if &**key == "cuda:0" => Some(happening.name()),
        _ => None,
    });
    let half = "breaker.half-opened";
    assert_eq!(
        of_device.collect::<Vec<_>>(),
        ["breaker.opened", half, "breaker.opened", half, "breaker.closed"]
    );
    assert_eq!(executor.breaker("cuda:1").unwrap().0, Mode::Closed);
}

#[test]
fn s62_health_sees_patterns_and_answers_all_its_questions() {
    let (wall, told) = (Acted::new(), Told::default());
    let settings = ExecutorSettings { health: Some(HealthSettings::default()), ..bare() };
    let executor = executor(&wall, telling(&told, settings));
    let run = |does: &str, input: &str| {
        let task = Task::command([does, input]);
        executor.run(Order::new(task).device("cpu").kind(does))
    };
    run("ok", "1");
    (0..7).for_each(|number| _ = run("fault", &number.to_string()));
    let status = executor.health().unwrap();
    assert_eq!((status.level, status.recent_crashes), (Level::Degraded, 7));
    for reason in ["device cpu is degraded", "crash-rate", "memory-faults"] {
        assert!(status.reasons.iter().any(|it| it == reason), "{reason}: {:?}", status.reasons);
    }
    let label = Some(sandtrap::Label::CrashedMemoryFault);
    let found = executor.crashes(&Filter { label, ..Filter::default() }, 5);
    assert_eq!(found.len(), 5);
    assert!(found.is_sorted_by(|one, other| one.at >= other.at), "newest first");
    assert_eq!(
        executor.crashes(&Filter { device: Some("gpu".into()), ..Filter::default() }, 5),
        []
    );
    let (level, stats) = executor.kind("fault").unwrap();
    assert_eq!((level, stats.crashes), (Level::Degraded, 7));
    assert_eq!(executor.kind("ok").unwrap().0, Level::Healthy);
    let alerts = told.names("health.alert").len();
    run("fault", "8");
    assert_eq!(told.names("health.alert").len(), alerts, "a pattern is told once");
}

#[test]
fn s64_a_function_that_is_marked_is_tried_again_and_no_other_is() {
    for form in [Form::Process, Form::Module] {
        for keep in [None, Some(Reuse::default())] {
            let restart = RestartSettings {
                first: Duration::ZERO,
                most: Duration::ZERO,
                ..RestartSettings::default()
            };
            let pool = PoolSettings { keep, restart, ..PoolSettings::with_workers(1) };
            let settings = ExecutorSettings { retry: quick(), pool, ..bare() };
            let executor = stays(form).executor(settings);
            let attempts = |function: &str| {
                let report = executor.run(invoke(function));
                assert_eq!(label(&report), "crashed.abort", "{form:?}: {}", report.verdict);
                report.attempts
            };
            assert_eq!((attempts("aborts_again"), attempts("aborts")), (3, 1), "{form:?}");
            // Its caller knows better.
            let report = executor.run(invoke("aborts").idempotent());
            assert_eq!(report.attempts, 3, "{form:?}");
        }
    }
    let retry = quick().map(|retry| RetrySettings { marks: false, ..retry });
    let executor = stays(Form::Process).executor(ExecutorSettings { retry, ..bare() });
    assert_eq!(executor.run(invoke("aborts_again")).attempts, 1, "nobody heeds it");
}

#[test]
fn s65_the_health_of_each_function_can_be_asked_for() {
    let settings = ExecutorSettings { health: Some(HealthSettings::default()), ..bare() };
    let executor = stays(Form::Process).executor(settings);
    let kind = |function: &str| format!("{} {function}", Form::Process.guest("stays").display());
    (0..6).for_each(|_| _ = executor.run(invoke("aborts")));
    executor.run(invoke("next"));
    let (level, stats) = executor.kind(&kind("aborts")).unwrap();
    assert_eq!((level, stats.crashes, stats.requests), (Level::Degraded, 6, 6));
    let (level, stats) = executor.kind(&kind("next")).unwrap();
    assert_eq!((level, stats.crashes, stats.requests), (Level::Healthy, 0, 1));
    assert!(executor.kind(&kind("echo")).is_none(), "nobody has called it");
}

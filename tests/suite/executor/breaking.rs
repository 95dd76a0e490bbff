//! Breakers, quarantine and health around real attempts.

use sandtrap::policy::breaker::Mode;
use sandtrap::policy::health::{Filter, HealthSettings, Level, Subject};
use sandtrap::policy::quarantine::QuarantineSettings;

use super::*;

fn once(does: &str) -> Order {
    Order { idempotent: false, ..task(does) }
}

#[test]
fn s43_s59_the_breaker_opens_after_five_crashes_and_refuses_with_a_time() {
    let (wall, told) = (Acted::new(), Told::default());
    let settings = ExecutorSettings { breaker: Some(BreakerSettings::default()), ..bare() };
    let executor = executor(&wall, telling(&told, settings));
    (0..5).for_each(|_| _ = executor.run(once("fault")));
    let report = executor.run(once("ok"));
    assert_eq!(label(&report), "unstarted.rejected");
    let words = report.verdict.to_string();
    assert!(words.contains("`acted` is open; try again in "), "{words}");
    assert_eq!(wall.began().len(), 5);
    let (mode, next) = executor.breaker("acted").unwrap();
    assert_eq!((mode, next.is_some()), (Mode::Open, true));
    assert_eq!(told.names("breaker"), ["breaker.opened"]);
    assert_eq!(told.names("task.rejected").len(), 1);
    assert!(executor.set_breaker("acted", Mode::Closed));
    assert_eq!(label(&executor.run(once("ok"))), "completed");
    assert_eq!(told.names("breaker"), ["breaker.opened", "breaker.closed"]);
}

#[test]
fn s43_every_attempt_is_told_to_the_breaker_and_a_retry_stops_at_an_open_one() {
    // The original asks once before all attempts and tells once after them: three crashes are one failure to it.
    let wall = Acted::new();
    let breaker = Some(BreakerSettings::default());
    let executor = executor(&wall, ExecutorSettings { breaker, retry: quick(), ..bare() });
    let reports = [task("fault"), task("fault")].map(|order| executor.run(order));
    assert_eq!(reports.each_ref().map(|report| report.attempts), [3, 2]);
    assert_eq!(
        label(&reports[1]),
        "crashed.memory-fault",
        "its own end, and not that of the breaker"
    );
    assert_eq!(executor.breaker("acted").unwrap().0, Mode::Open);
}

#[test]
fn s17_s19_an_open_breaker_probes_and_closes() {
    let (wall, told) = (Acted::new(), Told::default());
    let breaker =
        BreakerSettings { open_for: Duration::from_millis(1), ..BreakerSettings::default() };
    let settings = ExecutorSettings { breaker: Some(breaker), ..bare() };
    let executor = executor(&wall, telling(&told, settings));
    (0..5).for_each(|_| _ = executor.run(once("fault")));
    while executor.breaker("acted").unwrap().0 != Mode::HalfOpen {
        std::thread::yield_now();
    }
    (0..3).for_each(|_| assert_eq!(label(&executor.run(once("ok"))), "completed"));
    let names = ["breaker.opened", "breaker.half-opened", "breaker.closed"];
    assert_eq!(told.names("breaker"), names);
}

#[test]
fn s22_a_permit_comes_back_from_a_task_that_never_ran() {
    // The original asks and tells in two calls, and a caller that dies between them leaves no trace.
    let breaker =
        BreakerSettings { open_for: Duration::from_millis(1), ..BreakerSettings::default() };
    let executor = executor(&Acted::new(), ExecutorSettings { breaker: Some(breaker), ..bare() });
    (0..5).for_each(|_| _ = executor.run(once("fault")));
    while executor.breaker("acted").unwrap().0 != Mode::HalfOpen {
        std::thread::yield_now();
    }
    for _ in 0..50 {
        assert_eq!(label(&executor.run(once("ok").within(Duration::ZERO))), "unstarted.rejected");
    }
    (0..3).for_each(|_| assert_eq!(label(&executor.run(once("ok"))), "completed"));
    assert_eq!(executor.breaker("acted").unwrap().0, Mode::Closed);
}

#[test]
fn s21_each_device_has_a_breaker_of_its_own() {
    let breaker = Some(BreakerSettings::default());
    let executor = executor(&Acted::new(), ExecutorSettings { breaker, ..bare() });
    // The program's own breaker would open, too, and gate every device.
    executor.set_breaker("acted", Mode::Disabled);
    (0..5).for_each(|_| _ = executor.run(once("fault").device("cuda:0")));
    assert_eq!(label(&executor.run(once("ok").device("cuda:0"))), "unstarted.rejected");
    assert_eq!(label(&executor.run(once("ok").device("cuda:1"))), "completed");
    executor.set_breaker("acted", Mode::ForcedOpen);
    assert_eq!(label(&executor.run(once("ok").device("cuda:1"))), "unstarted.rejected");
}

#[test]
fn s21_a_callers_own_key_has_a_breaker_beside_program_and_device() {
    let told = Told::default();
    let breaker = Some(BreakerSettings::default());
    let settings = telling(&told, ExecutorSettings { breaker, ..bare() });
    let executor = executor(&Acted::new(), settings);
    for others in ["acted", "cpu"] {
        executor.set_breaker(others, Mode::Disabled);
    }
    let of = |does, tenant: &str| executor.run(once(does).device("cpu").breaker(tenant));
    (0..5).for_each(|_| _ = of("fault", "tenant-7"));
    let refused = of("ok", "tenant-7");
    let words = refused.verdict.to_string();
    assert!(words.contains("`tenant-7` is open; try again in "), "{words}");
    assert_eq!(label(&of("ok", "tenant-8")), "completed", "a neighbour is not gated");
    assert_eq!(label(&executor.run(once("ok").device("cpu"))), "completed");
    let (mode, next) = executor.breaker("tenant-7").unwrap();
    assert_eq!((mode, next.is_some()), (Mode::Open, true));
    assert_eq!(told.names("breaker"), ["breaker.set", "breaker.set", "breaker.opened"]);
    let opened = told.all().into_iter().any(|it| {
        matches!(it, Happening::BreakerChanged { key, change } if &*key == "tenant-7" && change.to == Mode::Open)
    });
    assert!(opened);
    executor.set_breaker("tenant-7", Mode::Closed);
    executor.set_breaker("tenant-8", Mode::ForcedOpen);
    assert_eq!(label(&of("ok", "tenant-7")), "completed");
    assert_eq!(label(&of("ok", "tenant-8")), "unstarted.rejected");
    // One name is one breaker, whoever bears it: a task is counted there once.
    executor.set_breaker("acted", Mode::Closed);
    (0..4).for_each(|_| _ = executor.run(once("fault").breaker("acted")));
    assert_eq!(executor.breaker("acted").unwrap().0, Mode::Closed);
}

#[test]
fn s21_callers_keys_are_bounded_and_no_open_breaker_is_forgotten_for_closed_ones() {
    let breaker = Some(BreakerSettings::default());
    let executor = executor(&Acted::new(), ExecutorSettings { breaker, ..bare() });
    executor.set_breaker("acted", Mode::Disabled);
    executor.set_breaker("forced", Mode::ForcedOpen);
    (0..4).for_each(|_| _ = executor.run(once("fault").breaker("old")));
    for number in 0..1_500 {
        executor.run(once("ok").breaker(format!("tenant-{number}")));
    }
    assert_eq!(label(&executor.run(once("ok").breaker("forced"))), "unstarted.rejected");
    executor.run(once("fault").breaker("old"));
    assert_eq!(executor.breaker("old").unwrap().0, Mode::Closed, "its four were forgotten");
}

#[test]
fn s46_what_is_refused_or_fails_by_itself_says_nothing_about_a_device() {
    let breaker = Some(BreakerSettings::default());
    let executor = executor(&Acted::new(), ExecutorSettings { breaker, ..bare() });
    for _ in 0..50 {
        executor.run(once("error"));
        executor.run(once("ok").within(Duration::ZERO));
    }
    assert_eq!(executor.breaker("acted").unwrap().0, Mode::Closed);
}

#[test]
fn s33_s69_an_input_that_kills_is_refused_over_retries_and_resubmissions() {
    let (wall, told) = (Acted::new(), Told::default());
    let quarantine = Some(QuarantineSettings::default());
    let settings = ExecutorSettings { quarantine, retry: quick(), ..bare() };
    let executor = executor(&wall, telling(&told, settings));
    assert_eq!(executor.run(once("fault")).attempts, 1);
    assert_eq!(
        executor.run(task("fault")).attempts,
        2,
        "with the first one that makes three deaths"
    );
    let report = executor.run(task("fault"));
    let words = report.verdict.to_string();
    assert_eq!(label(&report), "unstarted.rejected");
    assert!(words.contains("killed 3 workers"), "{words}");
    assert_eq!(wall.began().len(), 3);
    assert_eq!(label(&executor.run(task("ok"))), "completed", "a neighbour is not blamed");
    let (culprit, poison) = executor.quarantined().remove(0);
    assert_eq!((culprit.clone(), poison.deaths.len()), (executor.culprit(&task("fault")), 3));
    assert!(executor.release(&culprit) && !executor.release(&culprit));
    assert_eq!(label(&executor.run(once("fault"))), "crashed.memory-fault");
    assert_eq!(told.names("quarantine"), ["quarantine.added", "quarantine.released"]);
}

#[test]
fn s33_tasks_are_told_apart_by_their_input_and_kind() {
    let executor = executor(&Acted::new(), bare());
    let culprit = |words: &[&str]| executor.culprit(&Order::new(Task::command(words)));
    assert_eq!(culprit(&["a", "b"]), culprit(&["a", "b"]));
    assert_ne!(culprit(&["a", "b"]), culprit(&["ab"]));
    let bytes = |text: &[u8]| Task::command(["a"]).stdin(sandtrap::Stdin::Bytes(text.into()));
    let of = |task| executor.culprit(&Order::new(task));
    assert_ne!(of(bytes(b"x")), of(bytes(b"y")));
    assert_ne!(of(bytes(b"x")), of(Task::command(["a", "x"])));
    let kind = executor.culprit(&Order::new(Task::command(["a", "b"])).kind("render"));
    assert_eq!((&*kind.kind, kind.digest), ("render", culprit(&["a", "b"]).digest));
}

#[test]
fn s10_s24_s29_s35_s56_health_knows_workers_devices_and_crashes() {
    let (wall, told) = (Acted::new(), Told::default());
    let settings = ExecutorSettings { health: Some(HealthSettings::default()), ..bare() };
    let executor = executor(&wall, telling(&told, settings));
    // Both workers are known before there is anything to count for them.
    while executor.health().unwrap().workers < 2 {
        std::thread::yield_now();
    }
    assert_eq!(label(&executor.run(once("ok").device("cpu"))), "completed");
    assert_eq!(executor.health().unwrap().level, Level::Healthy);
    (0..11).for_each(|_| _ = executor.run(once("fault").device("cpu")));
    let status = executor.health().unwrap();
    assert_eq!((status.level, status.recent_crashes), (Level::Critical, 11));
    let (name, level, stats) = &status.devices[0];
    assert_eq!((&**name, *level, stats.crashes, stats.requests), ("cpu", Level::Unhealthy, 11, 12));
    assert!(status.workers >= 1 && status.workers <= 2, "{status:?}");
    let crashes =
        executor.crashes(&Filter { device: Some("cpu".into()), ..Filter::default() }, 100);
    assert_eq!((crashes.len(), crashes[0].attempt), (11, 1));
    assert!(crashes[0].task.to_string().starts_with("task-"), "the original has nil here");
    // Each of its workers has figures of its own, and all of them together are those of the program.
    let workers: Vec<_> = executor.pool().workers.iter().map(|it| it.worker).collect();
    let of_workers: Vec<_> = workers.iter().filter_map(|it| executor.worker(*it)).collect();
    let sums = of_workers.iter().fold((0, 0), |sum, it| (sum.0 + it.requests, sum.1 + it.crashes));
    assert_eq!((of_workers.len(), sums), (status.workers, (12, 11)));
    let all = executor.program().unwrap();
    assert_eq!((all.requests, all.crashes), (12, 11));
    assert!(all.last_healthy < all.last_active && executor.worker(1_000_000).is_none());
    // Patterns are told of what they are about.
    let device = Subject::Device("cpu".into());
    let of_device =
        |it: &Happening| matches!(it, Happening::Health(alert) if alert.subject == device);
    assert_eq!(told.all().iter().filter(|it| of_device(it)).count(), 2, "rate and faults");
    let alerts = told.names("health");
    assert!(alerts.len() <= 6 && alerts.iter().all(|name| *name == "health.alert"), "{alerts:?}");
}

#[test]
fn s24_a_record_says_how_far_its_guest_was_and_what_it_wrote_last() {
    let settings = ExecutorSettings { health: Some(HealthSettings::default()), ..bare() };
    let executor = executor(&Acted::new(), settings);
    for does in ["fault", "screams", "relapses"] {
        executor.run(once(does));
    }
    let crashes = executor.crashes(&Filter::default(), 10);
    let phases: Vec<_> = crashes.iter().rev().map(|crash| crash.phase.name()).collect();
    assert_eq!(phases, ["task", "task", "after-result"]);
    assert_eq!((crashes[2].stderr.as_str(), crashes[1].stderr.len()), ("", 1024));
    assert!(crashes[1].stderr.ends_with("xxx last words"), "{}", crashes[1].stderr);
}

#[test]
fn s1_s63_a_storm_through_everything_gives_each_task_one_report() {
    let wall = Acted::new();
    let settings = ExecutorSettings {
        deadline: None,
        retry: quick(),
        pool: sandtrap::PoolSettings { queue: 64, ..sandtrap::PoolSettings::with_workers(4) },
        ..ExecutorSettings::default()
    };
    let executor = executor(&wall, settings);
    let does = ["ok", "fault", "ok", "abort", "ok", "memory", "ok", "killed", "error"];
    let labels: Vec<Vec<&str>> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let executor = &executor;
                scope.spawn(move || {
                    let run = |number: usize| {
                        let input = format!("{caller}-{number}");
                        let task = Task::command([does[number % does.len()], &input]);
                        label(&executor.run(Order::new(task).idempotent()))
                    };
                    (0..1_000).map(run).collect()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let all: Vec<&str> = labels.concat();
    assert_eq!(all.len(), 8_000);
    let known = |label: &&str| {
        label.starts_with("crashed.")
            || ["completed", "failed.exit", "unstarted.rejected"].contains(label)
    };
    assert!(all.iter().all(known));
    assert_eq!(executor.pool().waiting, 0);
}

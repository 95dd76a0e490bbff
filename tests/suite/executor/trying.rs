//! Trying again: what, how often, with what, and what is left of it in the report.

use std::time::Instant;

use sandtrap::{ByteSize, Record};

use super::*;

#[test]
fn s36_s58_a_flaky_task_that_may_be_done_twice_succeeds_and_its_history_is_told() {
    let (wall, told) = (Acted::new(), Told::default());
    wall.flaky_for(2);
    let executor = executor(&wall, telling(&told, ExecutorSettings { retry: quick(), ..bare() }));
    let report = executor.run(task("flaky"));
    assert_eq!((label(&report), report.attempts), ("completed", 3));
    let history: Vec<_> =
        report.history.iter().map(|attempt| (attempt.number, attempt.label.as_str())).collect();
    assert_eq!(
        history,
        [(1, "crashed.memory-fault"), (2, "crashed.memory-fault"), (3, "completed")]
    );
    // S55: the original declares this event and never tells it.
    assert_eq!(told.names("retry"), ["retry.attempt"; 2]);
}

#[test]
fn s36_the_last_report_carries_all_three_ends_in_its_record_too() {
    let executor = executor(&Acted::new(), ExecutorSettings { retry: quick(), ..bare() });
    let report = executor.run(task("abort"));
    assert_eq!((label(&report), report.attempts, report.history.len()), ("crashed.abort", 3, 3));
    let json = serde_json::to_value(Record::from(&report)).unwrap();
    assert_eq!(json["attempts"], 3);
    assert_eq!(json["history"][1]["label"], "crashed.abort");
    assert_eq!(json["history"][2]["number"], 3);
}

#[test]
fn s42_s58_what_may_not_be_done_twice_is_done_once() {
    let wall = Acted::new();
    let executor = executor(&wall, ExecutorSettings { retry: quick(), ..bare() });
    let report = executor.run(Order { idempotent: false, ..task("fault") });
    assert_eq!(
        (label(&report), report.attempts, wall.began().len()),
        ("crashed.memory-fault", 1, 1)
    );
}

#[test]
fn s40_s41_a_tasks_own_error_is_not_tried_again() {
    let wall = Acted::new();
    let executor = executor(&wall, ExecutorSettings { retry: quick(), ..bare() });
    assert_eq!(executor.run(task("error")).attempts, 1);
    assert_eq!(wall.began().len(), 1);
}

#[test]
fn s40_what_ran_out_of_memory_gets_twice_as_much_once() {
    let wall = Acted::new();
    let most_memory = Some(ByteSize::mib(512));
    let retry = quick().map(|retry| RetrySettings { most_memory, ..retry });
    let executor = executor(&wall, ExecutorSettings { retry, ..bare() });
    let limits = sandtrap::Limits { memory: ByteSize::mib(64), ..sandtrap::Limits::default() };
    let hungry = |memory| {
        let mut order = task("hungry");
        order.task.limits = Some(sandtrap::Limits { memory, ..limits.clone() });
        executor.run(order)
    };
    let report = hungry(ByteSize::mib(64));
    assert_eq!((label(&report), report.limits.memory), ("completed", ByteSize::mib(128)));
    let report = hungry(ByteSize::mib(16));
    assert_eq!((label(&report), report.attempts), ("crashed.out-of-memory", 2));
}

#[test]
fn s44_one_deadline_is_for_all_attempts_and_the_delays_between_them() {
    let wall = Acted::new();
    let jitter = sandtrap::policy::retry::Jitter::None;
    let retry = Some(RetrySettings { first: LONG, most: LONG, jitter, ..RetrySettings::default() });
    let executor = executor(&wall, ExecutorSettings { retry, ..bare() });
    let report = executor.run(task("fault").within(LONG / 2));
    assert_eq!((label(&report), report.attempts), ("crashed.memory-fault", 1));
    let defaults = ExecutorSettings::default();
    assert_eq!(defaults.deadline, Some(Duration::from_secs(30)));
}

/// One failure opens the breaker, and a retry comes upon it.
fn brittle(open_for: Duration, most: Duration) -> ExecutorSettings {
    let longest_open = open_for;
    let breaker = BreakerSettings {
        failures: 1,
        open_for,
        longest_open,
        open_jitter: 0,
        ..BreakerSettings::default()
    };
    let retry = quick().map(|retry| RetrySettings { most, ..retry });
    ExecutorSettings { breaker: Some(breaker), retry, ..bare() }
}

#[test]
fn s43_a_retry_waits_for_the_probe_of_an_open_breaker_where_that_is_soon_enough() {
    let (wall, told) = (Acted::new(), Told::default());
    wall.flaky_for(1);
    let open_for = Duration::from_millis(300);
    let executor = executor(&wall, telling(&told, brittle(open_for, LONG)));
    let began = Instant::now();
    let report = executor.run(task("flaky").within(LONG));
    let labels: Vec<_> = report.history.iter().map(|attempt| attempt.label.as_str()).collect();
    assert_eq!(labels, ["crashed.memory-fault", "completed"]);
    assert!(began.elapsed() >= open_for, "nobody passes an open breaker");
    // On a host that stands still for as long, its time is up before anybody asks.
    let held = told.names("retry").iter().filter(|name| **name == "retry.held").count();
    assert_eq!(held > 0, report.history[1].delay > Duration::ZERO);
    assert_eq!(told.names("task.rejected").len(), 0);
}

#[test]
fn s43_a_retry_is_given_up_where_the_probe_is_too_late_for_it() {
    for (within, most) in [(LONG / 2, LONG), (LONG * 2, LONG / 2)] {
        let told = Told::default();
        let executor = executor(&Acted::new(), telling(&told, brittle(LONG, most)));
        let report = executor.run(task("fault").within(within));
        assert_eq!((label(&report), report.attempts), ("crashed.memory-fault", 1));
        let rejected = told.all().into_iter().find_map(|happening| match happening {
            Happening::TaskRejected { why, .. } => why.retry_after(),
            _ => None,
        });
        assert!(rejected.is_some_and(|after| after <= LONG && after > LONG / 2), "{rejected:?}");
    }
}

#[test]
fn a_stop_ends_a_retry_that_waits_for_a_breaker() {
    let (wall, told) = (Acted::new(), Told::default());
    let executor = executor(&wall, telling(&told, brittle(LONG, LONG)));
    let stop = StopHandle::new();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| executor.run_with(task("screams"), &stop));
        while !told.names("retry").contains(&"retry.held") {
            std::thread::yield_now();
        }
        stop.stop(sandtrap::StopReason::Cancelled);
        assert_last_attempt_is_told(&run.join().unwrap());
    });
}

/// A task that screamed, and was stopped before it was tried again.
fn assert_last_attempt_is_told(report: &Report) {
    assert_eq!((label(report), report.attempts), ("stopped.cancelled", 1));
    let history: Vec<_> = report.history.iter().map(|attempt| attempt.label.as_str()).collect();
    assert_eq!(history, ["crashed.memory-fault"]);
    assert!(report.output.stderr_text().ends_with("last words"), "what it wrote is lost");
    assert!(report.usage.wall > Duration::ZERO, "what it used is lost");
    assert_eq!(report.facts.stopped_by_us, Some(sandtrap::StopReason::Cancelled));
}

#[test]
fn a_stop_ends_a_task_while_it_runs_and_while_it_waits_to_be_tried_again() {
    let (wall, told) = (Acted::new(), Told::default());
    let retry = Some(RetrySettings {
        first: LONG,
        most: LONG,
        jitter: sandtrap::policy::retry::Jitter::None,
        ..RetrySettings::default()
    });
    let executor = executor(&wall, telling(&told, ExecutorSettings { retry, ..bare() }));
    for does in ["waits", "screams"] {
        let stop = StopHandle::new();
        let began = wall.began().len();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| executor.run_with(task(does), &stop));
            wall.wait_for(began + 1);
            while does == "screams" && told.names("retry").is_empty() {
                std::thread::yield_now();
            }
            stop.stop(sandtrap::StopReason::Cancelled);
            let report = run.join().unwrap();
            assert_eq!(label(&report), "stopped.cancelled", "{does}");
            if does == "screams" {
                assert_last_attempt_is_told(&report);
            }
        });
    }
}

#[test]
fn a_stop_ends_a_task_that_waits_for_room_in_the_queue() {
    let wall = Acted::new();
    let pool = sandtrap::PoolSettings { queue: 1, ..sandtrap::PoolSettings::with_workers(1) };
    let executor = executor(&wall, ExecutorSettings { pool, ..bare() });
    let stop = StopHandle::new();
    std::thread::scope(|scope| {
        scope.spawn(|| executor.run(task("gate")));
        wall.wait_for(1);
        let (executor, stop) = (&executor, &stop);
        let all: Vec<_> =
            (0..3).map(|_| scope.spawn(move || executor.run_with(task("ok"), stop))).collect();
        stop.stop(sandtrap::StopReason::Shutdown);
        for waiting in all {
            assert_eq!(label(&waiting.join().unwrap()), "stopped.shutdown");
        }
        wall.let_go();
    });
    assert_eq!(wall.began().len(), 1);
}

#[test]
fn s47_without_its_barriers_it_is_a_pool() {
    let wall = Acted::new();
    let all =
        ExecutorSettings { enabled: false, retry: quick(), ..ExecutorSettings::with_workers(1) };
    let executor = executor(&wall, all);
    for _ in 0..20 {
        assert_eq!(label(&executor.run(task("fault"))), "crashed.memory-fault");
    }
    assert_eq!(wall.began().len(), 20);
    assert!(executor.health().is_none() && executor.breaker("acted").is_none());
    assert!(ExecutorSettings::default().enabled, "on, unless said otherwise");
}

//! Second copies of tasks that are late: for whom, when, and what becomes of the other one.

use sandtrap::policy::hedge::HedgeSettings;

use super::*;

/// Whoever takes longer than the one before is late.
const SOON: HedgeSettings =
    HedgeSettings { percentile: 95, samples: 1, least: Duration::from_millis(1) };

/// Whoever takes longer than that is late: the first copy is at its work by then, however busy the machine is.
const LATER: HedgeSettings = HedgeSettings { least: Duration::from_millis(300), ..SOON };

fn hedging(wall: &Acted, told: &Told, hedge: HedgeSettings) -> Executor {
    let executor = executor(wall, telling(told, ExecutorSettings { hedge: Some(hedge), ..bare() }));
    // All commands of a program are of one kind; now it is known how long they take.
    assert_eq!(label(&executor.run(task("ok"))), "completed");
    executor
}

#[test]
fn s42_a_task_that_is_late_has_a_second_copy_and_the_first_answer_counts() {
    let (wall, told) = (Acted::new(), Told::default());
    let executor = hedging(&wall, &told, LATER);
    wall.stuck_for(1);
    let report = executor.run(task("stuck"));
    assert_eq!((label(&report), report.attempts), ("completed", 1));
    assert_eq!(wall.began().len(), 3);
    assert_eq!(told.names("hedge"), ["hedge.sent", "hedge.won"]);
    drop(executor);
    // The other one was stopped, without a time of grace, and is counted as that.
    assert_eq!(wall.hurried(), 1);
    let ends: Vec<&str> = told
        .all()
        .iter()
        .filter_map(|happening| match happening {
            Happening::TaskFinished { label, .. } => Some(label.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ends, ["completed", "completed", "stopped.cancelled"]);
}

#[test]
fn s42_what_may_not_be_done_twice_has_no_second_copy() {
    let (wall, told) = (Acted::new(), Told::default());
    let (executor, stop) = (hedging(&wall, &told, SOON), StopHandle::new());
    std::thread::scope(|scope| {
        let once = scope.spawn(|| executor.run(Order { idempotent: false, ..task("gate") }));
        wall.wait_for(2);
        // Meanwhile another one is late, and has its copy only when a worker is free.
        wall.stuck_for(1);
        let late = scope.spawn(|| executor.run_with(task("stuck"), &stop));
        wall.wait_for(3);
        assert_eq!(executor.pool().waiting, 0, "no copy waits for a worker");
        stop.stop(sandtrap::StopReason::Cancelled);
        assert_eq!(label(&late.join().unwrap()), "stopped.cancelled");
        wall.let_go();
        assert_eq!(label(&once.join().unwrap()), "completed");
    });
    assert_eq!(wall.began().len(), 3);
    assert_eq!(told.names("hedge"), Vec::<&str>::new());
}

#[test]
fn s50_second_copies_are_paid_from_the_budget_of_retries() {
    let (wall, told) = (Acted::new(), Told::default());
    let budget = BudgetSettings { percent: 0, most: 0, trickle: LONG };
    let retry = Some(RetrySettings { budget, ..RetrySettings::default() });
    let settings = ExecutorSettings { hedge: Some(SOON), retry, ..bare() };
    let executor = executor(&wall, telling(&told, settings));
    executor.run(task("ok"));
    wall.stuck_for(1);
    let stop = StopHandle::new();
    std::thread::scope(|scope| {
        let late = scope.spawn(|| executor.run_with(task("stuck"), &stop));
        wall.wait_for(2);
        // Others come and go, and it still has no copy.
        (0..100).for_each(|_| _ = executor.run(Order { idempotent: false, ..task("ok") }));
        stop.stop(sandtrap::StopReason::Cancelled);
        assert_eq!(label(&late.join().unwrap()), "stopped.cancelled");
    });
    assert_eq!(told.names("hedge"), Vec::<&str>::new());
}

#[test]
fn s42_a_copy_that_dies_is_no_answer_as_long_as_there_is_another_one() {
    let (wall, told) = (Acted::new(), Told::default());
    let executor = hedging(&wall, &told, LATER);
    wall.stuck_for(1);
    let stop = StopHandle::new();
    let report = std::thread::scope(|scope| {
        let late = scope.spawn(|| executor.run_with(task("doomed"), &stop));
        wall.wait_for(3);
        // The copy dies. The first one is still there, until it is stopped.
        while told.names("task.finished").len() < 2 {
            std::thread::yield_now();
        }
        stop.stop(sandtrap::StopReason::Cancelled);
        late.join().unwrap()
    });
    assert_eq!(label(&report), "stopped.cancelled");
    assert_eq!(told.names("hedge"), ["hedge.sent"]);
}

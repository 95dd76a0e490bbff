//! Who waits, for how long, and in which order.

use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use sandtrap::{ByteSize, Priority, Rejection, Stdin};

use super::*;

/// A pool of one worker that is busy until the gate opens.
fn busy(wall: &Acted, settings: PoolSettings) -> Pool {
    let pool = pool(wall, PoolSettings { workers: 1, ..settings });
    // Its worker may be late, whatever a task may wait for here.
    drop(pool.try_submit(named("gate", "first").queued_at_most(LONG)).unwrap());
    wall.wait_for(1);
    pool
}

#[test]
fn s70_the_queue_is_bounded_by_number_and_the_task_comes_back() {
    let wall = Acted::new();
    let pool = busy(&wall, PoolSettings { queue: 2, ..PoolSettings::default() });
    let waiting: Vec<_> = (0..2).map(|_| pool.try_submit(task("ok")).unwrap()).collect();
    let rejected = pool.try_submit(named("ok", "mine")).unwrap_err();
    assert_eq!(rejected.why, Rejection::QueueFull { most: 2 });
    assert_eq!(label(&pool.report_of(&rejected)), "unstarted.rejected");
    wall.let_go();
    waiting.into_iter().for_each(|ticket| assert_eq!(label(&ticket.wait()), "completed"));
    let again = pool.try_submit(*rejected.order).unwrap();
    assert_eq!(label(&again.wait()), "completed");
    assert_eq!(wall.began().last().unwrap(), "mine");
}

#[test]
fn s70_the_queue_is_bounded_by_bytes() {
    let wall = Acted::new();
    let most = ByteSize::bytes(1_000);
    let pool =
        busy(&wall, PoolSettings { queue: 100, queue_bytes: most, ..PoolSettings::default() });
    let large = || Order::new(Task::command(["ok"]).stdin(Stdin::Bytes(vec![0; 600].into())));
    let first = pool.try_submit(large()).unwrap();
    assert_eq!(pool.status().waiting_bytes, 602);
    assert_eq!(pool.try_submit(large()).unwrap_err().why, Rejection::QueueBytes { most });
    first.cancel();
    assert_eq!(pool.status().waiting_bytes, 0);
    drop(pool.try_submit(large()).unwrap());
}

#[test]
fn s70_who_submits_may_wait_for_room_and_not_beyond_the_deadline() {
    let wall = Acted::new();
    let pool = busy(&wall, PoolSettings { queue: 1, ..PoolSettings::default() });
    drop(pool.try_submit(task("ok")).unwrap());
    let soon = task("ok").within(Duration::from_millis(5));
    assert_eq!(pool.submit(soon).unwrap_err().why, Rejection::DeadlinePassed);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| pool.submit(task("ok").within(LONG)).unwrap().wait());
        wall.let_go();
        assert_eq!(label(&waits.join().unwrap()), "completed");
    });
}

#[test]
fn s44_a_deadline_that_passes_in_the_queue_is_told_then_and_needs_no_worker() {
    let wall = Acted::new();
    let pool = busy(&wall, PoolSettings::default());
    let report = pool.run(task("ok").within(Duration::from_millis(5)));
    assert_eq!(label(&report), "unstarted.rejected");
    assert!(report.verdict.to_string().contains("deadline passed"), "{}", report.verdict);
    assert_eq!(wall.began(), ["first"]);
    assert_eq!(pool.status().waiting, 0);
}

#[test]
fn s44_s70_a_task_waits_for_a_worker_only_as_long_as_it_may() {
    let (wall, short) = (Acted::new(), Some(Duration::from_millis(5)));
    let settings = PoolSettings { queue: 2, queue_time: short, ..PoolSettings::default() };
    let pool = busy(&wall, settings);
    let report = pool.run(task("ok").within(LONG));
    assert_eq!(label(&report), "unstarted.rejected");
    let words = report.verdict.to_string();
    assert!(words.contains("no worker was free for it within 5 ms"), "{words}");
    // What an order says counts before what the pool says, in either direction.
    let long = pool.try_submit(task("ok").queued_at_most(LONG)).unwrap();
    let other = pool.try_submit(task("ok").queued_at_most(LONG)).unwrap();
    // The wait for room is a part of it, with a thread and without.
    let most = Duration::from_millis(7);
    let full = pool.submit(task("ok").queued_at_most(most)).unwrap_err();
    assert_eq!(full.why, Rejection::QueueTime { most });
    assert_eq!(full.why.name(), "queue-time");
    let at_once = pool.try_submit(task("ok").queued_at_most(Duration::ZERO)).unwrap_err();
    assert_eq!(at_once.why, Rejection::QueueFull { most: 2 }, "who doesn't wait is told why");
    let deadline = pool.submit(task("ok").queued_at_most(LONG).within(most)).unwrap_err();
    assert_eq!(deadline.why, Rejection::DeadlinePassed);
    assert_eq!(wall.began(), ["first"]);
    wall.let_go();
    [long, other].into_iter().for_each(|it| assert_eq!(label(&it.wait()), "completed"));
}

#[test]
fn s44_what_runs_may_take_longer_than_it_may_wait() {
    let wall = Acted::new();
    let pool = workers(&wall, 1);
    let ticket = pool.try_submit(task("gate").queued_at_most(LONG)).unwrap();
    wall.wait_for(1);
    let ran = pool.try_submit(task("ok").queued_at_most(Duration::from_millis(1))).unwrap();
    assert_eq!(label(&ran.wait()), "unstarted.rejected");
    wall.let_go();
    assert_eq!(label(&ticket.wait()), "completed");
}

#[test]
fn s44_what_is_left_of_a_deadline_is_the_wall_time_of_the_attempt() {
    let pool = workers(&Acted::new(), 1);
    // The usual wall time is half a minute.
    let report = pool.run(task("ok").within(Duration::from_secs(20)));
    assert!(report.limits.wall <= Duration::from_secs(20), "{:?}", report.limits.wall);
}

#[test]
fn callers_take_turns_and_high_priorities_come_first() {
    let wall = Acted::new();
    let pool = busy(&wall, PoolSettings { queue: 100, ..PoolSettings::default() });
    let mut tickets = Vec::new();
    for name in ["a1", "a2", "a3"] {
        tickets.push(pool.try_submit(named("ok", name).caller("a")).unwrap());
    }
    tickets.push(pool.try_submit(named("ok", "b1").caller("b")).unwrap());
    tickets.push(pool.try_submit(named("ok", "low").priority(Priority::Low)).unwrap());
    tickets.push(pool.try_submit(named("ok", "high").priority(Priority::High)).unwrap());
    wall.let_go();
    tickets.into_iter().for_each(|ticket| _ = ticket.wait());
    assert_eq!(wall.began(), ["first", "high", "a1", "b1", "a2", "a3", "low"]);
}

#[test]
fn a_queued_task_is_cancelled_at_once_and_a_running_one_is_stopped() {
    let wall = Acted::new();
    let pool = workers(&wall, 1);
    let running = pool.try_submit(task("waits")).unwrap();
    wall.wait_for(1);
    let queued = pool.try_submit(task("ok")).unwrap();
    queued.cancel();
    assert!(queued.is_ready());
    assert_eq!(label(&queued.wait()), "stopped.cancelled");
    running.cancel();
    assert_eq!(label(&running.wait()), "stopped.cancelled");
    let over = pool.try_submit(task("ok")).unwrap();
    while !over.is_ready() {
        std::thread::yield_now();
    }
    over.cancel();
    assert_eq!(label(&over.wait()), "completed", "a report that is there stays as it is");
}

#[test]
fn p3_reports_come_in_the_order_of_the_tasks_or_as_they_end() {
    let wall = Acted::new();
    let pool = workers(&wall, 2);
    let tasks = || (0..50).map(|number| task(["ok", "abort", "error"][number % 3]));
    let labels: Vec<_> = pool.map(tasks()).map(|report| label(&report)).collect();
    let expected: Vec<_> =
        (0..50).map(|number| ["completed", "crashed.abort", "failed.exit"][number % 3]).collect();
    assert_eq!(labels, expected);
    let mut seen: Vec<(usize, &str)> =
        pool.as_completed(tasks()).map(|(number, report)| (number, label(&report))).collect();
    seen.sort_unstable();
    let expected: Vec<_> = expected.into_iter().enumerate().collect();
    assert_eq!(seen, expected);
}

#[test]
fn p3_a_slow_task_holds_back_no_report_but_those_in_order_after_it() {
    let wall = Acted::new();
    let pool = workers(&wall, 2);
    let tasks = ["gate", "ok", "ok", "ok"].map(task);
    let mut first_ends_last = Vec::new();
    for (number, _) in pool.as_completed(tasks) {
        first_ends_last.push(number);
        if first_ends_last.len() == 3 {
            wall.let_go();
        }
    }
    assert_eq!(first_ends_last, [1, 2, 3, 0]);
}

#[test]
fn p3_there_may_be_endlessly_many_tasks() {
    let pool = pool(&Acted::new(), PoolSettings { queue: 4, ..PoolSettings::with_workers(2) });
    let taken = AtomicUsize::new(0);
    let endless = std::iter::repeat_with(|| {
        taken.fetch_add(1, Ordering::Relaxed);
        task("ok")
    });
    assert_eq!(pool.map(endless).take(10_000).count(), 10_000);
    assert!(taken.into_inner() < 12_000, "they are taken as there is room");
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_ticket_is_a_future_that_needs_no_runtime() {
    let wall = Acted::new();
    let pool = workers(&wall, 1);
    let mut ticket = pin!(pool.try_submit(task("gate")).unwrap());
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    assert!(ticket.as_mut().poll(&mut context).is_pending());
    wall.let_go();
    while woken.0.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let Poll::Ready(report) = ticket.as_mut().poll(&mut context) else { panic!("woken too early") };
    assert_eq!(label(&report), "completed");
}

#[test]
fn a_ticket_may_be_waited_for_only_so_long() {
    let wall = Acted::new();
    let pool = workers(&wall, 1);
    let ticket = pool.try_submit(task("gate")).unwrap();
    let ticket = ticket.wait_until(Instant::now() + Duration::from_millis(2)).unwrap_err();
    assert!(!ticket.is_ready());
    wall.let_go();
    let report = ticket.wait_until(Instant::now() + LONG).unwrap();
    assert_eq!(label(&report), "completed");
}

#[test]
fn a_dropped_ticket_leaves_its_task_alone() {
    let wall = Acted::new();
    let pool = workers(&wall, 1);
    drop(pool.try_submit(named("ok", "one")).unwrap());
    assert_eq!(label(&pool.run(named("ok", "two"))), "completed");
    assert_eq!(wall.began(), ["one", "two"]);
    assert_eq!(pool.status().finished, 2);
}

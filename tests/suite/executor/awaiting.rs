//! Runs that are awaited: any number of them, without a thread for each.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use sandtrap::policy::breaker::Mode;

use super::*;

#[derive(Default)]
struct Rung(AtomicUsize);

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Rung {
    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<F: Future>(future: Pin<&mut F>, rung: &Arc<Rung>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(rung))))
}

fn narrow(wall: &Acted) -> Executor {
    let mut settings = bare();
    (settings.pool.workers, settings.pool.queue) = (1, 1);
    executor(wall, settings)
}

#[test]
fn a_thousand_runs_are_awaited_on_one_thread_through_a_queue_of_one() {
    let wall = Acted::new();
    let executor = Arc::new(narrow(&wall));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let runs: Vec<_> = (0..1_000)
            .map(|number| {
                let executor = Arc::clone(&executor);
                let does = if number % 3 == 0 { "fault" } else { "ok" };
                tokio::spawn(async move { executor.submit(task(does)).await })
            })
            .collect();
        for (number, run) in runs.into_iter().enumerate() {
            let expected = if number % 3 == 0 { "crashed.memory-fault" } else { "completed" };
            assert_eq!(label(&run.await.unwrap()), expected, "{number}");
        }
    });
    assert_eq!(executor.pool().finished, 1_000);
}

#[test]
fn s37_delays_between_attempts_are_awaited_too() {
    let wall = Acted::new();
    wall.flaky_for(2);
    let retry = RetrySettings { first: Duration::from_millis(2), ..quick().unwrap() };
    let executor = executor(&wall, ExecutorSettings { retry: Some(retry), ..bare() });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let report = runtime.block_on(executor.submit(task("flaky")));
    assert_eq!((label(&report), report.attempts), ("completed", 3));
}

#[test]
fn s44_the_wait_for_room_is_bounded_by_the_deadline_and_apart_from_it() {
    let wall = Acted::new();
    let executor = narrow(&wall);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rung = Arc::new(Rung::default());
    let mut busy = pin!(executor.submit(task("gate")));
    assert!(poll(busy.as_mut(), &rung).is_pending());
    wall.wait_for(1);
    let mut waits = pin!(executor.submit(task("ok")));
    assert!(poll(waits.as_mut(), &rung).is_pending());
    let moment = Duration::from_millis(5);
    for (soon, why) in [
        (task("ok").within(moment), "deadline"),
        (task("ok").within(LONG).queued_at_most(moment), "no worker was free for it within 5 ms"),
    ] {
        let report = runtime.block_on(executor.submit(soon));
        let words = report.verdict.to_string();
        assert_eq!(label(&report), "unstarted.rejected");
        assert!(words.contains(why), "{words}");
    }
    wall.let_go();
    assert_eq!(label(&runtime.block_on(waits)), "completed");
    assert_eq!(label(&runtime.block_on(busy)), "completed");
}

#[test]
fn a_run_that_nobody_awaits_any_more_is_stopped_and_its_place_goes_to_the_next_one() {
    let wall = Acted::new();
    let executor = narrow(&wall);
    let [rung, rung_again] = [(); 2].map(|()| Arc::new(Rung::default()));
    let mut runs = Box::pin(executor.submit(task("waits")));
    assert!(poll(runs.as_mut(), &rung).is_pending());
    wall.wait_for(1);
    let mut queued = Box::pin(executor.submit(task("ok")));
    let mut at_the_door = Box::pin(executor.submit(task("ok")));
    let mut behind = Box::pin(executor.submit(task("ok")));
    assert!(poll(queued.as_mut(), &rung).is_pending());
    assert!(poll(at_the_door.as_mut(), &rung_again).is_pending());
    assert!(poll(behind.as_mut(), &rung).is_pending());
    // Its end lets the queued one run, which wakes the first at the door.
    drop(runs);
    while rung_again.times() == 0 {
        std::thread::yield_now();
    }
    // That one has gone away, and whoever is behind it gets in all the same.
    drop(at_the_door);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(label(&runtime.block_on(behind)), "completed");
    assert_eq!(label(&runtime.block_on(queued)), "completed");
}

#[test]
fn s46_a_pool_that_is_drained_tells_those_at_its_door() {
    let wall = Acted::new();
    let executor = narrow(&wall);
    let rung = Arc::new(Rung::default());
    let mut busy = pin!(executor.submit(task("gate")));
    assert!(poll(busy.as_mut(), &rung).is_pending());
    wall.wait_for(1);
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(executor.submit(task("ok")))).collect();
    waiting.iter_mut().for_each(|run| assert!(poll(run.as_mut(), &rung).is_pending()));
    wall.let_go();
    executor.drain(LONG);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for run in waiting {
        let report = runtime.block_on(run);
        assert!(
            ["unstarted.rejected", "completed"].contains(&label(&report)),
            "{}",
            report.verdict
        );
    }
}

#[test]
fn s19_probes_whose_callers_went_away_give_their_permits_back() {
    // The original counts whoever asks and never hears of him again: it stays half-open for ever.
    let wall = Acted::new();
    let breaker =
        BreakerSettings { open_for: Duration::from_millis(1), ..BreakerSettings::default() };
    let executor = executor(&wall, ExecutorSettings { breaker: Some(breaker), ..bare() });
    let once = |does| Order { idempotent: false, ..task(does) };
    (0..5).for_each(|_| _ = executor.run(once("fault")));
    while executor.breaker("acted").unwrap().0 != Mode::HalfOpen {
        std::thread::yield_now();
    }
    let rung = Arc::new(Rung::default());
    let mut probes: Vec<_> = (0..3).map(|_| Box::pin(executor.submit(once("waits")))).collect();
    probes.iter_mut().for_each(|probe| assert!(poll(probe.as_mut(), &rung).is_pending()));
    assert_eq!(label(&executor.run(once("ok"))), "unstarted.rejected", "three probes are out");
    drop(probes);
    (0..3).for_each(|_| assert_eq!(label(&executor.run(once("ok"))), "completed"));
    assert_eq!(executor.breaker("acted").unwrap().0, Mode::Closed);
}

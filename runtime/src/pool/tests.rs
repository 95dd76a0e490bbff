//! What can only be seen from inside: who waits for what at some moment, and a host that has no threads.

use std::future::Future as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::evidence::{Ending, Evidence, Guard, Source as Seen, StopReason};
use crate::executor::{Executor, ExecutorSettings};
use crate::isolation::{Attempt, Cell, Ear, Image, OpenError, StopHandle, Vitals};
use crate::label::Label;
use crate::labels::Labels;
use crate::order::Order;
use crate::policy::hedge::HedgeSettings;
use crate::policy::retry::{Jitter, RetrySettings};
use crate::quantity::ByteSize;
use crate::rejection::Rejection;
use crate::reuse::Reuse;
use crate::task::{Entry, Program, Task, Wall};
use crate::telemetry::{Happening, Telemetry};

use super::shared::Shared;
use super::threads::lack;
use super::{Pool, PoolSettings, Source};

/// A wall whose guests do what their first argument says.
#[derive(Clone, Default)]
struct Plays(Arc<Stage>);

#[derive(Default)]
struct Stage {
    began: AtomicUsize,
    is_open: AtomicBool,
    /// When each attempt began.
    at: Mutex<Vec<Instant>>,
    pool: OnceLock<Weak<Shared>>,
    /// Of which task `unread` is asked to cancel.
    unread: AtomicUsize,
    /// How many guests were opened, and which of them has ended by itself.
    opened: AtomicUsize,
    ended: AtomicUsize,
}

impl Image for Plays {
    fn open(&self) -> Result<Box<dyn Cell>, OpenError> {
        Ok(self.player(false))
    }
    fn keep(&self) -> Result<Box<dyn Cell>, OpenError> {
        Ok(self.player(true))
    }
    fn keeps_time(&self) -> bool {
        true
    }
    fn guards(&self) -> Vec<Guard> {
        Vec::new()
    }
}

struct Player {
    plays: Plays,
    /// Counted from 1 on.
    number: usize,
    kept: bool,
    tasks: u64,
    is_gone: bool,
}

impl Cell for Player {
    fn run(&mut self, attempt: &Attempt<'_>, stop: &StopHandle, _: &mut dyn Ear) -> Evidence {
        let stage = &self.plays.0;
        self.tasks += 1;
        stage.at.lock().unwrap().push(Instant::now());
        let number = stage.began.fetch_add(1, Ordering::SeqCst) + 1;
        let Entry::Command { args, .. } = attempt.entry else { panic!("it has commands only") };
        match args[0].to_str() {
            Some("gate") => wait_until(|| stage.is_open.load(Ordering::SeqCst)),
            Some("leaves") => self.is_gone = true,
            Some("first waits") if number == 2 => wait_until(|| stop.reason().is_some()),
            Some("first fails") if number == 1 => {
                return Evidence::of(Seen::Status, Ending::Exited(1));
            }
            Some("is cancelled") if number == 1 => {
                // Somebody who cancels it has come as far as this when its guest is found to be gone.
                let pool = stage.pool.get().unwrap().upgrade().unwrap();
                let mut state = pool.lock();
                let key = state.slots[0].running.as_ref().unwrap().key.clone();
                state.note_cancel(&key, StopReason::Cancelled);
                assert_eq!(state.stop_running(&pool, |running| *running == key).len(), 1);
                pool.release(state);
                self.is_gone = true;
                stage.unread.fetch_add(1, Ordering::SeqCst);
                let gone = Evidence::of(Seen::Status, Ending::Vanished);
                return Evidence { unread: true, ..gone };
            }
            _ => {}
        }
        Evidence { stopped_by_us: stop.reason(), ..Evidence::of(Seen::Status, Ending::Exited(0)) }
    }
    fn is_usable(&self) -> bool {
        let has_ended = self.plays.0.ended.load(Ordering::SeqCst) == self.number;
        !self.is_gone && !has_ended && (self.kept || self.tasks == 0)
    }
    fn vitals(&self) -> Vitals {
        Vitals { tasks_run: self.tasks, ..Vitals::default() }
    }
}

impl Plays {
    fn player(&self, kept: bool) -> Box<Player> {
        let number = self.0.opened.fetch_add(1, Ordering::SeqCst) + 1;
        Box::new(Player { plays: self.clone(), number, kept, tasks: 0, is_gone: false })
    }

    fn source(&self) -> Source {
        let (image, program) = (Arc::new(self.clone()), Arc::new(Program::file("plays")));
        Source { image, program, wall: Wall::Native, listener: None, shortcut: None }
    }

    fn pool(&self, settings: PoolSettings) -> Pool {
        let pool = Pool::start(self.source(), settings);
        self.0.pool.set(Arc::downgrade(&pool.shared)).unwrap();
        pool
    }

    fn executor(&self, settings: ExecutorSettings) -> Executor {
        Executor::new(self.source(), settings)
    }

    fn began(&self) -> usize {
        self.0.began.load(Ordering::SeqCst)
    }

    fn let_go(&self) {
        self.0.is_open.store(true, Ordering::SeqCst);
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

fn task(does: &str) -> Order {
    Order::new(Task::command([does]))
}

fn label(report: &crate::report::Report) -> &'static str {
    report.verdict.label().as_str()
}

#[test]
fn who_waits_for_room_is_served_though_reports_are_held_and_nothing_leaves_the_queue_by_itself() {
    let ways: [fn(&Pool) -> &'static str; 3] = [
        |pool| label(&pool.run(task("ok"))),
        |pool| label(&pool.map([task("ok")]).next().unwrap()),
        |pool| label(&super::wait(pool.enter(task("ok"), &StopHandle::new())).unwrap().wait()),
    ];
    for waits in ways {
        let wall = Plays::default();
        let settings = PoolSettings { queue: 2, ..PoolSettings::with_workers(1) };
        let pool = wall.pool(PoolSettings { unread: ByteSize::bytes(0), ..settings });
        let unread = pool.submit(task("ok")).unwrap();
        wait_until(|| unread.promise.is_never_left_lying() || pool.status().unread_bytes > 0);
        let held = [task("ok"), task("ok")].map(|order| pool.submit(order).unwrap());
        // The one worker rests, and a caller has its cell.
        wait_until(|| !pool.shared.lock().idle.is_empty());
        thread::scope(|scope| {
            let has_it = scope.spawn(|| label(&pool.run(task("gate"))));
            wait_until(|| wall.began() == 2);
            let waiting = scope.spawn(|| waits(&pool));
            wait_until(|| {
                let state = pool.shared.lock();
                state.blocked + state.at_door.len() == 1
            });
            wall.let_go();
            assert_eq!(has_it.join().unwrap(), "completed");
            assert_eq!(waiting.join().unwrap(), "completed");
        });
        // One of those that were held back made room for it.
        assert_eq!((wall.began(), pool.status().waiting), (4, 1));
        held.into_iter().for_each(|ticket| assert_eq!(label(&ticket.wait()), "completed"));
        assert_eq!(label(&unread.wait()), "completed");
    }
}

#[test]
fn a_task_that_is_cancelled_just_as_its_guest_is_found_gone_is_not_begun_again() {
    for keep in [None, Some(Reuse::default())] {
        for here in [false, true] {
            let wall = Plays::default();
            let pool = wall.pool(PoolSettings { keep, ..PoolSettings::with_workers(1) });
            wait_until(|| !pool.shared.lock().idle.is_empty());
            let report = match here {
                true => pool.run(task("is cancelled")),
                false => pool.submit(task("is cancelled")).unwrap().wait(),
            };
            assert_eq!(label(&report), "stopped.cancelled", "{keep:?}, {here}");
            assert_eq!((wall.began(), wall.0.unread.load(Ordering::SeqCst)), (1, 1));
            assert_eq!(pool.status().waiting, 0);
            assert_eq!(label(&pool.run(task("ok"))), "completed");
        }
    }
}

#[test]
fn a_pool_that_had_no_threads_has_them_after_a_reset_and_refuses_until_then() {
    let wall = Plays::default();
    lack::of(Some("sandtrap-worker"));
    let pool = wall.pool(PoolSettings::with_workers(2));
    assert_eq!(pool.try_submit(task("ok")).unwrap_err().why, Rejection::NoWorkers);
    pool.reset();
    assert_eq!(pool.try_submit(task("ok")).unwrap_err().why, Rejection::NoWorkers, "still none");
    lack::of(None);
    pool.reset();
    let both = [task("gate"), task("gate")].map(|order| pool.submit(order).unwrap());
    wait_until(|| wall.began() == 2);
    wall.let_go();
    both.into_iter().for_each(|ticket| assert_eq!(label(&ticket.wait()), "completed"));
    pool.reset();
    assert_eq!(pool.shared.lock().threads.len(), 2, "those that are there are enough");
}

/// An executor without a thread for its supervisor.
fn unwatched(wall: &Plays, workers: usize, settings: ExecutorSettings) -> Executor {
    lack::of(Some("sandtrap-supervisor"));
    let pool = PoolSettings::with_workers(workers);
    let executor = wall.executor(ExecutorSettings { pool, ..settings });
    lack::of(None);
    executor
}

#[test]
fn without_a_supervisor_a_retry_waits_all_the_same() {
    let (wall, delay) = (Plays::default(), Duration::from_millis(30));
    let retry = RetrySettings { first: delay, jitter: Jitter::None, ..RetrySettings::default() };
    let on = retry.on.and(Labels::of(&[Label::FailedExit]));
    let retry = RetrySettings { on, ..retry };
    let settings = ExecutorSettings { retry: Some(retry), ..ExecutorSettings::default() };
    let executor = unwatched(&wall, 1, settings);
    assert_eq!(label(&executor.run(task("first fails").idempotent())), "completed");
    let at = wall.0.at.lock().unwrap();
    assert!(at[1] - at[0] >= delay, "{:?}", at[1] - at[0]);
}

#[test]
fn without_a_supervisor_a_late_task_is_looked_at_when_it_is_late_and_not_all_the_time() {
    let least = Duration::from_millis(2);
    let hedge = HedgeSettings { samples: 1, least, ..HedgeSettings::default() };
    let late = || ExecutorSettings { hedge: Some(hedge), ..ExecutorSettings::default() };
    // No worker for a second copy, nor to look at the clock: who polls is not held up.
    let wall = Plays::default();
    let executor = unwatched(&wall, 1, late());
    let of_kind = |does: &str| task(does).kind("k").idempotent();
    assert_eq!(label(&executor.run(of_kind("ok"))), "completed");
    let mut late_one = Box::pin(executor.submit(of_kind("gate")));
    assert!(late_one.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    wait_until(|| wall.began() == 2);
    wall.let_go();
    assert_eq!(label(&super::wait(late_one)), "completed");
    // A worker that has nothing to do looks at the clock.
    let wall = Plays::default();
    let executor = unwatched(&wall, 2, late());
    assert_eq!(label(&executor.run(of_kind("ok"))), "completed");
    assert_eq!(label(&executor.run(of_kind("first waits"))), "completed");
    assert_eq!(wall.began(), 3, "a second copy was sent");
}

#[test]
fn without_a_supervisor_nobody_waits_for_a_time_when_the_pool_has_ended() {
    let wall = Plays::default();
    lack::of(Some("sandtrap-supervisor"));
    let pool = wall.pool(PoolSettings::with_workers(1));
    lack::of(None);
    let far = Instant::now() + Duration::from_secs(3_600);
    thread::scope(|scope| {
        let waits = scope.spawn(|| super::wait(pool.alarm(far)));
        wait_until(|| !pool.shared.lock().alarms.is_empty());
        pool.shut_down();
        waits.join().unwrap();
    });
    super::wait(pool.alarm(far));
}

#[test]
fn without_a_supervisor_a_task_is_told_in_the_queue_that_its_deadline_has_passed() {
    let wall = Plays::default();
    lack::of(Some("sandtrap-supervisor"));
    let pool = wall.pool(PoolSettings { queue: 1, ..PoolSettings::with_workers(1) });
    lack::of(None);
    let busy = pool.submit(task("gate")).unwrap();
    wait_until(|| wall.began() == 1);
    // Long enough to be let in.
    let late = pool.submit(task("ok").within(Duration::from_millis(200))).unwrap();
    thread::scope(|scope| {
        // Who waits for room looks at the clock, too.
        let next = scope.spawn(|| pool.run(task("ok")));
        assert_eq!(label(&late.wait()), "unstarted.rejected");
        wall.let_go();
        assert_eq!(label(&next.join().unwrap()), "completed");
    });
    assert_eq!(label(&busy.wait()), "completed");
}

#[test]
fn the_end_of_one_guest_calls_nobody_whose_own_is_well() {
    let wall = Plays::default();
    let keep = Some(Reuse::default());
    let pool = wall.pool(PoolSettings { keep, ..PoolSettings::with_workers(2) });
    let both_rest = || pool.shared.lock().idle.len() == 2;
    wait_until(both_rest);
    wall.0.ended.store(1, Ordering::SeqCst);
    let mut state = pool.shared.lock();
    state.look_after_the_ended(&pool.shared);
    assert_eq!(state.idle.len(), 1, "the other one can be lent");
    assert_eq!(state.slots.iter().filter(|slot| slot.is_called).count(), 1);
    pool.shared.release(state);
    // And the one that was called has a new guest soon.
    wait_until(both_rest);
    assert_eq!(wall.0.opened.load(Ordering::SeqCst), 3);
}

#[test]
fn a_spare_that_takes_a_callers_place_is_looked_after_as_what_it_is() {
    for has_ended in [false, true] {
        let wall = Plays::default();
        let keep = Some(Reuse::default());
        let settings = PoolSettings { spares: 1, ..PoolSettings::with_workers(1) };
        let pool = wall.pool(PoolSettings { keep, ..settings });
        wait_until(|| pool.status().spares == 1 && !pool.shared.lock().idle.is_empty());
        let old_at = pool.shared.lock().spares.old_at();
        let spare = wall.0.opened.load(Ordering::SeqCst);
        // Who was called for that had nothing to look after, or was not there.
        wall.0.ended.store(if has_ended { spare } else { 0 }, Ordering::SeqCst);
        assert_eq!(label(&pool.run(task("leaves"))), "completed");
        if !has_ended {
            assert_eq!(pool.shared.lock().slots[0].old_at, old_at, "not that of the one before");
        }
        wait_until(|| {
            let state = pool.shared.lock();
            let cell = state.slots[0].cell.as_ref();
            !state.idle.is_empty() && cell.is_some_and(|cell| cell.is_usable())
        });
    }
}

#[test]
fn a_task_never_started_only_if_none_of_its_attempts_did() {
    let (wall, stop) = (Plays::default(), StopHandle::new());
    let first = Duration::from_secs(3_600);
    let retry = RetrySettings { first, jitter: Jitter::None, ..RetrySettings::default() };
    let on = retry.on.and(Labels::of(&[Label::FailedExit]));
    let retry = Some(RetrySettings { on, most: first, ..retry });
    let is_to_wait = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_to_wait);
    let telemetry = Telemetry::to(move |happening| {
        let is_so = matches!(happening, Happening::RetryAttempt { .. });
        told.fetch_or(is_so, Ordering::SeqCst);
    });
    let pool = PoolSettings { telemetry, ..PoolSettings::with_workers(1) };
    let settings = ExecutorSettings { pool, retry, deadline: None, ..ExecutorSettings::default() };
    let executor = wall.executor(settings);
    thread::scope(|scope| {
        let waits = scope.spawn(|| executor.run_with(task("first fails").idempotent(), &stop));
        wait_until(|| is_to_wait.load(Ordering::SeqCst));
        stop.stop(StopReason::Cancelled);
        let report = waits.join().unwrap();
        assert_eq!((label(&report), report.attempts), ("stopped.cancelled", 1));
        assert!(matches!(report.facts.ending, Ending::Vanished));
    });
    let report = executor.run_with(task("ok"), &stop);
    assert_eq!(label(&report), "stopped.cancelled");
    assert!(matches!(report.facts.ending, Ending::NeverStarted(_)));
}

//! What a pool's threads share: one lock, and what is told when it is free again.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::evidence::{Evidence, StopReason};
use crate::isolation::{StopHandle, Wake};
use crate::limits::Limits;
use crate::order::Order;
use crate::policy::restart::Restart;
use crate::rejection::Rejection;
use crate::telemetry::Happening;

use super::holding::Unread;
use super::places::FAR;
use super::queue::Key;
use super::remains::Remains;
use super::settings::{Drained, PoolSettings, PoolStatus, Rejected, WorkerState};
use super::slots::{Place, Slot};
use super::source::Source;
use super::state::{Out, Phase, State};
use super::threads;
use super::ticket::{Promise, Ticket};
use super::waiting::Waiting;
use super::worker;

/// What a pool's threads share.
pub(crate) struct Shared {
    pub(super) unread: Arc<Unread>,
    pub(super) source: Source,
    pub(crate) settings: PoolSettings,
    /// The limits of a task that brings none of its own.
    pub(super) usual: Limits,
    pub(crate) chance: Chance,
    state: Mutex<State>,
    /// Workers without a task wait here, each at its own; those that may not be started yet at `rest`.
    pub(super) bells: Box<[Condvar]>,
    pub(super) rest: Condvar,
    /// Callers wait here for room in the queue, and for the last task to end.
    pub(super) room: Condvar,
    calm: Condvar,
    /// The supervisor waits here.
    pub(crate) watch: Condvar,
}

/// So long a drain waits for workers that have no task any more, and so often it looks.
const CLEARING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(1);

/// Waits for threads that are about to end. A callback may drop the pool on one of them, which can't wait for itself.
fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    let own = thread::current().id();
    for thread in threads.into_iter().filter(|it| it.thread().id() != own) {
        // It has nothing to give but its end.
        let _ = thread.join();
    }
}

/// How long a caller waits for room in the queue.
pub(super) enum Wait<'a> {
    /// Not at all.
    Never,
    /// Until there is some, or its time is over.
    ForRoom,
    /// It is woken when there is some. It keeps its place until then.
    AtTheDoor(&'a Waker, &'a mut Option<u64>),
}

/// Whether a guest that is to end has its time of grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promptly {
    InItsTime,
    AtOnce,
}

impl Promptly {
    fn stop(self, stop: &StopHandle, reason: StopReason) {
        match self {
            Self::InItsTime => stop.stop(reason),
            Self::AtOnce => stop.stop_now(reason),
        };
    }
}

impl Shared {
    pub(super) fn new(source: Source, mut settings: PoolSettings) -> Arc<Self> {
        // It is added to moments, and clocks have an end.
        settings.patience = settings.patience.min(FAR);
        let mut usual = source.image.grantable(source.program.policy().limits_for(None));
        usual.grace = settings.grace.unwrap_or(usual.grace);
        let state = State::new(&settings);
        let bells = state.slots.iter().map(|_| Condvar::new()).collect();
        Arc::new_cyclic(|me| Self {
            unread: Unread::of(me.clone()),
            source,
            settings,
            usual,
            chance: Chance::new(),
            state: Mutex::new(state),
            bells,
            rest: Condvar::new(),
            room: Condvar::new(),
            calm: Condvar::new(),
            watch: Condvar::new(),
        })
    }

    pub(super) fn start_workers(self: &Arc<Self>) {
        let mut state = self.lock();
        for slot in 0..state.slots.len() {
            self.start_worker(&mut state, slot);
        }
    }

    /// Starts the thread of one place. A host that has no thread for us has the queue wait for the other places.
    pub(crate) fn start_worker(self: &Arc<Self>, state: &mut State, slot: usize) {
        let place = Place { slot, generation: state.slots[slot].generation };
        let shared = Arc::clone(self);
        let work = move || worker::work(&shared, place);
        match threads::start(format!("sandtrap-worker-{slot}"), work) {
            Ok(thread) => state.threads.push((place, thread)),
            Err(error) => {
                let why = format!("there is no thread for it: {error}");
                state.tell(self, || Happening::WorkerFailedToStart { why });
                let place = &mut state.slots[slot];
                place.restart = Some(Restart::Never);
                state.spent.append(&mut place.spent);
                // Whoever rests may not look for them otherwise.
                state.idle.last().into_iter().for_each(|idle| self.bells[*idle].notify_all());
                if state.is_lost() {
                    state.reject_waiting(self, &Rejection::NoWorkers);
                }
            }
        }
    }

    /// Clears away what no worker will, for there are none.
    pub(crate) fn clear_up<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        let mut remains = Remains::default();
        remains.extend(state.spent.drain(..));
        self.release(state);
        drop(remains);
        self.lock()
    }

    pub(super) fn submit(
        self: &Arc<Self>,
        order: Order,
        over: Option<Instant>,
        wait: Wait<'_>,
    ) -> Result<Ticket, Rejected> {
        let bytes = order.bytes();
        let mut state = self.lock();
        let mut now = Instant::now();
        let until = [order.deadline, over].into_iter().flatten().min();
        while let Err(mut why) = state.admits(&order, bytes, now) {
            let is_patient = !matches!(wait, Wait::Never) && why.is_full();
            if is_patient && over.is_some_and(|over| over <= now) {
                why = Rejection::QueueTime { most: self.queue_time(&order).unwrap_or_default() };
            }
            match wait {
                Wait::ForRoom if why.is_full() => {
                    state.blocked += 1;
                    state.make_room(self);
                    state = self.pause(state, &self.room, until);
                    state.blocked -= 1;
                    now = Instant::now();
                    continue;
                }
                Wait::AtTheDoor(waker, place) if why.is_full() => {
                    state.wait_at_door(waker, place);
                    state.make_room(self);
                }
                Wait::Never | Wait::ForRoom | Wait::AtTheDoor(..) => {}
            }
            self.release(state);
            return Err(Rejected { why, order: Box::new(order) });
        }
        let promise = Arc::new(Promise::new(state.age(now)));
        let task = order.task.id.clone();
        let key = state.queue.push(Waiting::new(order, Arc::clone(&promise), over));
        if let Some(until) = until {
            state.deadlines.insert((until, key.clone()));
            state.watch_at(self, until);
        }
        let waiting = state.queue.waiting();
        state.tell(self, || Happening::TaskQueued { task: task.clone(), waiting });
        state.call_one(self);
        state.make_room_again(self);
        self.release(state);
        Ok(Ticket { task, key, promise, pool: Arc::downgrade(self) })
    }

    /// When a task has waited for as long as it may that begins to wait now.
    pub(super) fn over(&self, order: &Order, now: Instant) -> Option<Instant> {
        now.checked_add(self.queue_time(order)?)
    }

    fn queue_time(&self, order: &Order) -> Option<Duration> {
        order.queue_time.or(self.settings.queue_time)
    }

    /// Has workers without a task look again when a guest has ended that nobody runs.
    pub(super) fn look_again(self: &Arc<Self>) -> Wake {
        let shared = Arc::downgrade(self);
        Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.lock().look_after_the_ended(&shared);
            }
        })
    }

    /// Ends a task, at once or in the time of grace that it may have.
    pub(super) fn cancel(&self, key: &Key, reason: StopReason, now: Promptly) {
        let mut state = self.lock();
        state.note_cancel(key, reason);
        if let Some(waiting) = state.take_out(key) {
            let (order, promise) = waiting.into_parts();
            let report = self.source.unrun(&order, Evidence::stopped_before_it_began(reason));
            state.answer(self, promise, report, None, &order);
            state.let_in(self);
        } else if let Some(stop) = state.stop_running(self, |running| running == key).pop() {
            self.release(state);
            now.stop(&stop, reason);
            return;
        }
        self.release(state);
    }

    pub(super) fn drain(&self, until: Option<Instant>, now: Promptly) -> Drained {
        let mut state = self.lock();
        // Whoever has a cell may be about to make a task of what he does there.
        let runs = |slot: &&Slot| slot.running.is_some() || slot.is_lent;
        let running = |state: &State| state.slots.iter().filter(runs).count();
        let mut drained = Drained { finished: running(&state), ..Drained::default() };
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
        drained.returned = state.reject_waiting(self, &Rejection::Draining);
        for slot in &mut state.slots {
            if slot.state() == WorkerState::Busy {
                slot.turn(WorkerState::Draining);
            }
        }
        while !state.at_door.is_empty() {
            state.wake_one_at_door();
        }
        state.keep_watch(self, None);
        self.wake_all();
        let mut stopped = Vec::new();
        while running(&state) > 0 {
            let is_up = until.is_some_and(|until| until <= Instant::now());
            let late = if is_up { state.running_besides(&stopped) } else { Vec::new() };
            if !late.is_empty() {
                let stops = state.stop_running(self, |running| late.contains(running));
                stopped.extend(late);
                drained.killed += stops.len();
                self.release(state);
                stops.iter().for_each(|stop| now.stop(stop, StopReason::Shutdown));
                state = self.lock();
                continue;
            }
            state = self.pause(state, &self.calm, until.filter(|_| !is_up));
        }
        drained.finished -= drained.killed;
        // They clear away what their last tasks have left behind. Who calls this may hold what one of them waits for.
        let most = Instant::now() + CLEARING;
        let until = until.map_or(most, |until| until.min(most));
        while state.has_threads() && Instant::now() < until {
            state = self.pause(state, &self.calm, Some(Instant::now() + LOOK));
        }
        self.release(state);
        drained
    }

    /// Ends all threads, and waits for those that were not given up.
    pub(super) fn close(&self, supervisor: Option<JoinHandle<()>>) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        // What they hold is given back without the lock.
        let (spares, makers, stop) = state.spares.take_all();
        let threads = state.take_threads();
        self.wake_all();
        self.release(state);
        drop(spares);
        stop.stop(StopReason::Shutdown);
        join(threads.into_iter().chain(makers).chain(supervisor));
        // What the last one of them has left behind.
        self.release(self.lock());
    }

    pub(super) fn status(&self) -> PoolStatus {
        let mut state = self.lock();
        let condition = state.restarts.condition(Instant::now());
        PoolStatus {
            workers: state.slots.iter().map(Slot::status).collect(),
            waiting: state.queue.waiting() + state.returned.len(),
            waiting_bytes: state.queue.bytes(),
            unread_bytes: self.unread_bytes(),
            spares: state.spares.count(),
            condition,
            finished: state.finished,
            abandoned: state.abandoned,
        }
    }

    pub(super) fn reset(self: &Arc<Self>) {
        let mut state = self.lock();
        state.restarts.reset();
        state.spares.reset();
        for slot in &mut state.slots {
            slot.restart = None;
        }
        // There may be threads now where there were none.
        for slot in 0..state.slots.len() {
            if state.phase == Phase::Open && !state.has_thread(slot) {
                self.start_worker(&mut state, slot);
            }
        }
        // Those without a guest may begin again, and those with one may have spares made.
        self.bells.iter().chain([&self.rest]).for_each(Condvar::notify_all);
        self.release(state);
    }

    pub(super) fn wake_all(&self) {
        let others = [&self.rest, &self.room, &self.calm, &self.watch];
        self.bells.iter().chain(others).for_each(Condvar::notify_all);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and none of ours panics in the middle of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lock back, then what is to be given, and tells what is to be told.
    pub(crate) fn release(&self, mut state: MutexGuard<'_, State>) {
        let outbox = mem::take(&mut state.outbox);
        let (news, called) = (state.news.take(), state.called.take());
        drop(state);
        called.into_iter().for_each(|slot| self.bells[slot].notify_all());
        for out in outbox.into_all() {
            match out {
                Out::Report(promise, done) => promise.keep(done),
                // Whose code panics here loses nothing of anybody else's.
                Out::Wake(waker) => _ = catch_unwind(AssertUnwindSafe(|| waker.wake())),
            }
        }
        if let Some(news) = news {
            self.tell_all(&news);
        }
    }

    /// Tells what has happened. What has happened meanwhile is told by whoever comes next, at the latest by the supervisor.
    fn tell_all(&self, news: &[Happening]) {
        for happening in news {
            self.settings.telemetry.tell(happening);
        }
        if self.lock().news.told() {
            self.watch.notify_one();
        }
    }

    /// Waits until it is woken or a time has come. Nothing waits to be told meanwhile; whoever has to tell something
    /// is back at once, and looks again.
    pub(crate) fn pause<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        condvar: &Condvar,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        let until = state.keep_watch(self, until);
        if !state.outbox.is_empty() || state.news.is_ours() {
            self.release(state);
            return self.lock();
        }
        let Some(until) = until else {
            return condvar.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let left = until.saturating_duration_since(Instant::now());
        condvar.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    /// A task has ended: whoever drains the pool may wait for it.
    pub(super) fn notify_calm(&self, state: &State) {
        if state.phase != Phase::Open {
            self.calm.notify_all();
        }
    }
}

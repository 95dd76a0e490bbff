//! Waiting without a thread: for room in the queue, and for a time. Whoever waits is woken, by whichever runtime polls it.
//!
//! ```text
//!   a task leaves the queue --> the first at the door is woken --> it gets in, and the next one is woken if there is more room
//!                                     | gone meanwhile
//!                                     +--> passes it on
//! ```

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::isolation::{StopGuard, StopHandle};
use crate::order::Order;
use crate::rejection::Rejection;

use super::settings::Rejected;
use super::shared::{Shared, Wait};
use super::state::{Phase, State};
use super::ticket::Ticket;
use super::{Pool, state::Out};

/// Who is woken, whoever it is now: a future may move from one task of its runtime to another.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<Mutex<Option<Waker>>>);

impl Bell {
    /// From now on this one is woken.
    pub(crate) fn is_heard_by(&self, waker: &Waker) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            *heard = Some(waker.clone());
        }
    }

    /// Has it ring when an attempt is stopped.
    pub(crate) fn rings_at(self, stop: &StopHandle) -> StopGuard<'_> {
        stop.on_stop(move || {
            let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            waker.into_iter().for_each(Waker::wake);
        })
    }
}

/// A time that is waited for.
pub(crate) struct Alarm<'a> {
    pool: &'a Pool,
    at: Instant,
    number: Option<u64>,
}

impl Future for Alarm<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = &self.pool.shared;
        if self.at <= Instant::now() {
            return Poll::Ready(());
        }
        let mut state = shared.lock();
        if state.rings_at_once() {
            shared.release(state);
            return Poll::Ready(());
        }
        let number = self.number.unwrap_or_else(|| state.number_waiter());
        state.alarms.insert((self.at, number), context.waker().clone());
        state.watch_at(shared, self.at);
        shared.release(state);
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.pool.shared.lock().alarms.remove(&(self.at, number));
        }
    }
}

/// A place among those who wait for room.
struct AtTheDoor<'a> {
    shared: &'a Arc<Shared>,
    number: Option<u64>,
}

impl Drop for AtTheDoor<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.shared.lock();
        if state.at_door.remove(&number).is_none() && state.queue.admits(0).is_ok() {
            // It was woken: whether it got in or went away, there may be room for the next one.
            state.wake_one_at_door();
        }
        self.shared.release(state);
    }
}

impl Pool {
    /// Something to wait for a time with.
    pub(crate) fn alarm(&self, at: Instant) -> Alarm<'_> {
        Alarm { pool: self, at, number: None }
    }

    /// Takes a task on, and waits for room in the queue until its time is over, or until it is stopped.
    pub(crate) async fn enter(&self, order: Order, stop: &StopHandle) -> Result<Ticket, Rejected> {
        let bell = Bell::default();
        let _rings = bell.clone().rings_at(stop);
        let over = self.shared.over(&order, Instant::now());
        let until = [order.deadline, over].into_iter().flatten().min();
        let mut alarm = until.map(|at| Box::pin(self.alarm(at)));
        let mut place = AtTheDoor { shared: &self.shared, number: None };
        let mut waiting = Some(order);
        poll_fn(|context| {
            let Some(order) = waiting.take() else { return Poll::Pending };
            bell.is_heard_by(context.waker());
            if stop.reason().is_some() {
                let (why, order) = (Rejection::Stopped, Box::new(order));
                return Poll::Ready(Err(Rejected { why, order }));
            }
            let mut number = place.number;
            let at_door = Wait::AtTheDoor(context.waker(), &mut number);
            let answer = self.shared.submit(order, over, at_door);
            place.number = number;
            match answer {
                Err(rejected) if rejected.why.is_full() => {
                    waiting = Some(*rejected.order);
                    // When it is over, the next look says so.
                    if let Some(alarm) = &mut alarm
                        && alarm.as_mut().poll(context).is_ready()
                    {
                        context.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
                answer => Poll::Ready(answer),
            }
        })
        .await
    }

    /// Since when a task runs, if it does.
    pub(crate) fn runs_since(&self, ticket: &Ticket) -> Option<Instant> {
        let state = self.shared.lock();
        let mut running = state.slots.iter().filter_map(|slot| slot.running.as_ref());
        running.find(|running| running.key == ticket.key).map(|running| running.began)
    }
}

impl State {
    fn number_waiter(&mut self) -> u64 {
        self.next_waiter += 1;
        self.next_waiter
    }

    /// Wakes somebody at this time, who waits for nothing else.
    pub(super) fn alarm_at(&mut self, shared: &Shared, at: Instant, waker: Waker) {
        let number = self.number_waiter();
        self.alarms.insert((at, number), waker);
        self.watch_at(shared, at);
    }

    /// Somebody has to wait for room. Who was there before keeps his place.
    pub(super) fn wait_at_door(&mut self, waker: &Waker, place: &mut Option<u64>) {
        let number = *place.get_or_insert_with(|| self.number_waiter());
        self.at_door.insert(number, waker.clone());
    }

    pub(super) fn wake_one_at_door(&mut self) {
        if let Some((_, waker)) = self.at_door.pop_first() {
            self.outbox.push(Out::Wake(waker));
        }
    }

    /// Whether nobody is there any more who would ring later.
    fn rings_at_once(&self) -> bool {
        match self.phase {
            Phase::Open => false,
            Phase::Draining => self.is_unwatched,
            Phase::Closed => true,
        }
    }

    /// Does what the supervisor does for those who wait for a time, where there is no thread for it: whoever waits for
    /// anything else, or comes for his next task, looks at the clock for them. Says until when he may wait.
    pub(super) fn keep_watch(
        &mut self,
        shared: &Shared,
        until: Option<Instant>,
    ) -> Option<Instant> {
        if !self.is_unwatched {
            return until;
        }
        let now = Instant::now();
        let (deadline, alarm) = (self.expire(shared, now), self.ring(now));
        self.watched_at = deadline.into_iter().chain(alarm).min();
        self.watched_at.into_iter().chain(until).min()
    }

    /// Wakes whose time has come; says when the next one's will.
    pub(crate) fn ring(&mut self, now: Instant) -> Option<Instant> {
        let rings_at_once = self.rings_at_once();
        while let Some(first) = self.alarms.first_entry() {
            let (at, _) = *first.key();
            if at > now && !rings_at_once {
                return Some(at);
            }
            let waker = first.remove();
            self.outbox.push(Out::Wake(waker));
        }
        None
    }
}

/// Waits on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    super::ticket::wait_for_ever(|waker| {
        match future.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    })
}

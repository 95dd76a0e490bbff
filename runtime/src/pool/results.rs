//! Many tasks at once: reports in the order of the tasks, or as they come.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::task::{Wake, Waker};

use crate::order::Order;
use crate::report::Report;

use super::{Pool, Rejected, Ticket};

/// Reports in the order of their tasks. Made by [`Pool::map`].
pub struct InOrder<'a, I> {
    pool: &'a Pool,
    orders: I,
    /// A task that found no room, and those that did.
    held: Option<Order>,
    ahead: VecDeque<Result<Ticket, Rejected>>,
}

impl<'a, I: Iterator<Item = Order>> InOrder<'a, I> {
    pub(super) fn new(pool: &'a Pool, orders: I) -> Self {
        Self { pool, orders, held: None, ahead: VecDeque::new() }
    }

    /// Submits as many as have room. Only the first of all waits for it: something has to go on.
    fn fill(&mut self) {
        while let Some(order) = self.held.take().or_else(|| self.orders.next()) {
            if self.ahead.is_empty() {
                self.ahead.push_back(self.pool.submit(order));
                continue;
            }
            match self.pool.try_submit(order) {
                Err(rejected) if rejected.why.is_full() => {
                    self.held = Some(*rejected.order);
                    return;
                }
                answer => self.ahead.push_back(answer),
            }
            if self.ahead.len() >= MOST_AHEAD {
                return;
            }
        }
    }
}

/// Reports that are there already and wait for an earlier one are memory, too.
const MOST_AHEAD: usize = 1_024;

impl<I: Iterator<Item = Order>> Iterator for InOrder<'_, I> {
    type Item = Report;

    fn next(&mut self) -> Option<Report> {
        self.fill();
        let next = self.ahead.pop_front()?;
        Some(match next {
            Ok(ticket) => ticket.wait(),
            Err(rejected) => self.pool.report_of(&rejected),
        })
    }
}

/// Reports as the tasks end, each with the number of its task. Made by [`Pool::as_completed`].
pub struct AsCompleted<'a, I> {
    pool: &'a Pool,
    orders: std::iter::Enumerate<I>,
    held: Option<(usize, Order)>,
    out: HashMap<usize, Ticket>,
    tell: Sender<usize>,
    told: Receiver<usize>,
}

/// Says which report is there.
struct Told {
    number: usize,
    tell: Sender<usize>,
}

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        // Nobody wants it any more; that is fine.
        let _ = self.tell.send(self.number);
    }
}

impl<'a, I: Iterator<Item = Order>> AsCompleted<'a, I> {
    pub(super) fn new(pool: &'a Pool, orders: I) -> Self {
        let (tell, told) = mpsc::channel();
        let (orders, out) = (orders.enumerate(), HashMap::new());
        Self { pool, orders, held: None, out, tell, told }
    }

    /// Submits as many as have room, or gives the report of one that was not taken on.
    fn fill(&mut self) -> Option<(usize, Report)> {
        while let Some((number, order)) = self.held.take().or_else(|| self.orders.next()) {
            let answer = match self.out.is_empty() {
                true => self.pool.submit(order),
                false => self.pool.try_submit(order),
            };
            match answer {
                Ok(ticket) => {
                    let tell = self.tell.clone();
                    ticket.wake_when_ready(Waker::from(Arc::new(Told { number, tell })));
                    self.out.insert(number, ticket);
                }
                Err(rejected) if rejected.why.is_full() => {
                    self.held = Some((number, *rejected.order));
                    return None;
                }
                Err(rejected) => return Some((number, self.pool.report_of(&rejected))),
            }
            if self.out.len() >= MOST_AHEAD {
                return None;
            }
        }
        None
    }
}

impl<I: Iterator<Item = Order>> Iterator for AsCompleted<'_, I> {
    type Item = (usize, Report);

    fn next(&mut self) -> Option<(usize, Report)> {
        if let Some(rejected) = self.fill() {
            return Some(rejected);
        }
        if self.out.is_empty() {
            return None;
        }
        let number = self.told.recv().ok()?;
        let ticket = self.out.remove(&number)?;
        Some((number, ticket.wait()))
    }
}

impl<I> fmt::Debug for InOrder<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InOrder").field("ahead", &self.ahead.len()).finish_non_exhaustive()
    }
}

impl<I> fmt::Debug for AsCompleted<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("out", &self.out.len()).finish_non_exhaustive()
    }
}

//! Answers the calls that a guest makes to functions of its host.
//!
//! Each is run by a clerk, on a thread of its own, while the guest's limits are kept where they always are: a function
//! that takes too long costs its guest the deadline. A guest has so many at work at once and no more, its program leaves
//! threads for others (`turns`), and what still waits when a guest is gone is never begun: a program waits only where the
//! functions of many others, for gone guests, too, take every thread there is. What is not granted is answered at once.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host::{Caller, Granted, HostContext, HostFunction, HostFunctions};
use crate::isolation::{Attempt, Notice, StopHandle};
use crate::payload::Payload;

use super::clerks::{self, Job};
use super::outbox::Outbox;

/// So many calls of a guest may be open at once: waiting, running, or answered and not taken yet.
pub(super) const MOST_OPEN: usize = 64;

/// So many of them run at once. The others wait their turn here, and take no thread.
const AT_ONCE: usize = 8;

/// The longest reason why there is no answer.
const LONGEST_REASON: usize = 16 * 1024;

/// A call that a guest makes.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) function: String,
    pub(crate) input: Payload,
}

/// What a call is answered with.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) id: u64,
    pub(crate) answer: Result<Payload, String>,
}

type Wake = Arc<dyn Fn() + Send + Sync>;

/// Serves one attempt.
#[derive(Default)]
pub(crate) struct Desk {
    service: Option<Service>,
    /// Calls whose answers have not been collected.
    open: usize,
    shared: Arc<Shared>,
}

struct Service {
    granted: HostFunctions,
    context: HostContext,
    wake: Wake,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: VecDeque<Reply>,
    /// How many calls have a clerk, or are on their way to one.
    at_work: usize,
    waiting: VecDeque<Call>,
}

/// A call, with all that it takes to answer it.
struct Call {
    function: Arc<HostFunction>,
    asked: Asked,
    context: HostContext,
    wake: Wake,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Serves calls of these functions. `wake` is called from another thread when an answer is there. They hear of the notice
    /// that a guest with a time of grace is given.
    pub(crate) fn open(
        granted: &Granted,
        attempt: &Attempt<'_>,
        stop: &StopHandle,
        notice: Option<Notice>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let (seen, stop) = (Arc::clone(&shared), stop.clone());
        let context = HostContext {
            task: attempt.task.clone(),
            program: Arc::clone(&granted.program),
            until: attempt.began.checked_add(attempt.limits.wall),
            caller: Arc::new(move || {
                if seen.is_over.load(Ordering::Relaxed) || stop.reason().is_some() {
                    return Caller::Gone;
                }
                let is_told = notice.as_ref().and_then(Notice::reason).is_some();
                if is_told { Caller::IsToEnd } else { Caller::Waits }
            }),
        };
        let service = Service { granted: granted.functions.clone(), context, wake: Arc::new(wake) };
        Self { service: Some(service), open: 0, shared }
    }

    /// Begins to serve these calls. Says what is wrong if there are too many.
    pub(crate) fn serve(&mut self, asked: Vec<Asked>, outbox: &mut Outbox) -> Option<String> {
        for call in asked {
            if self.open + outbox.replies() >= MOST_OPEN {
                return Some(format!(
                    "more than {MOST_OPEN} calls of the host's functions at once; the guest has to take the \
                     answers"
                ));
            }
            let service = self.service.as_ref()?;
            match service.granted.get(&call.function) {
                Some(function) => match service.begin(Arc::clone(function), call, &self.shared) {
                    Ok(()) => self.open += 1,
                    Err(refused) => outbox.reply(refused),
                },
                None => outbox.reply(Reply { id: call.id, answer: Err(service.missing(&call)) }),
            }
        }
        None
    }

    /// The answers that are there. What their functions may have seen is to be told before them.
    pub(crate) fn answers(&mut self) -> Vec<Reply> {
        if self.open == 0 {
            return Vec::new();
        }
        let answers: Vec<Reply> = self.shared.state().done.drain(..).collect();
        self.open -= answers.len();
        answers
    }

    /// Whether an answer will come that isn't there yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.open > 0
    }

    /// Says whether one is there, to whoever waits for it.
    pub(crate) fn has_answers(&self) -> impl Fn() -> bool + use<> {
        let shared = Arc::clone(&self.shared);
        move || !shared.state().done.is_empty()
    }

    /// The guest is gone: no more is begun, and what runs is told to give up.
    pub(crate) fn close(&mut self) {
        self.service = None;
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Dropped when the lock is not held any more: what they hold is not ours.
        let waiting = std::mem::take(&mut self.shared.state().waiting);
        drop(waiting);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.close();
    }
}

impl Service {
    fn begin(
        &self,
        function: Arc<HostFunction>,
        asked: Asked,
        shared: &Arc<Shared>,
    ) -> Result<(), Reply> {
        let (context, wake) = (self.context.clone(), Arc::clone(&self.wake));
        let mut state = shared.state();
        state.waiting.push_back(Call { function, asked, context, wake });
        if state.at_work >= AT_ONCE {
            return Ok(());
        }
        state.at_work += 1;
        drop(state);
        let program = Arc::clone(&self.context.program);
        clerks::hand_over(next_call(program, Arc::clone(shared))).or_else(|error| {
            let mut state = shared.state();
            state.at_work -= 1;
            // Somebody may have come to it meanwhile.
            let Some(call) = state.waiting.pop_back() else { return Ok(()) };
            drop(state);
            let answer = Err(format!("the host has no thread to answer with: {error}"));
            Err(Reply { id: call.asked.id, answer })
        })
    }

    fn missing(&self, call: &Asked) -> String {
        let (function, granted) = (&call.function, self.granted.names());
        format!(
            "the host's function `{function}` was not granted to this program; granted: {granted}"
        )
    }
}

/// Answers the call that has waited longest by then, and goes on with the one after it. Till then it holds nothing of a
/// guest's: that goes when the guest does, however long others are at work.
fn next_call(program: Arc<str>, shared: Arc<Shared>) -> Job {
    Job::new(Arc::clone(&program), move || {
        let taken = {
            let mut state = shared.state();
            let taken = state.waiting.pop_front();
            state.at_work -= usize::from(taken.is_none());
            taken
        };
        let Call { function, asked, context, wake } = taken?;
        if (context.caller)() == Caller::Gone {
            // Nobody waits for any of them.
            return None;
        }
        let Asked { id, function: name, input } = asked;
        let answer = answer(&name, || function(&context, input));
        let mut state = shared.state();
        state.done.push_back(Reply { id, answer });
        let is_last = state.waiting.is_empty();
        state.at_work -= usize::from(is_last);
        drop(state);
        wake();
        (!is_last).then(|| next_call(program, shared))
    })
}

/// Runs it. A panic is the host's own affair; the guest hears that there was one, and not what it said.
fn answer(name: &str, run: impl FnOnce() -> Result<Payload, String>) -> Result<Payload, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(mut reason)) => {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            Err(reason)
        }
        Err(payload) => {
            // What was thrown may panic once more when it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| drop::<Box<dyn Any + Send>>(payload)));
            Err(format!("the host's function `{name}` panicked"))
        }
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;

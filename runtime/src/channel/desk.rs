//! Answers the calls that a guest makes to functions of its host.
//!
//! Each is run by a clerk, on a thread of its own, while the guest's limits are kept where they always are: a function
//! that takes too long costs its guest the deadline, and nobody else anything. What is not granted is answered at once.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host::{Caller, Granted, HostContext, HostFunction, HostFunctions};
use crate::isolation::{Attempt, Notice, StopHandle};
use crate::payload::Payload;

use super::clerks;
use super::outbox::Outbox;

/// So many calls of a guest may be open at once: running, or answered and not taken yet.
pub(super) const MOST_OPEN: usize = 64;

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
    running: usize,
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
    done: Mutex<VecDeque<Reply>>,
}

impl Shared {
    fn done(&self) -> MutexGuard<'_, VecDeque<Reply>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
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
        Self { service: Some(service), running: 0, shared }
    }

    /// Begins to serve these calls. Says what is wrong if there are too many.
    pub(crate) fn serve(&mut self, asked: Vec<Asked>, outbox: &mut Outbox) -> Option<String> {
        for call in asked {
            if self.running + outbox.replies() >= MOST_OPEN {
                return Some(format!(
                    "more than {MOST_OPEN} calls of the host's functions at once; the guest has to take the \
                     answers"
                ));
            }
            let service = self.service.as_ref()?;
            match service.granted.get(&call.function) {
                Some(function) => match service.begin(Arc::clone(function), call, &self.shared) {
                    Ok(()) => self.running += 1,
                    Err(refused) => outbox.reply(refused),
                },
                None => outbox.reply(Reply { id: call.id, answer: Err(service.missing(&call)) }),
            }
        }
        None
    }

    /// Puts the answers that are there into the outbox.
    pub(crate) fn collect(&mut self, outbox: &mut Outbox) {
        if self.running == 0 {
            return;
        }
        for reply in self.shared.done().drain(..) {
            self.running -= 1;
            outbox.reply(reply);
        }
    }

    /// Whether an answer will come that isn't there yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.running > 0
    }

    /// Says whether one is there, to whoever waits for it.
    pub(crate) fn has_answers(&self) -> impl Fn() -> bool + use<> {
        let shared = Arc::clone(&self.shared);
        move || !shared.done().is_empty()
    }

    /// The guest is gone: no more is begun, and what runs is told to give up.
    pub(crate) fn close(&mut self) {
        self.service = None;
        self.shared.is_over.store(true, Ordering::Relaxed);
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
        call: Asked,
        shared: &Arc<Shared>,
    ) -> Result<(), Reply> {
        let id = call.id;
        let (context, wake, shared) =
            (self.context.clone(), Arc::clone(&self.wake), Arc::clone(shared));
        let job = move || {
            if (context.caller)() == Caller::Gone {
                return;
            }
            let Asked { function: name, input, .. } = call;
            let answer = answer(&name, || function(&context, input));
            shared.done().push_back(Reply { id, answer });
            wake();
        };
        clerks::hand_over(Box::new(job)).map_err(|error| {
            let answer = Err(format!("the host has no thread to answer with: {error}"));
            Reply { id, answer }
        })
    }

    fn missing(&self, call: &Asked) -> String {
        let (function, granted) = (&call.function, self.granted.names());
        format!(
            "the host's function `{function}` was not granted to this program; granted: {granted}"
        )
    }
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

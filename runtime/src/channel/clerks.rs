//! The threads that run functions of the host for guests. Such a function is somebody else's code and may take as long
//! as it likes, so it never runs where a guest's limits are kept.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::turns::Turns;

/// So many functions run at once in this process; more wait for their turn.
pub(super) const MOST: usize = 256;

/// A thread that has nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(10);

/// What a clerk does for a program. It must not panic. What it gives is to be done next, after whatever waits already.
pub(super) struct Job {
    program: Arc<str>,
    work: Box<dyn FnOnce() -> Option<Job> + Send>,
}

impl Job {
    pub(super) fn new(
        program: Arc<str>,
        work: impl FnOnce() -> Option<Self> + Send + 'static,
    ) -> Self {
        Self { program, work: Box::new(work) }
    }
}

struct Office {
    desk: Mutex<State>,
    came: Condvar,
}

struct State {
    turns: Turns<Job>,
    /// Whose turn it is, and that no clerk has taken yet.
    due: VecDeque<Job>,
    idle: usize,
    all: usize,
}

static OFFICE: Office = Office {
    desk: Mutex::new(State { turns: Turns::new(MOST), due: VecDeque::new(), idle: 0, all: 0 }),
    came: Condvar::new(),
};

impl State {
    /// Takes it in, and says how much more is to be done now.
    fn take_in(&mut self, job: Job) -> usize {
        self.turns.wait(Arc::clone(&job.program), job);
        self.call_up()
    }

    fn call_up(&mut self) -> usize {
        let before = self.due.len();
        self.due.extend(std::iter::from_fn(|| self.turns.begin()));
        self.due.len() - before
    }
}

impl Office {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a thread do it, as soon as it is its program's turn. Fails where there is no thread, and none to be had.
pub(super) fn hand_over(job: Job) -> io::Result<()> {
    let mut state = OFFICE.state();
    if state.take_in(job) == 0 {
        return Ok(());
    }
    let called = call_help(&mut state, 0);
    if called.is_err()
        && let Some(job) = state.due.pop_back()
    {
        // Nothing else is there: it would have a thread.
        state.turns.end(&job.program);
    }
    called
}

/// Has threads come for what is to be done now, but for so much that the caller does himself. Fails where there is no
/// thread, and none to be had.
fn call_help(state: &mut State, own: usize) -> io::Result<()> {
    let others = state.due.len().saturating_sub(own);
    if others == 0 {
        return Ok(());
    }
    if state.idle >= others {
        OFFICE.came.notify_one();
        return Ok(());
    }
    match thread::Builder::new().name("sandtrap-host".to_owned()).spawn(work) {
        Ok(_) => state.all += 1,
        // Those that are there will come to it.
        Err(_) if state.all > 0 => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn work() {
    let mut state = OFFICE.state();
    loop {
        if let Some(job) = state.due.pop_front() {
            drop(state);
            let next = (job.work)();
            state = OFFICE.state();
            state.turns.end(&job.program);
            match next {
                Some(next) => state.take_in(next),
                None => state.call_up(),
            };
            // What may begin instead of it is done by this thread; it may be more than one.
            let _ = call_help(&mut state, 1);
            continue;
        }
        state.idle += 1;
        let waited = OFFICE.came.wait_timeout_while(state, IDLE, |state| state.due.is_empty());
        let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state = woken;
        state.idle -= 1;
        if timeout.timed_out() && state.due.is_empty() {
            state.all -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_job_that_takes_long_holds_up_no_other() {
        let (release, hold) = mpsc::channel::<()>();
        let once = |work: Box<dyn FnOnce() + Send>| {
            hand_over(Job::new("p".into(), move || {
                work();
                None
            }))
            .unwrap();
        };
        once(Box::new(move || assert!(hold.recv().is_err())));
        let (tell, told) = mpsc::channel();
        for number in 0..50 {
            let tell = tell.clone();
            once(Box::new(move || tell.send(number).unwrap()));
        }
        let mut done: Vec<i32> = told.iter().take(50).collect();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..50));
        drop(release);
    }
}

//! The lines of a batch, read ahead by a thread of its own: whoever waits for one can be told to go home.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context as _;

use super::line::{self, Line, Names};
use super::tasks::{Tasks, no_task, unread};

/// Lines that are read before anybody wants them.
const AHEAD: usize = 64;

/// Lines that are no task, of which somebody is told. All of them are counted.
const MOST_TOLD: usize = 20;

/// Tasks, one after another, each with the number of its line.
#[derive(Clone)]
pub(super) struct Intake(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    lines: VecDeque<(usize, Line)>,
    /// There are no more, or nobody wants them.
    is_over: bool,
    /// How many lines there were that are no task any more, and how many of them have not completed.
    done: Done,
    /// How many are no task.
    bad: usize,
    failure: Option<anyhow::Error>,
}

/// How many lines were done before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) all: usize,
    /// Those that have not completed.
    pub(super) failed: usize,
}

impl Intake {
    /// Reads lines until there are no more. Those of `done` are passed over, and so are those that are no task: `tell` is
    /// told of them when they come.
    pub(super) fn start(
        tasks: Tasks,
        done: Option<HashMap<String, String>>,
        tell: impl Fn(&str) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let intake = Self(Arc::default());
        let reader = intake.clone();
        thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || {
                let failure = reader.read(tasks, done.as_ref(), &tell).err();
                let mut state = reader.lock();
                (state.is_over, state.failure) = (true, failure);
                drop(state);
                reader.0.1.notify_all();
            })
            .context("cannot start the thread that reads the tasks")?;
        Ok(intake)
    }

    /// The next task. `None` if there are no more, or none are to be begun.
    pub(super) fn next(&self) -> Option<(usize, Line)> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                self.0.1.notify_all();
                return Some(line);
            }
            if state.is_over {
                return None;
            }
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Begins nothing more. What was read and not begun is left behind.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.lines.clear();
        drop(state);
        self.0.1.notify_all();
    }

    /// How many lines were done before, how many are no task, and what ended the reading too early.
    pub(super) fn finish(&self) -> (Done, usize, Option<anyhow::Error>) {
        let mut state = self.lock();
        (state.done, state.bad, state.failure.take())
    }

    fn read(
        &self,
        mut tasks: Tasks,
        done: Option<&HashMap<String, String>>,
        tell: &dyn Fn(&str),
    ) -> anyhow::Result<()> {
        let mut names = Names::default();
        // The place of a report is that of its task among those that are begun: lines passed over leave no gap.
        let (mut place, mut number) = (0, 0);
        while let Some(text) = tasks.lines.next() {
            number += 1;
            let text = text.map_err(|error| unread(number, &tasks.name, error))?;
            let line = line::of(text, number, tasks.breaks).and_then(|line| {
                if let (Some(line), true) = (&line, done.is_some()) {
                    names.take(line, number)?;
                }
                Ok(line)
            });
            let line = match line {
                Ok(None) => continue,
                Ok(Some(line)) => line,
                Err(error) => {
                    if !self.is_bad(tell, &no_task(number, &tasks.name, &error)) {
                        return Ok(());
                    }
                    continue;
                }
            };
            if let Some(label) = done.and_then(|done| done.get(&line.order.task.id.to_string())) {
                let mut state = self.lock();
                state.done.all += 1;
                state.done.failed += usize::from(label != "completed");
                continue;
            }
            if !self.put(place, line) {
                return Ok(());
            }
            place += 1;
        }
        Ok(())
    }

    /// Counts a line that is no task. Says whether anybody still wants lines.
    fn is_bad(&self, tell: &dyn Fn(&str), words: &str) -> bool {
        let mut state = self.lock();
        if state.is_over {
            return false;
        }
        state.bad += 1;
        let seen = state.bad;
        drop(state);
        match seen {
            ..=MOST_TOLD => tell(words),
            _ if seen == MOST_TOLD + 1 => {
                tell("of further lines that are no task only the number is told")
            }
            _ => {}
        }
        true
    }

    /// Waits for room. Says whether anybody still wants lines.
    fn put(&self, place: usize, line: Line) -> bool {
        let mut state = self.lock();
        while state.lines.len() >= AHEAD && !state.is_over {
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.is_over {
            state.lines.push_back((place, line));
        }
        let goes_on = !state.is_over;
        drop(state);
        self.0.1.notify_all();
        goes_on
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
